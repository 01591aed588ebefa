"""Antialiased reduction of a picture, with its exact adjoint and closed forms."""

from __future__ import annotations

from ..common.errors import BadInput
from ..core.base import Shape
from .matrices import Axis, output_length
from .separable import Resampled, axes_to_size, picture_lengths


class Downsample(Resampled):
    """Y = K_r X K_c^T for each channel: a row of K_r or K_c is the filter, stretched by the factor.

    input_shape: (..., H, W). factor: input pixels per output pixel, any real number above 0 (output ceil(H / factor)).
    size: (H', W') instead of a factor; then `factor` is not used. filter: bicubic (MATLAB's imresize to the last bit
    of double precision), bilinear, lanczos3, area (average pooling), or another of
        `operators.resampling.matrices.FILTERS`.
    boundary: symmetric (MATLAB), renormalise (Pillow, torch) or replicate; area needs none of them.

    Closed-form solve, pinv and svd, also for sizes that the factor does not divide.
    Reference: R. Keys, "Cubic convolution interpolation for digital image processing", 1981.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        factor: float = 4,
        filter: str = "bicubic",
        boundary: str = "symmetric",
        size: tuple[int, int] | None = None,
    ) -> None:
        lengths = picture_lengths(input_shape)
        if size is not None:
            rows, columns = axes_to_size(lengths, size, filter, boundary)
        else:
            if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < float("inf"):
                raise BadInput(f"factor is {factor!r}", wanted="a finite number above 0")
            rows, columns = (Axis(n, output_length(n, 1 / factor), 1 / factor, filter, boundary) for n in lengths)
        super().__init__(input_shape, rows, columns)
        self.factor, self.filter, self.boundary = factor, filter, boundary

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, factor={self.factor}, filter={self.filter!r}, boundary={self.boundary!r}"
