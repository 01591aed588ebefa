"""Measurements about the toolkit itself, each a command: `python -m benchmarks.studies.NAME`."""
