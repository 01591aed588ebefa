"""Doing a suite: planning, executors, large pictures piece by piece."""
