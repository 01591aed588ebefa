"""A picture at another size: any positive scale or size, up or down, any filter."""

from __future__ import annotations

from typing import Annotated

from ..common.settings import Positive
from ..core.base import Shape
from .matrices import Axis, Edge, Filter, PictureSize, output_length
from .separable import Resampled, axes_to_size, picture_lengths


class Resize(Resampled):
    """Y = K_r X K_c^T for each channel, K the filter sampled around (i + 1/2) / scale - 1/2, rows summing to 1.

    input_shape: (..., H, W). The output has ceil(scale * length) pixels, and positions follow the scale as given, or
    the ratio of lengths where a size is. Aliased filters are not stretched by a reduction. Boundaries: symmetric
    (MATLAB), renormalise (Pillow, torch), replicate (OpenCV).

    Closed-form solve, pinv and svd. `downsample` is the same map told by its factor, 1 / scale.
    References: R. Keys, "Cubic convolution interpolation for digital image processing", 1981; C. Duchon, "Lanczos
    filtering in one and two dimensions", 1979.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        scale: Annotated[
            Positive | tuple[Positive, Positive], "output pixels per input pixel, one number or (rows, columns)"
        ] = 2.0,
        size: Annotated[PictureSize | None, "(height, width) of the result instead of a scale"] = None,
        filter: Filter = "bicubic",
        boundary: Edge = "symmetric",
    ) -> None:
        lengths = picture_lengths(input_shape)
        if size is not None:
            rows, columns = axes_to_size(lengths, size, filter, boundary)
        else:
            scales = scale if isinstance(scale, tuple | list) else (scale, scale)
            rows, columns = (
                Axis(n, output_length(n, s), float(s), filter, boundary) for n, s in zip(lengths, scales, strict=True)
            )
        super().__init__(input_shape, rows, columns)
        self.scale = (rows.scale, columns.scale)
        self.filter, self.boundary = filter, boundary

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale={self.scale}, filter={self.filter!r}, boundary={self.boundary!r}"
