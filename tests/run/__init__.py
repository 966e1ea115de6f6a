"""Whole runs, Parquet to Parquet, on a virtual clock: hours of quota in a second."""
