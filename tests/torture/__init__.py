"""The crash matrix: runs that are killed at every point of their way, and what the books say of each afterwards."""
