"""The crash matrix: runs that are killed at every point of their way, and what the books say of each afterwards.

A run is a process of its own, forked from `zygote.py`, against an emulator in another process, `books.py`. Points are
system calls, see `points.py`; `hooks.py` wraps them in the run's process and sends it SIGKILL. `plans.py` draws from a
seed what is to happen to an output, `episode.py` plays it and looks at what is left, `__main__.py` does that a thousand
times: `make torture`. Power cuts: `power.py`. Damaged outputs and full disks: the tests beside.
"""
