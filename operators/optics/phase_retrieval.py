"""Phase retrieval: the size of a picture's spectrum, oversampled or behind random masks."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.randomness import generator
from ..common.settings import Count, NotNegative, Range, Seed
from ..core.base import ComplexPictures, Isometry, LinearOperator, Shape, check_shape
from .modulus import Measure, Modulus, QuickSearch

ROOT2 = math.sqrt(2.0)


class PhaseRetrieval(Modulus):
    """y = |F pad(x)| of each channel, the orthonormal 2-D Fourier transform with frequency 0 in the middle.

    input_shape: C x H x W. Kind "fourier": the picture amid `pad` zeros on each side, y C x (H + 2 pad) x (W + 2 pad);
    "coded": y = |F (m_l x)| / sqrt(L) behind L masks m_l of values 1, i, -1, -i, y C x L x (H + 2 pad) x (W + 2 pad)
    (Candes, Li, Soltanolkotabi 2015). Intensities are for photon counts.

    Of a real picture |y| is symmetric: one half is computed and copied. Ambiguities: global sign or phase, and for
    "fourier" the picture turned by 180 degrees (conjugated), and shifts inside the zeros.
    """

    beside_array = ("measure", "pad", "complex_values")

    def __init__(
        self,
        input_shape: Shape,
        *,
        kind: Annotated[Literal["fourier", "coded"], "what stands before the detector"] = "fourier",
        measure: Measure = "amplitude",
        oversample: Annotated[NotNegative, "pad is this / 8 of each side; with the customary 2, 256 become 384"] = 2.0,
        pad: Annotated[
            int | tuple[int, int] | None, Range(0), "zeros on each side, one number or (rows, columns); coded: 0"
        ] = None,
        patterns: Annotated[Count, "L, masks of coded"] = 4,
        seed: Annotated[Seed, "of the masks"] = 0,
        masks: Annotated[Tensor | np.ndarray | None, "of one's own, L x H x W of modulus 1, for coded"] = None,
        complex_values: ComplexPictures = False,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if len(shape) < 2:
            raise BadInput(f"input_shape is {shape}", wanted="(..., H, W)")
        kind = "coded" if masks is not None else kind
        if kind == "fourier":
            grid = _grid(shape, _pads(pad, tuple(round(oversample / 8 * n) for n in shape[-2:])))
            halved = not complex_values
            linear: LinearOperator = HalfSpectrum(shape, grid) if halved else PaddedSpectrum(shape, grid)
            super().__init__(linear, measure=measure, output_shape=(*shape[:-2], *grid))
        else:
            codes = _octanary(shape, patterns, seed) if masks is None else _own(masks, shape)
            grid, halved = _grid(shape, _pads(pad, (0, 0))), False
            super().__init__(
                CodedSpectrum(shape, grid, masks=torch.from_numpy(codes), complex_values=complex_values),
                measure=measure,
            )
        self.kind, self.halved, self.grid = kind, halved, grid
        if kind == "coded" and not complex_values and len(codes) > 1:
            # Two masks or more leave a real picture no other solution: error reduction alone finds it, from anywhere.
            self.quick = QuickSearch(starts=1, steps=60, reduction=1.0)

    def spread(self, values: Tensor) -> Tensor:
        """Frequency 0 to the middle; where B holds one half, the other half from |z(-k)| = |z(k)|."""
        if self.kind == "coded":
            return values
        if not self.halved:
            return torch.fft.fftshift(values, (-2, -1))
        width = self.grid[1]
        values = _unweighted(values, width, 1 if self.measure == "amplitude" else 2)
        left = _mirrored(values[..., 1 : width // 2 + 1])
        return torch.cat([left, torch.fft.fftshift(values[..., : width - width // 2], -2)], dim=-1)

    def gather(self, u: Tensor) -> Tensor:
        if self.kind == "coded":
            return u
        if not self.halved:
            return torch.fft.ifftshift(u, (-2, -1))
        return self._folded(u, 1 / ROOT2 if self.measure == "amplitude" else 0.5)

    def restrict(self, y: Tensor) -> Tensor:
        if not self.halved:
            return self._amplitudes(self.gather(y))
        return _weighted(self._amplitudes(self._folded(y, 0.5)), self.grid[1])

    def _folded(self, y: Tensor, factor: float) -> Tensor:
        """The half with columns 0, 1, ... of y, its rows in the order of the FFT; pairs are added, times the factor."""
        middle = self.grid[1] // 2
        left, right = _mirrored(y[..., :middle]), torch.fft.ifftshift(y[..., middle:], -2)
        paired = right.shape[-1] - 1
        pairs = (left[..., :paired] + right[..., 1:]) * factor
        return torch.cat([right[..., :1], pairs, left[..., paired:]], dim=-1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, kind={self.kind!r}"


class UnitarySpectrum(Isometry):
    """B with B^H B = I: the transforms below."""

    def gram(self, x: Tensor) -> Tensor:
        return x


class PaddedSpectrum(UnitarySpectrum):
    """F pad(x) of complex pictures, frequency 0 first; zeros are appended, which changes phases only."""

    def __init__(self, input_shape: Shape, grid: tuple[int, int]) -> None:
        super().__init__(input_shape, (*input_shape[:-2], *grid), complex_input=True, complex_output=True)
        self.grid = grid

    def _forward(self, x: Tensor) -> Tensor:
        return fourier(x, self.grid)

    def _adjoint(self, y: Tensor) -> Tensor:
        return inverse_fourier(y)[..., : self.input_shape[-2], : self.input_shape[-1]]


class HalfSpectrum(UnitarySpectrum):
    """The spectrum of real pictures without its mirror image; what has one is multiplied by sqrt(2)."""

    def __init__(self, input_shape: Shape, grid: tuple[int, int]) -> None:
        half = grid[1] // 2 + 1
        super().__init__(input_shape, (*input_shape[:-2], grid[0], half), complex_output=True)
        self.grid = grid

    def _forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(x, s=self.grid, norm="ortho")
        spectrum[..., _paired(self.grid[1])] *= ROOT2
        return spectrum

    def _adjoint(self, y: Tensor) -> Tensor:
        height, width = self.input_shape[-2:]
        # Rows beyond the picture are dropped between the two transforms, before they cost anything.
        rows = torch.fft.ifft(y, dim=-2, norm="ortho")[..., :height, :]
        rows[..., _paired(self.grid[1])] /= ROOT2
        return torch.fft.irfft(rows, n=self.grid[1], norm="ortho")[..., :width]


class CodedSpectrum(UnitarySpectrum):
    """F pad(m_l x) / sqrt(L), masks of modulus 1, frequency 0 in the middle.

    Factors exp(2 pi i n c / N) move a spectrum by c, and 1 / N makes the transform orthonormal; both are part of the
    masks that pictures are multiplied with, so that they cost nothing.
    """

    masks: Tensor

    def __init__(self, input_shape: Shape, grid: tuple[int, int], *, masks: Tensor, complex_values: bool) -> None:
        output_shape = (*input_shape[:-2], len(masks), *grid)
        super().__init__(input_shape, output_shape, complex_input=complex_values, complex_output=True)
        self.register_buffer("masks", masks / math.sqrt(len(masks)))
        self.grid = grid

    def _forward(self, x: Tensor) -> Tensor:
        return fourier(self.derived("moving", self._moving, x) * x.unsqueeze(-3), self.grid, norm="backward")

    def _adjoint(self, y: Tensor) -> Tensor:
        back = inverse_fourier(y, norm="forward")[..., : self.input_shape[-2], : self.input_shape[-1]]
        back = back.mul_(self.derived("moving_back", lambda: self._moving().conj().resolve_conj(), y))
        x = back.sum(-3) if back.shape[-3] > 1 else back.squeeze(-3)
        return x if self.complex_input else x.real

    def _moving(self) -> Tensor:
        rows, columns = (_ramp(n, of) for n, of in zip(self.masks.shape[-2:], self.grid, strict=True))
        return self.masks * torch.outer(rows, columns).to(self.masks.device) / math.sqrt(math.prod(self.grid))


def _ramp(length: int, grid: int) -> Tensor:
    """exp(2 pi i n c / N), n = 0 ... length - 1, for the middle c = N // 2 of a grid of N: signs where N is even."""
    n = torch.arange(length)
    if grid % 2 == 0:
        return (1 - 2 * (n % 2)).to(torch.complex128)
    phase = 2 * math.pi * ((n * (grid // 2)) % grid).double() / grid
    return torch.polar(torch.ones_like(phase), phase)


def fourier(x: Tensor, grid: tuple[int, int], *, norm: str = "ortho") -> Tensor:
    """FFT over the last two axes, zeros appended up to `grid`; an empty batch stays one."""
    if x.numel() == 0:
        return x.new_zeros(*x.shape[:-2], *grid, dtype=x.dtype if x.is_complex() else x.dtype.to_complex())
    return torch.fft.fft2(x, s=grid, norm=norm)


def inverse_fourier(y: Tensor, *, norm: str = "ortho") -> Tensor:
    """The inverse of `fourier` on its grid, in memory of its own."""
    return torch.fft.ifft2(y, norm=norm) if y.numel() else y.clone()


def _weighted(half: Tensor, width: int) -> Tensor:
    """Columns that stand for two, times sqrt(2)."""
    return half * _weights(half, width)


def _unweighted(half: Tensor, width: int, power: int) -> Tensor:
    """The inverse of `_weighted`, once for amplitudes and twice for intensities."""
    return half / _weights(half, width) ** power


def _weights(half: Tensor, width: int) -> Tensor:
    weights = half.new_ones(half.shape[-1], dtype=half.real.dtype if half.is_complex() else half.dtype)
    weights[_paired(width)] = ROOT2
    return weights


def _paired(width: int) -> slice:
    """The columns of a half spectrum whose mirror image is left out."""
    return slice(1, (width + 1) // 2)


def _mirrored(columns: Tensor) -> Tensor:
    """Values at k as values at -k, where one of the two sides has row frequency 0 first and the other in the middle."""
    return columns.flip((-2, -1)).roll(columns.shape[-2] // 2 + 1, -2)


def _octanary(shape: Shape, patterns: int, seed: int) -> np.ndarray:
    draws = generator(seed, "phase-retrieval", 0, "masks").integers(4, size=(patterns, *shape[-2:]))
    return np.array([1, 1j, -1, -1j])[draws]


def _own(masks: Tensor | np.ndarray, shape: Shape) -> np.ndarray:
    own = np.asarray(masks, dtype=np.complex128)
    if own.ndim != 3 or own.shape[1:] != shape[-2:] or not np.allclose(np.abs(own), 1):
        raise BadInput(f"masks have shape {own.shape}", wanted=f"L x {shape[-2]} x {shape[-1]}, all of modulus 1")
    return own


def _pads(pad: int | tuple[int, int] | None, default: tuple[int, ...]) -> tuple[int, int]:
    rows, columns = default if pad is None else ((pad, pad) if isinstance(pad, int) else pad)
    return rows, columns


def _grid(shape: Shape, pads: tuple[int, int]) -> tuple[int, int]:
    return shape[-2] + 2 * pads[0], shape[-1] + 2 * pads[1]
