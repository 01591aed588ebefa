"""Which operators see only a neighbourhood, and how far: what it takes to work on a large picture window by window.

`locality(A)` answers for an operator built for any window; an operator of one's own is added with

    @locality.register
    def _(operator: MyOperator) -> Locality: ...
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import singledispatch

from ..blurring.blur import Blur
from ..blurring.blur_decimate import BlurDecimate
from ..camera.gamma_blur import GammaBlur
from ..camera.jpeg import BLOCK, JPEG, SUBSAMPLING
from ..camera.mosaic import PATTERNS, Mosaic
from ..camera.tone import HDR, LowLight, Quantise
from ..common.errors import BadInput
from ..missing.mask import Mask
from ..resampling.downsample import Downsample
from ..resampling.matrices import KERNELS
from ..spectral.band_mask import BandMask
from ..spectral.response import SpectralResponse
from .base import Operator
from .identity import Identity

Pair = tuple[int, int]  # rows, columns


@dataclass(frozen=True)
class Locality:
    """How entries of y depend on places of the picture; all lengths in pixels of the picture, for rows and columns.

    reach: the furthest pixel beyond its own place that an entry of y sees. factor: pixels per entry of y. grid: a
    window that begins at a multiple of it is measured as that part of the whole. placed: name of the parameter that
    belongs to the places of the whole picture and is cut with it ("mask"), "" for none.
    """

    reach: Pair = (0, 0)
    factor: Pair = (1, 1)
    grid: Pair = (1, 1)
    placed: str = ""


@singledispatch
def locality(operator: Operator) -> Locality:
    """How far an operator sees; BadInput for one whose measurements depend on the whole picture."""
    raise BadInput(
        f"{type(operator).__name__} is not local: its measurements depend on the whole picture",
        do="Leave the pictures whole (--tile 0), or work along the slices of a stack.",
    )


@locality.register
def _identity(_operator: Identity) -> Locality:
    return Locality()


@locality.register(HDR)
@locality.register(LowLight)
@locality.register(Quantise)
@locality.register(SpectralResponse)
def _pixelwise(_operator: Operator) -> Locality:
    return Locality()


@locality.register
def _mask(_operator: Mask) -> Locality:
    return Locality(placed="mask")


@locality.register
def _band_mask(operator: BandMask) -> Locality:
    whole: Locality = locality.dispatch(Operator)(operator)
    return whole


@locality.register
def _blur(operator: Blur) -> Locality:
    if operator.boundary in ("circular", "valid"):
        raise BadInput(
            f"a blur with boundary {operator.boundary!r} cannot be cut into windows",
            wanted="symmetric, reflect, replicate or zero",
            do="Choose one with --set operator.boundary=reflect.",
        )
    rows, columns = operator.kernel.shape
    return Locality(reach=(rows // 2, columns // 2))


@locality.register
def _gamma_blur(operator: GammaBlur) -> Locality:
    return locality(operator.blur)


@locality.register
def _blur_decimate(operator: BlurDecimate) -> Locality:
    factor = (operator.factor, operator.factor)
    return Locality(reach=locality(operator.blur).reach, factor=factor, grid=factor)


@locality.register
def _downsample(operator: Downsample) -> Locality:
    factors = [n / m for n, m in zip(operator.input_shape[-2:], operator.output_shape[-2:], strict=True)]
    if any(f != round(f) for f in factors):
        raise BadInput(
            f"a reduction by {factors[0]:g} x {factors[1]:g} cannot be cut into windows", wanted="a whole factor"
        )
    kernel = KERNELS.get(operator.filter)
    radius = 0.5 if kernel is None else kernel.radius
    stretched = kernel is None or kernel.antialiased
    rows, columns = (math.ceil(radius * (f if stretched else 1)) for f in factors)
    factor = (round(factors[0]), round(factors[1]))
    return Locality(reach=(rows, columns), factor=factor, grid=factor)


@locality.register
def _mosaic(operator: Mosaic) -> Locality:
    rows = PATTERNS[operator.pattern] if isinstance(operator.pattern, str) else operator.pattern
    return Locality(grid=(len(rows), len(rows[0])))


@locality.register
def _jpeg(operator: JPEG) -> Locality:
    # A coded unit is 8 or 16 pixels wide, and upsampled colours look into the unit beside it.
    unit = BLOCK * SUBSAMPLING[operator.subsampling]
    return Locality(reach=(unit, unit), grid=(unit, unit))


__all__ = ["Locality", "locality"]
