"""A^H A of a free trajectory is a convolution with one kernel: two padded FFTs and no gridding.

    (A^H A x)[n] = sum_n' t[n - n'] x[n'],   t[d] = sum_m exp(i k_m . d) / N

Wajer and Pruessmann 2001; Fessler et al. 2005, doi:10.1109/TSP.2005.853152.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..blurring.convolution import fast_length
from ..core.base import Shape
from .plans import Nufft


def lags(points: Tensor, size: Shape) -> Tensor:
    """t[d] for every difference d of two pixels, -(N - 1) ... N - 1 on each axis (complex128)."""
    ends = tuple(2 * n - 1 for n in size)
    ones = torch.ones(1, points.reshape(-1, len(size)).shape[0], dtype=torch.complex128, device="cpu")
    kernel = Nufft(points, ends, eps=1e-13).adjoint(ones)[0] / math.prod(size)
    # Self-adjoint to the last digit, so that its spectrum is real.
    return (kernel + kernel.flip(tuple(range(len(size)))).conj()) / 2


def wrapped(values: Tensor, grid: Shape) -> Tensor:
    """Values at lags -(N - 1) ... N - 1 of the last axes added into a periodic grid, lag 0 first."""
    for axis, length in zip(range(-len(grid), 0), grid, strict=True):
        reach = values.shape[axis] // 2
        places = torch.arange(-reach, reach + 1, device=values.device) % length
        shape = list(values.shape)
        shape[axis] = length
        values = values.new_zeros(shape).index_add_(values.ndim + axis, places, values)
    return values


def spectrum(kernel: Tensor, size: Shape) -> Tensor:
    """The real spectrum of the periodic convolution that contains the Toeplitz one; kernel: ... x lags."""
    grid = tuple(fast_length(2 * n - 1) for n in size)
    return torch.fft.fftn(wrapped(kernel, grid), dim=tuple(range(-len(size), 0))).real


def convolve(x: Tensor, pairs: Tensor, size: Shape) -> Tensor:
    """The Toeplitz product of the last axes; pairs: the spectrum, repeated for real and imaginary parts.

    Rows that are zero by padding are not transformed: axes are padded one after the other and cut in reverse.
    """
    if not x.numel():
        return x
    for axis, length in zip(range(-1, -len(size) - 1, -1), reversed(pairs.shape[-len(size) - 1 : -1]), strict=True):
        x = torch.fft.fft(x, n=length, dim=axis)
    x = torch.view_as_complex(torch.view_as_real(x) * pairs)
    for axis, n in zip(range(-len(size), 0), size, strict=True):
        x = torch.fft.ifft(x, dim=axis).narrow(axis, 0, n)
    return x


def diagonal(kernel: Tensor, size: Shape, maps: Tensor | None) -> Tensor:
    """diag(F G F^H) of G = sum_c S_c^H T S_c on the periodic grid: the circulant matrix nearest to G (Chan 1988).

    kernel: ... x lags; maps: coils x size or None for one coil of sensitivity 1.
    """
    axes = tuple(range(-len(size), 0))
    source = torch.ones(1, *size, dtype=torch.complex128, device=kernel.device) if maps is None else maps
    ends = tuple(2 * n - 1 for n in size)
    power = (torch.fft.fftn(source, s=ends, dim=axes).abs() ** 2).sum(0)
    overlap = torch.fft.fftshift(torch.fft.ifftn(power, dim=axes), dim=axes).conj()
    return torch.fft.fftn(wrapped(kernel * overlap, size), dim=axes).real.clamp_min(0) / math.prod(size)
