"""Where rows come from and where results stay: input files, ranges, logs, parts."""
