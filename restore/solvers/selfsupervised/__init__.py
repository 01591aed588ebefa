"""Solvers that restore noisy pictures with what was learned from noisy pictures alone."""
