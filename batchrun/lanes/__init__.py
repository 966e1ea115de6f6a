"""Lanes, the quota pools they draw on, and the rules by which a row finds its way: nothing here does I/O."""
