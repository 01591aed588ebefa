"""Orthonormal bases from fast transforms, of which compressed sensing keeps some rows."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..common.randomness import generator
from ..common.settings import NotNegative, Range, Seed
from ..core.base import LinearOperator, Shape
from .transforms import dct, hadamard, idct, pick, put

Ratio = Annotated[float, Range(above=0, high=1), "measurements per pixel"]
Decay = Annotated[NotNegative, "of partial-fourier: how much rarer high frequencies are; 0: not"]


class Ensemble(LinearOperator):
    """m rows of an orthonormal basis of R^N, N = H W, the same for each channel: B x C x H x W -> B x C x m.

    A subclass gives the measured coefficients (`_forward`, `_adjoint`) and the whole basis: `_analyse` has all N
    coefficients with the measured ones first, `_synthesise` is its inverse and transpose.
    """

    def __init__(self, input_shape: Shape, rows: int) -> None:
        super().__init__(input_shape, (*tuple(input_shape)[:-2], rows))

    def _analyse(self, x: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not implement _analyse")

    def _synthesise(self, coefficients: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not implement _synthesise")


class Subsampled(Ensemble):
    """S T: all N coefficients by a fast orthonormal T, of which S keeps m; `rows` lists the kept ones first.

    A subclass gives `_coefficients` (T, B x ... x H x W -> B x ... x N) and its inverse `_picture`.
    """

    rows: Tensor

    def __init__(self, input_shape: Shape, *, kept: np.ndarray) -> None:
        super().__init__(input_shape, len(kept))
        rest = np.setdiff1d(np.arange(pixel_count(input_shape)), kept)
        self.register_buffer("rows", torch.from_numpy(np.concatenate([kept, rest])))

    def _coefficients(self, x: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not implement _coefficients")

    def _picture(self, coefficients: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not implement _picture")

    def _forward(self, x: Tensor) -> Tensor:
        return pick(self._coefficients(x), self._kept(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._picture(put(y, self._kept(y), pixel_count(self.input_shape)))

    def _analyse(self, x: Tensor) -> Tensor:
        return pick(self._coefficients(x), self.constant("rows", x))

    def _synthesise(self, coefficients: Tensor) -> Tensor:
        return self._picture(put(coefficients, self.constant("rows", coefficients), coefficients.shape[-1]))

    def _kept(self, like: Tensor) -> Tensor:
        return self.constant("rows", like)[: self.output_shape[-1]]


class Scrambled(Subsampled):
    """S T P: permute all pixels, transform, keep m coefficients at random (structurally random matrix, Do et al. 2012).

    Permutation leaves the mean alone, so the constant row of T is meaningful, and it is always kept.
    A subclass is its transform T of the last axis.
    """

    order: Tensor
    place: Tensor

    def __init__(self, input_shape: Shape, *, ratio: Ratio, seed: Seed) -> None:
        pixels = pixel_count(input_shape)
        measured = row_count(ratio, pixels)
        rng = generator(seed, "", 0, "compressed-sensing")
        order = rng.permutation(pixels)
        super().__init__(input_shape, kept=_drawn(rng, pixels, measured, self._constant_rows(pixels)))
        self.register_buffer("order", torch.from_numpy(order))
        self.register_buffer("place", torch.from_numpy(np.argsort(order)))

    def _transform(self, x: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not implement _transform")

    def _inverse(self, coefficients: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not implement _inverse")

    def _constant_rows(self, pixels: int) -> list[int]:
        """Rows of T that take means, the largest first."""
        return [0]

    def _coefficients(self, x: Tensor) -> Tensor:
        return self._transform(pick(x.flatten(-2), self.constant("order", x)))

    def _picture(self, coefficients: Tensor) -> Tensor:
        pixels = pick(self._inverse(coefficients), self.constant("place", coefficients))
        return pixels.reshape(coefficients.shape[0], *self.input_shape)


class ScrambledDCT(Scrambled):
    """T is the DCT-II of all permuted pixels: any size, O(N log N)."""

    def _transform(self, x: Tensor) -> Tensor:
        return dct(x)

    def _inverse(self, coefficients: Tensor) -> Tensor:
        return idct(coefficients)


class ScrambledHadamard(Scrambled):
    """T has entries +1 and -1 (over a root): what a micromirror array shows.

    N that is no power of two: the permuted pixels fall into groups of 2^k, largest first, each with a Hadamard
    transform of its own. Padding the picture with zeros instead would measure no more and lose A A^T = I.
    """

    def _transform(self, x: Tensor) -> Tensor:
        return torch.cat([hadamard(group) for group in torch.split(x, _binary_parts(x.shape[-1]), dim=-1)], dim=-1)

    def _inverse(self, coefficients: Tensor) -> Tensor:
        return self._transform(coefficients)

    def _constant_rows(self, pixels: int) -> list[int]:
        groups = _binary_parts(pixels)
        return [sum(groups[:i]) for i in range(len(groups))]


class StructuredRandom(Subsampled):
    """S D1 T D2: random signs on the pixels, the DCT-II of all of them, random signs on the coefficients.

    The signs D2 spread every picture evenly over the coefficients, its mean too (Do et al. 2012, local randomiser).
    """

    inner: Tensor
    outer: Tensor

    def __init__(self, input_shape: Shape, *, ratio: Ratio, seed: Seed) -> None:
        pixels = pixel_count(input_shape)
        rng = generator(seed, "", 0, "compressed-sensing")
        signs = rng.integers(0, 2, (2, pixels)) * 2.0 - 1.0
        super().__init__(input_shape, kept=_drawn(rng, pixels, row_count(ratio, pixels), []))
        self.register_buffer("inner", torch.from_numpy(signs[0]))
        self.register_buffer("outer", torch.from_numpy(signs[1]))

    def _coefficients(self, x: Tensor) -> Tensor:
        return self.constant("outer", x) * dct(self.constant("inner", x) * x.flatten(-2))

    def _picture(self, coefficients: Tensor) -> Tensor:
        pixels = self.constant("inner", coefficients) * idct(self.constant("outer", coefficients) * coefficients)
        return pixels.reshape(coefficients.shape[0], *self.input_shape)


class RandomConvolution(Subsampled):
    """S F^H D F: a periodic convolution with a kernel of flat spectrum and random phases, read at random pixels.

    J. Romberg, "Compressive sensing by random convolution", 2009. The mean is never lost: every pixel sees all others.
    """

    phase: Tensor

    def __init__(self, input_shape: Shape, *, ratio: Ratio, seed: Seed) -> None:
        pixels = pixel_count(input_shape)
        rng = generator(seed, "", 0, "compressed-sensing")
        # The phases of a real noise picture have the symmetry that keeps real pictures real.
        spectrum = np.fft.rfft2(rng.standard_normal(tuple(input_shape)[-2:]))
        super().__init__(input_shape, kept=_drawn(rng, pixels, row_count(ratio, pixels), []))
        self.register_buffer("phase", torch.from_numpy(spectrum / np.abs(spectrum)))

    def _coefficients(self, x: Tensor) -> Tensor:
        return self._convolved(x, self.constant("phase", x)).flatten(-2)

    def _picture(self, coefficients: Tensor) -> Tensor:
        pixels = coefficients.reshape(coefficients.shape[0], *self.input_shape)
        return self._convolved(pixels, self.constant("phase", coefficients).conj())

    @staticmethod
    def _convolved(x: Tensor, spectrum: Tensor) -> Tensor:
        return x.clone() if x.numel() == 0 else torch.fft.irfft2(torch.fft.rfft2(x) * spectrum, s=x.shape[-2:])


class PartialFourier(Subsampled):
    """S F: Fourier coefficients of a real picture as real numbers, low frequencies more often than high ones.

    Of each pair of conjugate frequencies one is taken, 2^0.5 Re and 2^0.5 Im of its coefficient in F x (unitary F); a
    frequency that is its own conjugate (the mean, the alternating patterns) gives its real coefficient. These N
    numbers are an orthonormal basis. The mean is always measured; the others are drawn pair by pair without return,
    with weights (1 + |k| / k_max * 16)^-decay, k_max the largest frequency (0: all alike).
    M. Lustig, D. Donoho, J. Pauly, "Sparse MRI", 2007, for the variable density.
    """

    source: Tensor
    weight: Tensor
    mirror: Tensor

    def __init__(self, input_shape: Shape, *, ratio: Ratio, seed: Seed, decay: Decay) -> None:
        grid = _HalfPlane(*(int(n) for n in tuple(input_shape)[-2:]))
        weights = (1 + 16 * grid.frequency / max(float(grid.frequency.max()), 1e-300)) ** -float(decay)
        rng = generator(seed, "", 0, "compressed-sensing")
        # Weighted draws without return: the order of exponential waiting times (Efraimidis, Spirakis 2006).
        waiting = rng.exponential(size=len(weights)) / weights
        waiting[0] = -1.0
        starts = np.cumsum(grid.parts) - grid.parts
        listed = np.concatenate([starts[f] + np.arange(grid.parts[f]) for f in np.argsort(waiting)])
        super().__init__(input_shape, kept=np.sort(listed[: row_count(ratio, len(listed))]))
        size = np.where(grid.parts == 2, 2**0.5, 1.0)
        self.register_buffer("source", torch.from_numpy(grid.source))
        self.register_buffer("weight", torch.from_numpy(np.repeat(size, grid.parts)))
        self.register_buffer("mirror", torch.from_numpy(grid.mirror))

    def _coefficients(self, x: Tensor) -> Tensor:
        if x.numel() == 0:
            return x.flatten(-2)
        spectrum = torch.view_as_real(torch.fft.rfft2(x, norm="ortho")).flatten(-3)
        return pick(spectrum, self.constant("source", x)) * self.constant("weight", x)

    def _picture(self, coefficients: Tensor) -> Tensor:
        if coefficients.numel() == 0:
            return coefficients.reshape(coefficients.shape[0], *self.input_shape)
        height, width = self.input_shape[-2:]
        half = width // 2 + 1
        values = coefficients / self.constant("weight", coefficients)
        parts = put(values, self.constant("source", coefficients), 2 * height * half)
        spectrum = torch.view_as_complex(parts.reshape(*coefficients.shape[:-1], height * half, 2))
        twin, original = self.constant("mirror", coefficients)
        spectrum[..., twin] = spectrum[..., original].conj()
        grid = spectrum.reshape(*coefficients.shape[:-1], height, half)
        return torch.fft.irfft2(grid, s=(height, width), norm="ortho")


class _HalfPlane:
    """The half spectrum that a real transform stores, H x (W // 2 + 1), without its repetitions.

    frequency: |k| in cycles per pixel of each frequency that is kept, the mean first. parts: 1 real number for one that
    is its own conjugate, 2 for others. source: where these numbers stand among the (Re, Im) of the half spectrum.
    mirror: places of the repetitions and of what they repeat (2 x n); they lie in columns that mirror themselves.
    """

    def __init__(self, height: int, width: int) -> None:
        half = width // 2 + 1
        r, c = np.meshgrid(np.arange(height), np.arange(half), indexing="ij")
        place, conjugate = r * half + c, (-r % height) * half + c
        mirrors_itself = (c == 0) | (2 * c == width)
        first = ~mirrors_itself | (place <= conjugate)
        alone = mirrors_itself & (place == conjugate)
        self.frequency = np.hypot(np.minimum(r, height - r) / height, c / width)[first]
        self.parts = np.where(alone, 1, 2)[first]
        numbers = np.stack([2 * place, 2 * place + 1], axis=-1)[first]
        self.source = numbers[np.stack([np.ones_like(self.parts), self.parts - 1], axis=-1) > 0]
        self.mirror = np.stack([place[~first], conjugate[~first]])


def _drawn(rng: np.random.Generator, pixels: int, measured: int, always: list[int]) -> np.ndarray:
    """Numbers of `measured` coefficients in ascending order: those of `always` (cut to that many), others at random."""
    first = always[:measured]
    others = rng.permutation(np.setdiff1d(np.arange(pixels), first))
    return np.sort(np.concatenate([first, others[: measured - len(first)]]).astype(np.int64))


def pixel_count(input_shape: Shape) -> int:
    """Pixels of a picture of that shape."""
    height, width = tuple(input_shape)[-2:]
    return int(height) * int(width)


def row_count(ratio: float, pixels: int) -> int:
    """Rows that this share of the pixels gives, at least 1."""
    return max(1, round(ratio * pixels))


def _binary_parts(n: int) -> list[int]:
    """The powers of two that sum to n, largest first."""
    return [1 << bit for bit in reversed(range(n.bit_length())) if n >> bit & 1]
