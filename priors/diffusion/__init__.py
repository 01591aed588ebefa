"""Priors that answer E[x0 | x0 + sigma n]: trained ones, and the wrappers around them."""
