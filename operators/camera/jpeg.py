"""JPEG compression as an operator: what a file of a given quality keeps of a picture."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..common.errors import BadInput
from ..common.settings import OneOf, Range, check
from ..core.base import Operator, Shape, check_shape

SUBSAMPLING = {"4:4:4": 1, "4:2:0": 2}
Quality = Annotated[int, Range(1, 100), "scales the tables T of Annex K as libjpeg does"]
BLOCK = 8
ROOT8, PASS_SCALE = math.sqrt(8.0), 4  # libjpeg scales each pass by sqrt(8) and keeps two more bits between them
# ITU-T T.81, Annex K, tables K.1 and K.2, row-major.
LUMA = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"
)
CHROMA = (
    "17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99 "
    "99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"
)
# ITU-R BT.601 luma and colour differences, full range (JFIF).
FORWARD = (
    (0.299, 0.587, 0.114),
    (-0.168735891647856, -0.331264108352144, 0.5),
    (0.5, -0.418687589158345, -0.081312410841655),
)
Planes = tuple[Tensor, ...]


class JPEG(Operator):
    """y = clip(decode(round(DCT(YCbCr(x)) / T))): the picture a decoder shows, in [0, 1].

    input_shape: C x H x W in [0, 1], C 1 (luma alone) or 3 (RGB). "4:2:0" takes means of 2 x 2 for Cb and Cr, enlarged
    again by libjpeg's triangle, or by replication (then decoding and encoding again changes nothing). Encoders round
    luma and colour differences to 8 bits before the transform (samples "integer"). Sides that no block divides are
    continued by their last row and column.

    Values of y stay real: a decoder's own rounding to 8 bits is left to the measurement. Rounding and clipping pass
    gradients straight through; with 4:4:4 the derivative is the identity, with 4:2:0 the smoothing of the colours
    (`relaxed`). `encode` and `decode` are the two halves; with samples "exact", and 4:4:4 or "replicate" on whole
    blocks, encode(decode(code)) = code, so that decode(encode(.)) is a projection: A A+ A = A. `project` is the data
    step: the nearest picture that has the same code as the measurement.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        quality: Quality = 10,
        subsampling: Annotated[str, OneOf(SUBSAMPLING), "of the colours"] = "4:2:0",
        upsampling: Annotated[Literal["triangle", "replicate"], "of the colours of 4:2:0"] = "triangle",
        limit: Annotated[Literal["clip", "unclipped"], "to [0, 1], as a stored picture is, or none"] = "clip",
        samples: Annotated[Literal["integer", "exact"], "what is transformed: bytes, or numbers"] = "integer",
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise BadInput(f"input_shape is {shape}", wanted="(1, H, W) or (3, H, W)")
        super().__init__(shape, shape)
        self.quality, self.subsampling, self.upsampling, self.limit = quality, subsampling, upsampling, limit
        self.samples = samples
        self.factor = SUBSAMPLING[subsampling] if shape[0] == 3 else 1
        self.register_buffer("tables", torch.from_numpy(np.stack(quality_tables(quality)).astype(np.float64)))
        self.register_buffer("cosines", torch.from_numpy(_cosines()))
        self.register_buffer("colours", torch.tensor(FORWARD, dtype=torch.float64))
        self.register_buffer("mixed", torch.linalg.inv(torch.tensor(FORWARD, dtype=torch.float64)))

    def _forward(self, x: Tensor) -> Tensor:
        smooth = self._smooth(x)
        with torch.no_grad():
            shown = self.decode(self.encode(x.detach()))
            shown = shown.clamp(0, 1) if self.limit == "clip" else shown
            rounding = shown - smooth.detach()
        return smooth + rounding

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        return u.clone() if self.factor == 1 else super().vjp(x, u)

    @property
    def relaxed(self) -> Operator:
        """The same file without rounding: the identity, or the colours averaged and enlarged again."""
        return Smoothed(self)

    def direct(self, y: Tensor) -> Tensor:
        """The decoded picture is the estimate."""
        self._check(y, self.output_shape, False, "measurement")
        return y.clone()

    # -- the two halves -------------------------------------------------------------------------------------------

    def encode(self, x: Tensor) -> Planes:
        """Whole numbers (as floats) of Y, and Cb, Cr: B x channels x rows x columns of blocks x 8 x 8."""
        planes = [self._transform(p, i, self.samples) for i, p in enumerate(self._planes(x, self.samples))]
        return tuple(torch.copysign(_nearest(p.abs()), p) for p in planes)

    def coefficients(self, x: Tensor) -> Planes:
        """DCT coefficients over the table before any rounding, luma and colour apart, in the layout of `encode`."""
        return tuple(self._transform(p, i, "exact") for i, p in enumerate(self._planes(x, "exact")))

    def decode(self, codes: Planes) -> Tensor:
        """The picture of a code (B x C x H x W), whose last step, clipping to [0, 1], is left out."""
        return self._assemble([self._shown(code, i) for i, code in enumerate(codes)]) + 128 / 255

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """The data step: coefficients of x clipped to the cells |c - code(y)| <= 1/2 (B x C x H x W).

        Exact for 4:4:4 (nearest in luma and colour differences); with 4:2:0 the fine detail of the colours, which no
        code holds, stays that of x.
        """
        wanted = [c.clamp(q - 0.5, q + 0.5) for c, q in zip(self.coefficients(x), self.encode(y), strict=True)]
        moved = [
            self._picture(new - old, i) for i, (new, old) in enumerate(zip(wanted, self.coefficients(x), strict=True))
        ]
        return x + self._assemble(moved)

    def _planes(self, x: Tensor, samples: str) -> Planes:
        """Centred planes of a whole number of blocks: Y (B x 1), and Cb, Cr (B x 2) reduced."""
        codes = self._mix(255 * x, "colours") if x.shape[1] == 3 else 255 * x
        stored = samples == "integer"
        luma, colour = codes[:, :1], codes[:, 1:]
        luma = _continued(_nearest(luma) if stored else luma, BLOCK, BLOCK) - 128
        if x.shape[1] == 1:
            return (luma,)
        # Encoders lengthen rows before the colours are reduced and columns after.
        colour = _continued(_nearest(colour, halves=-1) if stored else colour, self.factor, self.factor * BLOCK)
        colour = self._stored_mean(colour) if stored else self._reduced(colour)
        return luma, _continued(colour, BLOCK, BLOCK)

    def _mix(self, x: Tensor, matrix: str) -> Tensor:
        weights = self.constant(matrix, x)
        return (weights @ x.flatten(2)).reshape(x.shape)

    def _transform(self, plane: Tensor, which: int, samples: str) -> Tensor:
        """Blocks' DCT-II (orthonormal) over the table: B x c x rows x columns x 8 x 8.

        With integer samples the two passes are rounded as libjpeg's accurate integer transform rounds them.
        """
        rows, columns = (n // BLOCK for n in plane.shape[-2:])
        blocks = plane.unflatten(-1, (columns, BLOCK)).unflatten(-3, (rows, BLOCK)).transpose(-3, -2)  # type: ignore[no-untyped-call]
        cosines, table = self.constant("cosines", plane), self.constant("tables", plane)[which]
        if samples == "exact":
            return (cosines @ (blocks @ cosines.mT)) / table
        across = torch.round((blocks @ cosines.mT) * (PASS_SCALE * ROOT8))
        return torch.round((cosines @ across) * (ROOT8 / PASS_SCALE)) / (8 * table)

    def _picture(self, codes: Tensor, which: int) -> Tensor:
        """The inverse of `_transform` on codes, as a plane."""
        cosines = self.constant("cosines", codes)
        blocks = cosines.mT @ (codes * self.constant("tables", codes)[which]) @ cosines
        return blocks.transpose(-3, -2).flatten(-2).flatten(-3, -2)

    def _assemble(self, planes: list[Tensor]) -> Tensor:
        """Y, and Cb, Cr enlarged, cut to the picture and turned into B x C x H x W, in units of 1."""
        height, width = self.input_shape[-2:]
        luma = planes[0][..., :height, :width]
        if len(planes) == 1:
            return luma / 255
        colour = planes[1][..., : -(-height // self.factor), : -(-width // self.factor)]
        colour = self._enlarged(colour)[..., :height, :width]
        return self._mix(torch.cat([luma, colour], dim=1), "mixed") / 255

    def _shown(self, codes: Tensor, which: int) -> Tensor:
        """A decoded plane: within the bytes' range where the picture is clipped, and whole where samples are."""
        plane = self._picture(codes, which)
        plane = plane.clamp(-128, 127) if self.limit == "clip" else plane
        return torch.round(plane) if self.samples == "integer" else plane

    def _reduced(self, colour: Tensor) -> Tensor:
        if self.factor == 1:
            return colour
        return F.avg_pool2d(colour, 2) if colour.numel() else colour[..., ::2, ::2]

    def _stored_mean(self, colour: Tensor) -> Tensor:
        """The mean of four bytes as a byte: encoders round halves down in even columns and up in odd ones."""
        if self.factor == 1:
            return colour
        mean = self._reduced(colour)
        up = torch.arange(mean.shape[-1], device=mean.device) % 2
        return torch.floor(mean + 0.25 + 0.25 * up)

    def _enlarged(self, colour: Tensor) -> Tensor:
        if self.factor == 1:
            return colour
        if self.upsampling == "replicate":
            return colour.repeat_interleave(2, -2).repeat_interleave(2, -1)
        # libjpeg's triangle filter: three quarters of the nearer sample and a quarter of the next, edges repeated.
        for axis in (-2, -1):
            length = colour.shape[axis]
            first, last = colour.narrow(axis, 0, 1), colour.narrow(axis, length - 1, 1)
            before = torch.cat([first, colour.narrow(axis, 0, length - 1)], dim=axis)
            after = torch.cat([colour.narrow(axis, 1, length - 1), last], dim=axis)
            pair = torch.stack([0.75 * colour + 0.25 * before, 0.75 * colour + 0.25 * after], dim=axis)
            colour = pair.flatten(axis - 1, axis) if axis == -2 else pair.flatten(-2)
        return colour

    def _smooth(self, x: Tensor) -> Tensor:
        """decode(coefficients(x)) without any rounding: linear in x."""
        if self.factor == 1:
            return x
        height, width = x.shape[-2:]
        codes = self._mix(_continued(x, 2, 2), "colours")
        colour = self._enlarged(self._reduced(codes[:, 1:]))[..., :height, :width]
        return self._mix(torch.cat([codes[:, :1, :height, :width], colour], dim=1), "mixed")

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, quality={self.quality}, subsampling={self.subsampling!r}"


class Smoothed(Operator):
    """A JPEG file that rounds nothing."""

    def __init__(self, jpeg: JPEG) -> None:
        super().__init__(jpeg.input_shape, jpeg.output_shape)
        self.jpeg = jpeg

    def _forward(self, x: Tensor) -> Tensor:
        return self.jpeg._smooth(x) if self.jpeg.factor > 1 else x.clone()


def quality_tables(quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Luma and colour tables (8 x 8 integers) at a quality of 1 to 100, in libjpeg's scaling."""
    check("quality", quality, Quality)
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = (
        np.clip((np.array(base.split(), dtype=np.int64).reshape(BLOCK, BLOCK) * scale + 50) // 100, 1, 255)
        for base in (LUMA, CHROMA)
    )
    return luma, chroma


def _continued(plane: Tensor, rows: int, columns: int) -> Tensor:
    """The last row and column repeated until the sides are multiples."""
    down, across = -plane.shape[-2] % rows, -plane.shape[-1] % columns
    if not down and not across:
        return plane
    if plane.numel() == 0:
        return plane.new_zeros(*plane.shape[:-2], plane.shape[-2] + down, plane.shape[-1] + across)
    return F.pad(plane, (0, across, 0, down), mode="replicate")


def _nearest(values: Tensor, *, halves: int = 1) -> Tensor:
    """Whole numbers, halves up (1) or down (-1); a half that rounding error moved a little is still one."""
    slack = 1e-9 if values.dtype == torch.float64 else 1e-4
    return torch.floor(values + (0.5 + slack)) if halves > 0 else torch.ceil(values - (0.5 + slack))


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """The orthonormal DCT-II of eight samples."""
    frequency, place = np.arange(BLOCK)[:, None], np.arange(BLOCK)
    matrix = np.cos(np.pi * (2 * place + 1) * frequency / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix
