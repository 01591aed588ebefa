"""Solvers without a learned prior."""
