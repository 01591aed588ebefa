"""One-axis resampling matrices (MATLAB imresize, Pillow's boundary rule, area averages) and picture resizing.

Every filter is separable: Y = K_r X K_c^T. A matrix is built once in float64 and kept as a few dense blocks: output
rows that follow one another read input columns that follow one another, so that a 4096-pixel axis costs 64 products
with small matrices and not one with 4096 x 1024. The transposed matrix is cut in the same way, so that the adjoint
reads its blocks too and adds nothing up afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput, BadType
from ..common.settings import Checked, Count, OneOf, Positive, check_room, checked

FINEST = 64  # a reduction by more than so many times the side says the mean and nothing else
DENSE_UP_TO = 128  # longest axis kept as one block; longer ones are cut
BLOCK = 64  # length of the longer side of a block of a cut axis: 32 and 128 were slower from 256 to 1024 pixels
BOUNDARIES = {
    "symmetric": "mirrored, edge pixel repeated, as in MATLAB",
    "replicate": "the edge pixel goes on, as in OpenCV",
    "renormalise": "taps outside dropped and the rest scaled to sum 1, as in Pillow and torch",
}


def _cubic(t: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Cubic convolution with slope a at 1 (Keys 1981, equation 15 for a = -1/2)."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t <= 2, far, 0.0))


def _steep_cubic(t: np.ndarray) -> np.ndarray:
    return _cubic(t, -0.75)


def _bilinear(t: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(t), 0.0)


def _lanczos3(t: np.ndarray) -> np.ndarray:
    return np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0.0)


def _lanczos2(t: np.ndarray) -> np.ndarray:
    return np.where(np.abs(t) < 2, np.sinc(t) * np.sinc(t / 2), 0.0)


def _hamming(t: np.ndarray) -> np.ndarray:
    return np.where(np.abs(t) < 1, np.sinc(t) * (0.54 + 0.46 * np.cos(np.pi * t)), 0.0)


def _box(t: np.ndarray) -> np.ndarray:
    # Half open, so that a pixel halfway between two outputs belongs to one of them; 1e-9 is rounding of the positions.
    return np.where((t > -0.5 - 1e-9) & (t <= 0.5 - 1e-9), 1.0, 0.0)


@dataclass(frozen=True)
class Kernel:
    """A sampled interpolation kernel, the half-width outside which it is zero, and what a reduction does to it."""

    profile: Callable[[np.ndarray], np.ndarray]
    radius: float
    antialiased: bool = True  # stretched by the reduction; otherwise it samples neighbours and lets the rest alias


KERNELS = {
    "bicubic": Kernel(_cubic, 2.0),
    "bilinear": Kernel(_bilinear, 1.0),
    "lanczos2": Kernel(_lanczos2, 2.0),
    "lanczos3": Kernel(_lanczos3, 3.0),
    "hamming": Kernel(_hamming, 1.0),
    "box": Kernel(_box, 0.5),
    "bicubic-aliased": Kernel(_steep_cubic, 2.0, antialiased=False),
    "bilinear-aliased": Kernel(_bilinear, 1.0, antialiased=False),
}
FILTERS = {
    "bicubic": "cubic convolution, a = -1/2",
    "bilinear": "triangle",
    "lanczos2": "windowed sinc of two lobes",
    "lanczos3": "windowed sinc of three lobes (Pillow: LANCZOS)",
    "hamming": "Hamming-windowed sinc of one lobe",
    "box": "mean over the pixels whose centres are covered",
    "area": "mean over the pixels covered, weighted by overlap",
    "bicubic-aliased": "cubic convolution, a = -3/4, never stretched: OpenCV, and torch without antialiasing",
    "bilinear-aliased": "triangle, never stretched",
}


Filter = Annotated[str, OneOf(FILTERS), "kernel of the resampling"]
Edge = Annotated[str, OneOf(BOUNDARIES), "what lies beyond the edges of the picture"]
PictureSize = Annotated[tuple[Count, Count], "(height, width) of the result in pixels"]


@dataclass(frozen=True)
class Axis(Checked):
    """What fixes one axis: input and output length, scale (output per input), filter and boundary."""

    size_in: Count
    size_out: Count
    scale: Positive
    filter: Filter = "bicubic"
    boundary: Edge = "symmetric"

    def __post_init__(self) -> None:
        if self.scale * self.size_in * FINEST < 1:
            raise BadInput(
                f"a picture of {self.size_in} pixels is reduced by {1 / self.scale:.6g}",
                wanted=f"a factor of at most {FINEST} times its side",
            )
        check_room("the size of the result", self.size_out, max(1.0, 1 / self.scale))


@dataclass(frozen=True)
class Span:
    """Where a block of an axis' matrix lies: `outputs` rows from `first_out`, which read `inputs` columns."""

    first_out: int
    outputs: int
    first_in: int
    inputs: int


MOST_REDUCED = 1000  # times a side is reduced below one pixel: its taps would fill the memory
Block = tuple[Span, Tensor]  # and its weights, outputs x inputs


def output_length(size_in: int, scale: float) -> int:
    """ceil(scale * size_in), free of the rounding of scales such as 1/3."""
    check_room("the scale", size_in, scale)
    return max(1, math.ceil(size_in * scale - 1e-9 * size_in))


def _sampled(axis: Axis, kernel: Kernel) -> tuple[np.ndarray, np.ndarray]:
    """Taps of every output pixel: positions and weights, both size_out x taps.

    The centre of output i is (i + 1/2) / scale - 1/2; a reduction stretches the kernel by 1 / scale (antialiasing).
    """
    stretch = min(axis.scale, 1.0) if kernel.antialiased else 1.0
    width = 2 * kernel.radius / stretch
    centre = (np.arange(axis.size_out) + 0.5) / axis.scale - 0.5
    first = np.floor(centre - width / 2)
    position = first[:, None] + np.arange(math.ceil(width) + 2)
    return position.astype(np.int64), kernel.profile((centre[:, None] - position) * stretch)


def _overlaps(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """Length that each input pixel [j, j + 1] shares with output pixel [i, i + 1] / scale, clipped to the picture."""
    low = np.minimum(np.arange(axis.size_out) / axis.scale, axis.size_in - 1e-9)
    high = np.minimum((np.arange(axis.size_out) + 1) / axis.scale, axis.size_in)
    position = np.floor(low)[:, None] + np.arange(math.ceil(1 / axis.scale) + 1)
    shared = np.minimum(high[:, None], position + 1) - np.maximum(low[:, None], position)
    # 1e-9 of a pixel is rounding of the edges, not coverage.
    return position.astype(np.int64), np.where(shared > 1e-9, shared, 0.0)


def _taps(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    if 1 / axis.scale > MOST_REDUCED * axis.size_in:
        times = f"{1 / axis.scale:g} times"
        raise BadInput(f"a side of {axis.size_in} pixels is reduced {times}", wanted="a smaller factor")
    position, weight = _overlaps(axis) if axis.filter == "area" else _sampled(axis, KERNELS[axis.filter])
    if axis.boundary == "renormalise" or axis.filter == "area":
        inside = (position >= 0) & (position < axis.size_in)
        weight = np.where(inside, weight, 0.0)
    weight = weight / weight.sum(axis=1, keepdims=True)
    if axis.boundary != "symmetric" or axis.filter == "area":
        return np.clip(position, 0, axis.size_in - 1), weight
    folded = position % (2 * axis.size_in)  # ... 1 0 | 0 1 ... N-1 | N-1 N-2 ...
    return np.where(folded < axis.size_in, folded, 2 * axis.size_in - 1 - folded), weight


@lru_cache(maxsize=64)
def matrix_blocks(axis: Axis, *, transposed: bool = False) -> tuple[Block, ...]:
    """The matrix of an axis, or its transpose, as dense blocks, in order; one block where the axis is short."""
    position, weight = _taps(axis)
    row, tap = np.nonzero(weight)
    column, value = position[row, tap], weight[row, tap]
    height, width = axis.size_out, axis.size_in
    if transposed:
        row, column, height, width = column, row, width, height
    longest = max(height, width)
    step = height if longest <= DENSE_UP_TO else max(1, BLOCK * height // longest)
    blocks = []
    for start in range(0, height, step):
        stop = min(start + step, height)
        here = (row >= start) & (row < stop)
        used = column[here]
        whole = step == height or not used.size
        low, high = (0, width) if whole else (int(used.min()), int(used.max()) + 1)
        dense = np.zeros((stop - start, high - low))
        np.add.at(dense, (row[here] - start, used - low), value[here])
        with torch.inference_mode(False):
            blocks.append((Span(start, stop - start, low, high - low), torch.from_numpy(dense)))
    return tuple(blocks)


def dense_matrix(axis: Axis) -> Tensor:
    """The matrix of an axis, size_out x size_in, float64."""
    full = torch.zeros(axis.size_out, axis.size_in, dtype=torch.float64)
    for span, weights in matrix_blocks(axis):
        full.narrow(0, span.first_out, span.outputs).narrow(1, span.first_in, span.inputs).copy_(weights)
    return full


def multiply(blocks: Sequence[Block], x: Tensor, dim: int) -> Tensor:
    """K x along `dim` (-1 or -2), for weights in the dtype and on the device of x."""
    parts = [_along(weights, x.narrow(dim, span.first_in, span.inputs), dim) for span, weights in blocks]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


def _along(weights: Tensor, x: Tensor, dim: int) -> Tensor:
    return torch.matmul(x, weights.mT) if dim == -1 else torch.matmul(weights, x)


@checked
def resize(x: Tensor, *, size: PictureSize, filter: Filter = "bicubic", boundary: Edge = "symmetric") -> Tensor:
    """A picture at another size, as MATLAB's imresize(x, size, filter) gives it in floating point.

    x: ... x H x W, floating point, any values. The scale of each axis is its ratio of lengths. Differentiable.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise BadType(
            f"picture is {getattr(x, 'dtype', type(x).__name__)}",
            wanted="a floating-point tensor",
            do="Whole numbers that are rounded after each axis: resize_uint8.",
        )
    if x.ndim < 2:
        raise BadInput(f"picture has shape {tuple(x.shape)}", wanted="... x H x W")
    for dim, length in ((-2, int(size[0])), (-1, int(size[1]))):
        axis = Axis(x.shape[dim], length, length / x.shape[dim], filter, boundary)
        x = multiply([(span, weights.to(x)) for span, weights in matrix_blocks(axis)], x, dim)
    return x


@checked
def resize_uint8(x: Tensor, *, scale: Positive, filter: Filter = "bicubic") -> Tensor:
    """MATLAB's imresize of whole numbers: rounded (half to even) and clipped to 0..255 after each axis.

    x: ... x H x W, uint8. Output lengths are ceil(scale * length).
    """
    if x.dtype != torch.uint8:
        raise BadType(f"picture is {x.dtype}", wanted="torch.uint8", do="Use resize for floating point.")
    values = x.to(torch.float64)
    for dim in (-2, -1):
        length = x.shape[dim]
        axis = Axis(length, output_length(length, scale), scale, filter)
        values = multiply([(span, weights.to(values)) for span, weights in matrix_blocks(axis)], values, dim)
        values = torch.round(values).clamp(0, 255)
    return values.to(torch.uint8)
