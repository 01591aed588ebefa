"""Convolutions: kernels, boundaries, varying blur, blur with decimation."""
