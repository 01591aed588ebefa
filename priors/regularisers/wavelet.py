"""Orthonormal wavelets on a periodic grid: an exact transform, its inverse, and soft thresholding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.settings import Checked, Count, OneOf


def orthogonal() -> list[str]:
    """The orthogonal wavelets of PyWavelets."""
    import pywt

    return [name for name in pywt.wavelist(kind="discrete") if pywt.Wavelet(name).orthogonal]


Family = Annotated[
    str,
    OneOf(orthogonal, text="haar, dbN, symN, coifN or dmey"),
    "orthogonal wavelet of PyWavelets whose filters are used",
]


@dataclass(frozen=True)
class Wavelets(Checked):
    """The multi-level 2-D wavelet transform of Mallat 1989 with periodic borders; an orthonormal map.

    Coefficients keep the picture's shape, coarse part in the top left corner (`pywt.coeffs_to_array`); they equal
    `pywt.wavedec2(mode="periodization")`.
    """

    name: Family = "db4"
    levels: Annotated[Count, "how often the coarse picture is split again; 2^levels must divide its sides"] = 4

    def forward(self, x: Tensor) -> Tensor:
        """Coefficients W x of B x C x H x W pictures, real or complex."""
        self._check(x)
        if x.is_complex():
            return torch.complex(self.forward(x.real), self.forward(x.imag))
        out = x.clone()
        height, width = x.shape[-2:]
        for level in range(self.levels):
            corner = out[..., : height >> level, : width >> level]
            corner.copy_(_split(_split(corner, -1, self.name), -2, self.name))
        return out

    def inverse(self, coefficients: Tensor) -> Tensor:
        """The picture W^T c; also the adjoint, as W is orthonormal."""
        self._check(coefficients)
        if coefficients.is_complex():
            return torch.complex(self.inverse(coefficients.real), self.inverse(coefficients.imag))
        out = coefficients.clone()
        height, width = out.shape[-2:]
        for level in reversed(range(self.levels)):
            corner = out[..., : height >> level, : width >> level]
            corner.copy_(_merge(_merge(corner, -2, self.name), -1, self.name))
        return out

    def details(self, shape: tuple[int, ...] | torch.Size) -> Tensor:
        """True where a coefficient of an H x W picture is a detail, False in the coarse corner (H x W)."""
        mask = torch.ones(tuple(shape), dtype=torch.bool)
        mask[: shape[0] >> self.levels, : shape[1] >> self.levels] = False
        return mask

    def _check(self, x: Tensor) -> None:
        unit = 2**self.levels
        if x.ndim != 4 or x.shape[-2] % unit or x.shape[-1] % unit or 0 in x.shape[-2:]:
            raise BadInput(
                f"shape {tuple(x.shape)} with {self.levels} levels",
                wanted=f"B x C x H x W with sides divisible by {unit}",
                do="Pad the picture, or use fewer levels.",
            )


def soft_threshold(values: Tensor, threshold: float | Tensor) -> Tensor:
    """The proximal map of threshold |.|: each value moved towards zero by `threshold` (complex: along its phase)."""
    length = values.abs()
    shrunk = (length - threshold).clamp_min(0)
    return values * (shrunk / torch.where(length > 0, length, torch.ones_like(length)))


@lru_cache(maxsize=32)
def filters(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Analysis filters (low, high) of an orthogonal wavelet of PyWavelets."""
    import pywt

    wavelet = pywt.Wavelet(name)
    return tuple(wavelet.dec_lo), tuple(wavelet.dec_hi)


def _taps(name: str, like: Tensor) -> Tensor:
    """The two filters as convolution weights (2 x 1 x taps), reversed: torch correlates."""
    return torch.tensor(filters(name), dtype=torch.float64).flip(-1)[:, None].to(like)


def _split(x: Tensor, axis: int, name: str) -> Tensor:
    """One level along one axis: low half, then high half. c[k] = sum_n f[n] x[(2k + taps/2 - n) mod N]."""
    line = x.movedim(axis, -1)
    taps = _taps(name, x)
    count, length = taps.shape[-1], line.shape[-1]
    before = count // 2 - 1
    index = torch.arange(-before, length + count - 2 - before, device=x.device) % length
    rows = line[..., index].reshape(line.shape[:-1].numel(), 1, len(index))
    bands = F.conv1d(rows, taps, stride=2)  # rows x 2 x N/2
    return bands.reshape(line.shape).movedim(-1, axis)


def _merge(c: Tensor, axis: int, name: str) -> Tensor:
    """The transpose of `_split`, which is its inverse."""
    line = c.movedim(axis, -1)
    taps = _taps(name, c)
    count, length = taps.shape[-1], line.shape[-1]
    before = count // 2 - 1
    spread = F.conv_transpose1d(
        line.reshape(line.shape[:-1].numel(), 2, length // 2), taps, stride=2
    )  # rows x 1 x (N + taps - 2)
    out = c.new_zeros(spread.shape[0], length)
    index = torch.arange(-before, length + count - 2 - before, device=c.device) % length
    out.index_add_(1, index, spread[:, 0])
    return out.reshape(line.shape).movedim(-1, axis)
