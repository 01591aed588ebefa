"""Network architectures, each a plain `nn.Module` that knows nothing of diffusion."""
