"""Fewer measurements than pixels: random rows of fast transforms, Hadamard patterns."""
