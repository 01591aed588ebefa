"""Phase retrieval: the size of a picture's spectrum, oversampled or behind random masks."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..base import LinearOperator, Shape, check_rho, check_shape
from ..errors import BadInput
from ..randomness import check_seed, generator
from .modulus import Modulus

KINDS = ("fourier", "coded")
ROOT2 = math.sqrt(2.0)


class PhaseRetrieval(Modulus):
    """y = |F pad(x)| of each channel, the orthonormal 2-D Fourier transform with frequency 0 in the middle.

    input_shape: C x H x W. kind: "fourier", the picture amid `pad` zeros on each side, y C x (H + 2 pad) x (W + 2 pad);
    "coded", y = |F (m_l x)| / sqrt(L) behind L masks m_l of values 1, i, -1, -i, y C x L x (H + 2 pad) x (W + 2 pad)
    (Candes, Li, Soltanolkotabi 2015). measure: "amplitude" or "intensity" (its square, for photon counts).
    oversample: sets pad = round(oversample / 8 * side) for each axis, 2 being customary (256 pixels become 384).
    pad: zeros on each side instead, one number or (rows, columns); 0 for "coded" unless given. patterns: L.
    seed: of the masks. masks: L x H x W of one's own, of "coded". complex_values: whether pictures are complex.

    Of a real picture |y| is symmetric: one half is computed and copied. Ambiguities: global sign or phase, and for
    "fourier" the picture turned by 180 degrees (conjugated), and shifts inside the zeros.
    """

    beside_array = ("measure", "pad", "complex_values")

    def __init__(
        self,
        input_shape: Shape,
        *,
        kind: str = "fourier",
        measure: str = "amplitude",
        oversample: float = 2.0,
        pad: int | tuple[int, int] | None = None,
        patterns: int = 4,
        seed: int = 0,
        masks: Tensor | np.ndarray | None = None,
        complex_values: bool = False,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if len(shape) < 2:
            raise BadInput(f"input_shape is {shape}", wanted="(..., H, W)")
        kind = "coded" if masks is not None else kind
        if kind not in KINDS:
            raise BadInput(f"kind is {kind!r}", wanted=" or ".join(map(repr, KINDS)))
        if not 0 <= oversample < math.inf:
            raise BadInput(f"oversample is {oversample!r}", wanted="a finite number of at least 0")
        if kind == "fourier":
            grid = _grid(shape, _pads(pad, tuple(round(oversample / 8 * n) for n in shape[-2:])))
            halved = not complex_values
            linear: LinearOperator = HalfSpectrum(shape, grid) if halved else Spectrum(shape, grid)
            super().__init__(linear, measure=measure, output_shape=(*shape[:-2], *grid))
        else:
            chosen = _octanary(shape, patterns, seed) if masks is None else _own(masks, shape)
            grid, halved = _grid(shape, _pads(pad, (0, 0))), False
            super().__init__(
                CodedSpectrum(shape, grid, masks=torch.from_numpy(chosen), complex_values=complex_values),
                measure=measure,
            )
        self.kind, self.halved, self.grid = kind, halved, grid

    def spread(self, values: Tensor) -> Tensor:
        """Frequency 0 to the middle; where B holds one half, the other half from |z(-k)| = |z(k)|."""
        height, width = self.grid
        rows = torch.fft.fftshift(torch.arange(height, device=values.device))
        if not self.halved:
            columns = torch.fft.fftshift(torch.arange(width, device=values.device))
            return values.index_select(-2, rows).index_select(-1, columns)
        values = _unweighted(values, width, 1 if self.measure == "amplitude" else 2)
        middle = width // 2
        left = values.index_select(-2, -rows % height)[..., 1 : middle + 1].flip(-1)
        return torch.cat([left, values.index_select(-2, rows)[..., : width - middle]], dim=-1)

    def gather(self, u: Tensor) -> Tensor:
        height, width = self.grid
        rows = torch.fft.ifftshift(torch.arange(height, device=u.device))
        if not self.halved:
            columns = torch.fft.ifftshift(torch.arange(width, device=u.device))
            return u.index_select(-2, rows).index_select(-1, columns)
        left, right = self._halves(u)
        both = torch.nn.functional.pad(left, (1, 0)) + torch.nn.functional.pad(
            right, (0, left.shape[-1] + 1 - right.shape[-1])
        )
        return _unweighted(both, width, 1 if self.measure == "amplitude" else 2)

    def restrict(self, y: Tensor) -> Tensor:
        if not self.halved:
            return self._amplitudes(self.gather(y))
        width = self.grid[1]
        left, right = self._halves(y)
        shared = right.shape[-1] - 1
        both = torch.cat([right[..., :1], (left[..., :shared] + right[..., 1:]) / 2, left[..., shared:]], dim=-1)
        return _weighted(self._amplitudes(both), width)

    def _halves(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Negative frequencies turned to 1, 2, ... and the others from 0, both with rows in the order of the FFT."""
        height, width = self.grid
        rows = torch.fft.ifftshift(torch.arange(height, device=y.device))
        middle = width // 2
        turned = rows.index_select(0, -torch.arange(height, device=y.device) % height)
        left = y[..., :middle].index_select(-2, turned).flip(-1)
        return left, y[..., middle:].index_select(-2, rows)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, kind={self.kind!r}"


class Isometry(LinearOperator):
    """B with B^H B = I: solve, pinv and norm in closed form."""

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        self._check(rhs, self.input_shape, self.complex_input, "right-hand side")
        return rhs / (1 + check_rho(rho, rhs))

    def gram(self, x: Tensor) -> Tensor:
        return x

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        return self.adjoint(y)

    def norm(self, *, iterations: int = 50) -> float:
        return 1.0


class Spectrum(Isometry):
    """F pad(x) of complex pictures, frequency 0 first; zeros are appended, which changes phases only."""

    def __init__(self, input_shape: Shape, grid: tuple[int, int]) -> None:
        super().__init__(input_shape, (*input_shape[:-2], *grid), complex_input=True, complex_output=True)
        self.grid = grid

    def _forward(self, x: Tensor) -> Tensor:
        return fourier(x, self.grid)

    def _adjoint(self, y: Tensor) -> Tensor:
        return inverse_fourier(y)[..., : self.input_shape[-2], : self.input_shape[-1]]


class HalfSpectrum(Isometry):
    """The spectrum of real pictures without its mirror image; what has one is multiplied by sqrt(2)."""

    def __init__(self, input_shape: Shape, grid: tuple[int, int]) -> None:
        half = grid[1] // 2 + 1
        super().__init__(input_shape, (*input_shape[:-2], grid[0], half), complex_output=True)
        self.grid = grid

    def _forward(self, x: Tensor) -> Tensor:
        if x.numel() == 0:
            return x.new_zeros(x.shape[0], *self.output_shape, dtype=x.dtype.to_complex())
        return _weighted(torch.fft.rfft2(x, s=self.grid, norm="ortho"), self.grid[1])

    def _adjoint(self, y: Tensor) -> Tensor:
        if y.numel() == 0:
            return y.real.new_zeros(y.shape[0], *self.input_shape)
        full = torch.fft.irfft2(_unweighted(y, self.grid[1], 1), s=self.grid, norm="ortho")
        return full[..., : self.input_shape[-2], : self.input_shape[-1]]


class CodedSpectrum(Isometry):
    """F pad(m_l x) / sqrt(L), masks of modulus 1."""

    masks: Tensor

    def __init__(self, input_shape: Shape, grid: tuple[int, int], *, masks: Tensor, complex_values: bool) -> None:
        output_shape = (*input_shape[:-2], len(masks), *grid)
        super().__init__(input_shape, output_shape, complex_input=complex_values, complex_output=True)
        self.register_buffer("masks", masks / math.sqrt(len(masks)))
        self.grid = grid

    def _forward(self, x: Tensor) -> Tensor:
        return fourier(self.constant("masks", x) * x.unsqueeze(-3), self.grid)

    def _adjoint(self, y: Tensor) -> Tensor:
        back = inverse_fourier(y)[..., : self.input_shape[-2], : self.input_shape[-1]]
        x = (self.constant("masks", y).conj() * back).sum(-3)
        return x if self.complex_input else x.real


def fourier(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Orthonormal FFT over the last two axes, zeros appended up to `grid`; an empty batch stays one."""
    if x.numel() == 0:
        return x.new_zeros(*x.shape[:-2], *grid, dtype=x.dtype if x.is_complex() else x.dtype.to_complex())
    return torch.fft.fft2(x, s=grid, norm="ortho")


def inverse_fourier(y: Tensor) -> Tensor:
    """The inverse of `fourier` on its grid."""
    return torch.fft.ifft2(y, norm="ortho") if y.numel() else y


def _weighted(half: Tensor, width: int) -> Tensor:
    """Columns that stand for two, times sqrt(2)."""
    return half * _weights(half, width)


def _unweighted(half: Tensor, width: int, power: int) -> Tensor:
    """The inverse of `_weighted`, once for amplitudes and twice for intensities."""
    return half / _weights(half, width) ** power


def _weights(half: Tensor, width: int) -> Tensor:
    weights = torch.full((half.shape[-1],), ROOT2, dtype=half.real.dtype if half.is_complex() else half.dtype)
    weights[0] = 1
    if width % 2 == 0:
        weights[-1] = 1
    return weights.to(half.device)


def _octanary(shape: Shape, patterns: int, seed: int) -> np.ndarray:
    if isinstance(patterns, bool) or not isinstance(patterns, int) or patterns < 1:
        raise BadInput(f"patterns is {patterns!r}", wanted="an integer of at least 1")
    draws = generator(check_seed(seed), "phase-retrieval", 0, "masks").integers(4, size=(patterns, *shape[-2:]))
    return np.array([1, 1j, -1, -1j])[draws]


def _own(masks: Tensor | np.ndarray, shape: Shape) -> np.ndarray:
    own = np.asarray(masks, dtype=np.complex128)
    if own.ndim != 3 or own.shape[1:] != shape[-2:] or not np.allclose(np.abs(own), 1):
        raise BadInput(f"masks have shape {own.shape}", wanted=f"L x {shape[-2]} x {shape[-1]}, all of modulus 1")
    return own


def _pads(pad: int | tuple[int, int] | None, default: tuple[int, ...]) -> tuple[int, int]:
    given = default if pad is None else ((pad, pad) if isinstance(pad, int) else tuple(pad))
    if len(given) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in given):
        raise BadInput(f"pad is {pad!r}", wanted="one or two integers of at least 0")
    return given[0], given[1]


def _grid(shape: Shape, pads: tuple[int, int]) -> tuple[int, int]:
    return shape[-2] + 2 * pads[0], shape[-1] + 2 * pads[1]
