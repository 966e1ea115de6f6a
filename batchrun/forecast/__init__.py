"""Forecasts: what a job will take, by a sample, earlier answers or a probe, and how wrong that turned out to be."""
