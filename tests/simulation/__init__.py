"""Simulation: the real pipeline of `batchrun.api` on a virtual clock, against the emulator's own meters."""
