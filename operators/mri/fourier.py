"""The centred orthonormal Fourier transform, and the same with its shifts folded into two factors.

    (F x)[k] = N^-1/2 sum_n x[n] exp(-2 pi i (k - N//2)(n - N//2) / N)      on each axis, N even or odd
             = after[k] FFT(before * x)[k]

The factors are signs where all sizes are even, linear phases otherwise. Multiplied into coil maps and masks once, they
make the two shifts (four passes over memory) free.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def centred_fft(x: Tensor, *, dimensions: int = 2) -> Tensor:
    """F x over the last `dimensions` axes, zero frequency in the middle. x: real or complex; returns complex."""
    axes = _last(dimensions)
    return torch.fft.fftshift(fft(torch.fft.ifftshift(x, dim=axes), axes), dim=axes)


def centred_ifft(y: Tensor, *, dimensions: int = 2) -> Tensor:
    """F^-1 y = F^H y over the last `dimensions` axes."""
    axes = _last(dimensions)
    return torch.fft.fftshift(ifft(torch.fft.ifftshift(y, dim=axes), axes), dim=axes)


def fft(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The orthonormal transform over some axes; complex, also of nothing and over none."""
    if not axes or x.numel() == 0:
        return x if x.is_complex() else torch.complex(x, torch.zeros_like(x))
    return torch.fft.fftn(x, dim=axes, norm="ortho")


def ifft(y: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The inverse and adjoint of `fft`."""
    if not axes or y.numel() == 0:
        return y if y.is_complex() else torch.complex(y, torch.zeros_like(y))
    return torch.fft.ifftn(y, dim=axes, norm="ortho")


def before(size: tuple[int, ...]) -> Tensor:
    """The factor on the picture's side, shaped `size`: float64 signs, or complex128 where a size is odd."""
    return _product([[(n // 2) * (i - n // 2) for i in range(n)] for n in size], size)


def after(size: tuple[int, ...]) -> Tensor:
    """The factor on the measurement's side."""
    return _product([[(n // 2) * k for k in range(n)] for n in size], size)


def paired(values: Tensor, *, conjugate: bool = False) -> Tensor:
    """A real factor repeated for real and imaginary part (... x 2); complex values as they are.

    conjugate: the factor that also conjugates what it is multiplied with (real factors only).
    """
    if values.is_complex():
        return values
    return torch.stack([values, -values if conjugate else values], dim=-1)


def modulated(x: Tensor, factor: Tensor, *, is_paired: bool) -> Tensor:
    """x * factor; is_paired: the factor is real and comes from `paired`.

    Times real pairs because torch multiplies complex by real numbers as if both were complex.
    """
    if not is_paired:
        return x * factor
    if not x.is_complex():
        return x * factor[..., 0]
    return torch.view_as_complex(torch.view_as_real(x.resolve_conj()) * factor)


def modulate(x: Tensor, factor: Tensor, *, is_paired: bool) -> Tensor:
    """`modulated` in place of a complex x."""
    if is_paired:
        torch.view_as_real(x).mul_(factor)
        return x
    return x.mul_(factor)


def _product(turns: list[list[int]], size: tuple[int, ...]) -> Tensor:
    """The outer product of exp(2 pi i turns / n) over the axes; whole numbers keep the signs exact."""
    if all(n % 2 == 0 for n in size):
        signs = [[1.0 - 2.0 * ((2 * t // n) % 2) for t in row] for row, n in zip(turns, size, strict=True)]
        factors = [torch.tensor(row, dtype=torch.float64, device="cpu") for row in signs]
    else:
        angles = [[2 * math.pi * (t % n) / n for t in row] for row, n in zip(turns, size, strict=True)]
        factors = [torch.exp(1j * torch.tensor(row, dtype=torch.float64, device="cpu")) for row in angles]
    result = torch.ones((), dtype=factors[0].dtype, device="cpu")
    for factor in factors:
        result = result[..., None] * factor
    return result


def _last(dimensions: int) -> tuple[int, ...]:
    return tuple(range(-dimensions, 0))
