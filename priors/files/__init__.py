"""Priors on disk: shipped weights, weights of the user, checkpoints of others."""
