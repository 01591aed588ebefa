"""Classical knowledge about pictures: total variation and sparse wavelets."""
