"""Solvers that run a residual or mean-reverting process backwards."""
