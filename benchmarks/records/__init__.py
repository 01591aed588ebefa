"""Rows: one unit of work, what came of it, and where it is kept."""
