"""Antialiased reduction of a picture, with its exact adjoint and closed forms."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from ..common.metadata import Facts, Hints, enlarged
from ..common.settings import Positive
from ..core.base import Shape
from .matrices import Axis, Edge, Filter, PictureSize, output_length
from .separable import Resampled, axes_to_size, picture_lengths


class Downsample(Resampled):
    """Y = K_r X K_c^T for each channel: a row of K_r or K_c is the filter, stretched by the factor.

    input_shape: (..., H, W). The output has ceil(H / factor) rows. Filter bicubic with boundary symmetric is MATLAB's
    imresize to the last bit of double precision, area is average pooling and needs no boundary; renormalise is the
    boundary of Pillow and torch.

    Closed-form solve, pinv and svd, also for sizes that the factor does not divide.
    Reference: R. Keys, "Cubic convolution interpolation for digital image processing", 1981.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        factor: Annotated[Positive, "input pixels per output pixel, whole or not"] = 4,
        filter: Filter = "bicubic",
        boundary: Edge = "symmetric",
        size: Annotated[PictureSize | None, "(height, width) of the result instead of a factor"] = None,
    ) -> None:
        lengths = picture_lengths(input_shape)
        if size is not None:
            rows, columns = axes_to_size(lengths, size, filter, boundary)
        else:
            rows, columns = (Axis(n, output_length(n, 1 / factor), 1 / factor, filter, boundary) for n in lengths)
        super().__init__(input_shape, rows, columns)
        self.factor, self.filter, self.boundary = factor, filter, boundary

    @classmethod
    def informed_by(
        cls,
        meta: Facts,
        output_shape: Shape | None,
        settings: Mapping[str, Any],
        *,
        fixed: Collection[str] = (),
    ) -> Hints:
        """The picture that a reduced one tells: larger by the factor."""
        if output_shape is None or settings.get("size") is not None:
            return Hints()
        return enlarged(output_shape, settings.get("factor", 4))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, factor={self.factor}, filter={self.filter!r}, boundary={self.boundary!r}"
