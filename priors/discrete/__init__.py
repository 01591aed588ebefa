"""Priors of pictures written as tokens."""
