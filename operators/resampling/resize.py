"""A picture at another size: any positive scale or size, up or down, any filter."""

from __future__ import annotations

from ..common.errors import BadInput
from ..core.base import Shape
from .matrices import Axis, output_length
from .separable import Resampled, axes_to_size, pair, picture_lengths


class Resize(Resampled):
    """Y = K_r X K_c^T for each channel, K the filter sampled around (i + 1/2) / scale - 1/2, rows summing to 1.

    input_shape: (..., H, W). scale: output pixels per input pixel, above 1 to enlarge; one number, or (rows, columns);
    the output has ceil(scale * length) pixels, and positions follow the scale as given. size: (H', W') in place of a
    scale; positions then follow the ratio of lengths. filter: bicubic, bilinear, lanczos2, lanczos3, hamming, box,
    area, and bicubic-aliased and bilinear-aliased, which a reduction does not stretch. boundary: symmetric (MATLAB),
    renormalise (Pillow, torch), replicate (OpenCV).

    Closed-form solve, pinv and svd. `downsample` is the same map told by its factor, 1 / scale.
    References: R. Keys, "Cubic convolution interpolation for digital image processing", 1981; C. Duchon, "Lanczos
    filtering in one and two dimensions", 1979.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        scale: float | tuple[float, float] = 2.0,
        size: tuple[int, int] | None = None,
        filter: str = "bicubic",
        boundary: str = "symmetric",
    ) -> None:
        lengths = picture_lengths(input_shape)
        if size is not None:
            rows, columns = axes_to_size(lengths, size, filter, boundary)
        else:
            scales = pair("scale", scale, wanted="a finite number above 0, or one for rows and one for columns")
            if not all(s > 0 for s in scales):
                raise BadInput(f"scale is {scale!r}", wanted="a finite number above 0")
            rows, columns = (
                Axis(n, output_length(n, s), float(s), filter, boundary) for n, s in zip(lengths, scales, strict=True)
            )
        super().__init__(input_shape, rows, columns)
        self.scale = (rows.scale, columns.scale)
        self.filter, self.boundary = filter, boundary

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale={self.scale}, filter={self.filter!r}, boundary={self.boundary!r}"
