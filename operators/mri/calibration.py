"""Coil sensitivities from the data themselves: ESPIRiT and Walsh's adaptive combination.

Both end in the same question at every pixel: the eigenvector of the largest eigenvalue of a small matrix, coils x
coils. The phase is fixed by making the first coil real and positive.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput, BadType
from ..common.settings import Count, checked
from .coils import root_sum_of_squares
from .fourier import centred_ifft

PIXELS_AT_ONCE = 1 << 15  # matrices decomposed together, so that memory stays bounded


def espirit(
    kspace: Tensor | np.ndarray,
    *,
    calibration: int = 24,
    kernel: int = 6,
    threshold: float = 0.02,
    crop: float = 0.95,
) -> Tensor:
    """Maps from the null space of the calibration data (Uecker et al. 2014, doi:10.1002/mrm.24751).

    kspace: coils x H x W or coils x D x H x W, complex, zero frequency in the middle, where a block of `calibration`
    points a side is wholly measured. kernel: points a side of the sliding window. threshold: singular values of the
    calibration matrix above this share of the largest span the signal. crop: maps are 0 where the largest eigenvalue
    is below: no signal there. Returns coils x spatial, complex128, root sum of squares 1 or 0.
    """
    data = _checked(kspace)
    coils, size = data.shape[0], tuple(data.shape[1:])
    sides = [min(calibration, n) for n in size]
    if kernel < 2 or any(side < kernel + 1 for side in sides):
        raise BadInput(
            f"a kernel of {kernel} points in a calibration block of {sides}", wanted="a smaller kernel, of at least 2"
        )
    signal = _signal_projector(_middle(data, sides), kernel, threshold)
    lags = _autocorrelation(signal, coils, kernel, len(size))
    values, vectors = _leading(lags, size, kernel)
    maps = _referenced(vectors)
    return torch.where(values > crop, maps, 0.0)


@checked
def walsh(kspace: Tensor | np.ndarray, *, calibration: Count | None = None, window: Count = 7) -> Tensor:
    """Maps from the covariance of the coil pictures in a moving window (Walsh et al. 2000).

    kspace: as for `espirit`. calibration: side of the block in the middle that is used, smoothed by a Hann window;
    default all of k-space. window: side of the window in pixels, odd. Returns coils x spatial, complex128.
    """
    data = _checked(kspace)
    size = tuple(data.shape[1:])
    if window % 2 == 0:
        raise BadInput(f"window is {window}", wanted="an odd number of pixels")
    pictures = centred_ifft(_tapered(data, calibration) if calibration else data, dimensions=len(size))
    maps = torch.empty_like(pictures)
    products = torch.stack([_boxed(pictures * p.conj(), window) for p in pictures], dim=1)  # coils x coils x spatial
    matrices = products.flatten(2).permute(2, 0, 1)
    flat = maps.reshape(len(data), -1)
    for start in range(0, matrices.shape[0], PIXELS_AT_ONCE):
        _, vectors = torch.linalg.eigh(matrices[start : start + PIXELS_AT_ONCE])
        flat[:, start : start + PIXELS_AT_ONCE] = vectors[..., -1].T
    return _referenced(maps)


def _signal_projector(block: Tensor, kernel: int, threshold: float) -> Tensor:
    """The projector on what windows of the calibration block span (n x n, n = coils kernel^d, coil slowest)."""
    windows = block
    for axis in range(1, block.ndim):
        windows = windows.unfold(axis, kernel, 1)
    axes = block.ndim - 1
    order = [*range(1, axes + 1), 0, *range(axes + 1, 2 * axes + 1)]
    matrix = windows.permute(order).reshape(math.prod(windows.shape[1 : axes + 1]), -1)
    # Right singular vectors from the small normal matrix; squares of values above 2 % are safe in double precision.
    values, vectors = torch.linalg.eigh(matrix.mH @ matrix)
    signal = vectors[:, values > (threshold**2) * values[-1]]
    return (signal @ signal.mH).conj()  # windows are the rows of the matrix: conjugates of its right singular vectors


def _autocorrelation(projector: Tensor, coils: int, kernel: int, axes: int) -> Tensor:
    """sum over pairs of window places q - p = lag of the projector's entries: coils x coils x lags.

    A projector P acts on pictures as the sum of its windows, a convolution, hence a matrix for each pixel; divided
    by the window's points its eigenvalues are at most 1.
    """
    entries = projector.reshape(coils, *[kernel] * axes, coils, *[kernel] * axes)
    reach = 2 * kernel - 1
    lags = torch.zeros(coils, coils, *[reach] * axes, dtype=projector.dtype)
    for place in itertools.product(range(kernel), repeat=axes):
        first: tuple[Any, ...] = (slice(None), *place)
        part = entries[first]  # coil, coil', q
        # The lag q - p runs from -p to kernel - 1 - p.
        window = tuple(slice(kernel - 1 - p, 2 * kernel - 1 - p) for p in place)
        lags[(slice(None), slice(None), *window)] += part
    return lags / kernel**axes


def _leading(lags: Tensor, size: tuple[int, ...], kernel: int) -> tuple[Tensor, Tensor]:
    """Largest eigenvalue (size) and its vector (coils x size) of the matrix that `lags` is at every pixel."""
    coils = lags.shape[0]
    reach = torch.arange(1 - kernel, kernel, dtype=torch.float64)
    waves = [
        torch.exp(-2j * math.pi / n * (torch.arange(n, dtype=torch.float64) - n // 2)[:, None] * reach) for n in size
    ]
    values = torch.empty(size, dtype=torch.float64)
    vectors = torch.empty(coils, *size, dtype=torch.complex128)
    rows = max(1, PIXELS_AT_ONCE // math.prod(size[1:]))
    for start in range(0, size[0], rows):
        part: Any = lags
        for axis, wave in enumerate(waves):
            factors = wave[start : start + rows] if axis == 0 else wave
            part = torch.tensordot(part, factors, dims=([2], [1]))  # the transformed axis moves to the end
        matrices = part.permute(*range(2, part.ndim), 0, 1)
        eigenvalues, basis = torch.linalg.eigh(matrices)
        values[start : start + rows] = eigenvalues[..., -1]
        vectors[:, start : start + rows] = basis[..., -1].movedim(-1, 0)
    return values, vectors


def _referenced(vectors: Tensor) -> Tensor:
    """Vectors of length 1 turned so that the first coil is real and positive."""
    first = vectors[0]
    size = first.abs()
    turn = torch.where(size > 0, first.conj() / torch.where(size > 0, size, 1.0), 1.0)
    length = root_sum_of_squares(vectors)
    return vectors * turn / torch.where(length > 0, length, 1.0)


def _middle(data: Tensor, sides: Sequence[int]) -> Tensor:
    """The block of k-space around zero frequency."""
    for axis, side in enumerate(sides, start=1):
        data = data.narrow(axis, data.shape[axis] // 2 - side // 2, side)
    return data


def _tapered(data: Tensor, calibration: int) -> Tensor:
    """k-space outside the middle block at 0, the block under a Hann window against ringing."""
    for axis in range(1, data.ndim):
        n = data.shape[axis]
        distance = (torch.arange(n, dtype=torch.float64) - n // 2).abs() / (min(calibration, n) / 2 + 0.5)
        taper = torch.where(distance < 1, 0.5 + 0.5 * torch.cos(math.pi * distance), 0.0)
        data = data * taper.reshape(-1, *[1] * (data.ndim - axis - 1))
    return data


def _boxed(pictures: Tensor, window: int) -> Tensor:
    """The sum over a window along each spatial axis, by running sums; smaller windows at the border."""
    reach = window // 2
    for axis in range(1, pictures.ndim):
        total = torch.cumsum(pictures, axis)
        n = pictures.shape[axis]
        ends = torch.arange(n)
        upper = total.index_select(axis, (ends + reach).clamp_max(n - 1))
        starts = ends - reach - 1
        lower = total.index_select(axis, starts.clamp_min(0))
        inside = (starts >= 0).reshape(-1, *[1] * (pictures.ndim - axis - 1))
        pictures = upper - torch.where(inside, lower, torch.zeros((), dtype=lower.dtype))
    return pictures


def _checked(kspace: Any) -> Tensor:
    data = kspace.detach().cpu().resolve_conj() if isinstance(kspace, Tensor) else torch.from_numpy(np.asarray(kspace))
    if not data.is_complex():
        raise BadType(f"k-space holds {data.dtype}", wanted="complex samples, coils x H x W")
    if data.ndim not in (3, 4) or 0 in data.shape:
        raise BadInput(f"k-space has shape {tuple(data.shape)}", wanted="coils x H x W or coils x D x H x W")
    if not bool(torch.isfinite(torch.view_as_real(data)).all()):
        raise BadInput("k-space holds NaN or infinite values")
    if not bool(data.any()):
        raise BadInput("k-space is 0 everywhere")
    return data.to(torch.complex128)
