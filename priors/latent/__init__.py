"""Priors whose state is no picture but a latent that a decoder makes a picture of."""
