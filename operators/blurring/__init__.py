"""Convolutions: kernels, boundaries, varying blur, blur with decimation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, {"kernels"})
