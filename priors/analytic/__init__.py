"""Priors with closed forms, and the exact posteriors that follow: the oracles of the samplers."""
