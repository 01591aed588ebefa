"""Solvers that ask a diffusion prior."""
