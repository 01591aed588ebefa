"""Denoisers that learn from noisy pictures alone: scores of the noisy law, blind-spot networks, and how they train."""
