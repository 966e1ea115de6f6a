"""The report of an output: figures taken from its parts, plots of them, and one HTML page."""
