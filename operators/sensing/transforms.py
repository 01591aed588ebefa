"""Fast orthonormal transforms of the last axis: DCT-II, DCT-III and Walsh-Hadamard in natural and sequency order."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from ..common.errors import BadInput

RADIX = 16  # the Hadamard chain multiplies by 16 x 16 matrices: few passes over memory, each a matrix product


def dct(x: Tensor) -> Tensor:
    """The orthonormal DCT-II of the last axis, from one real FFT of the same length (Makhoul 1980, section III).

    x: ... x N, real floating point; N any length. Its inverse, and its transpose, is `idct`.
    """
    if not x.numel():
        return x.clone()  # some releases of torch refuse to transform nothing
    n = x.shape[-1]
    spectrum = torch.fft.rfft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], dim=-1), norm="ortho")
    spectrum = spectrum * _twiddle(n, x.dtype, x.device)
    # X[k] = 2^0.5 Re W[k] and X[N-k] = -2^0.5 Im W[k]: half of the spectrum holds both halves of the result.
    upper = -spectrum.imag[..., 1 : (n + 1) // 2].flip(-1)
    return torch.cat([spectrum.real, upper], dim=-1)


def idct(x: Tensor) -> Tensor:
    """The orthonormal DCT-III of the last axis: the inverse of `dct`."""
    if not x.numel():
        return x.clone()
    n = x.shape[-1]
    half = n // 2 + 1
    mirrored = torch.nn.functional.pad(x[..., n - half + 1 :].flip(-1), (1, 0))  # X[N-k], and 0 for k = 0
    spectrum = torch.complex(x[..., :half], -mirrored) / _twiddle(n, x.dtype, x.device)
    ordered = torch.fft.irfft(spectrum, n=n, norm="ortho")
    out = torch.empty_like(ordered)
    out[..., ::2] = ordered[..., : (n + 1) // 2]
    out[..., 1::2] = ordered[..., (n + 1) // 2 :].flip(-1)
    return out


@lru_cache(maxsize=16)
def _twiddle(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """2^0.5 exp(-i pi k / 2N), k = 0 ... N/2, and 1 for k = 0; computed in double precision."""
    with torch.inference_mode(False), torch.device("cpu"):  # kept for later calls, whatever the caller's modes
        angle = torch.arange(n // 2 + 1, dtype=torch.float64) * (-torch.pi / (2 * n))
        size = torch.full_like(angle, 2.0).sqrt()
        size[0] = 1.0
        precise = torch.polar(size, angle)
        return precise.to(device=device, dtype=torch.complex128 if dtype == torch.float64 else torch.complex64)


def hadamard(x: Tensor) -> Tensor:
    """The orthonormal Walsh-Hadamard transform of the last axis in natural order; it is its own inverse.

    H[i, j] = (-1)^popcount(i & j) / N^0.5. x: ... x N, N a power of two; BadInput otherwise.
    """
    n = x.shape[-1]
    if not is_power_of_two(n):
        raise BadInput(f"a Hadamard transform of {n} numbers", wanted="a power of two")
    shape, done = x.shape, 1
    # H_N is a Kronecker product of small matrices, one for each digit of the index. A product from the left reaches a
    # digit where it stands, so that nothing is ever transposed; only the last digit takes one from the right.
    while done < n:
        radix = min(RADIX, n // done)
        matrix = hadamard_matrix(radix, x.dtype, x.device)
        x = x.reshape(-1, radix) @ matrix if done == 1 else matrix @ x.reshape(-1, radix, done)
        done *= radix
    return x.reshape(shape)


def hadamard2(x: Tensor) -> Tensor:
    """The orthonormal Walsh-Hadamard transform of the last two axes, which is that of the row-major vector."""
    if not (is_power_of_two(x.shape[-2]) and is_power_of_two(x.shape[-1])):
        raise BadInput(f"a Hadamard transform of {x.shape[-2]} x {x.shape[-1]} numbers", wanted="powers of two")
    return hadamard(x.flatten(-2)).reshape(x.shape)


@lru_cache(maxsize=32)
def hadamard_matrix(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """H_n / n^0.5 by Sylvester's doubling."""
    with torch.inference_mode(False), torch.device("cpu"):
        matrix = torch.ones(1, 1, dtype=torch.float64)
        while len(matrix) < n:
            matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)], 0)
        return (matrix / n**0.5).to(device=device, dtype=dtype)


def sequency_order(n: int) -> Tensor:
    """Natural row of each row of the sequency-ordered matrix (by number of sign changes): bit-reversed Gray code."""
    if not is_power_of_two(n):
        raise BadInput(f"a sequency order of {n} rows", wanted="a power of two")
    index = torch.arange(n, device="cpu")
    gray, reversed_bits = index ^ (index >> 1), torch.zeros_like(index)
    for _ in range(n.bit_length() - 1):
        reversed_bits = (reversed_bits << 1) | (gray & 1)
        gray = gray >> 1
    return reversed_bits


def is_power_of_two(n: int) -> bool:
    """Whether n is 1, 2, 4, ..."""
    return n >= 1 and n & (n - 1) == 0


def next_power_of_two(n: int) -> int:
    """The smallest power of two that is not below n >= 1."""
    return 1 << (n - 1).bit_length()


def pick(x: Tensor, places: Tensor) -> Tensor:
    """x[..., places]: through two axes, for which torch has a fast loop (up to a hundred times as fast as others)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1]).index_select(1, places).reshape(*x.shape[:-1], len(places))


def put(c: Tensor, places: Tensor, length: int) -> Tensor:
    """The transpose of `pick` for different places: zeros of the given length, but c at the places."""
    flat = c.new_zeros(math.prod(c.shape[:-1]), length)
    flat.index_copy_(1, places, c.reshape(len(flat), c.shape[-1]))
    return flat.reshape(*c.shape[:-1], length)
