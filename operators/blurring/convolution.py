"""Two ways to apply one convolution, both exact: by FFT, or by a moving window where that is faster.

A = C F P: P looks up what lies beyond the edges, F convolves, C crops. The transpose is P^T F^T C^T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core.base import LinearOperator, Shape
from .padding import Run, fold, pad, runs

# Side of a kernel up to which a direct convolution beats the FFT on a processor. A column and a row in the place of
# a rank-1 kernel were no faster than the FFT at 256 x 256 pixels, so there is no path for them.
WINDOW_UP_TO = 7


def output_shape(input_shape: Shape, kernel: np.ndarray, boundary: str) -> Shape:
    """The size of y: the picture's, or that of the part where the kernel fits."""
    if boundary != "valid":
        return tuple(input_shape)
    return (*input_shape[:-2], *(n - k + 1 for n, k in zip(input_shape[-2:], kernel.shape, strict=True)))


def axis_runs(input_shape: Shape, kernel: np.ndarray, boundary: str) -> tuple[tuple[Run, ...], ...] | None:
    """The lookup P of rows and columns; None under "valid", where nothing is looked up.

    y[p] = sum_q h[q] x[p - q + c] reaches k - 1 - c pixels beyond one end and c = k // 2 beyond the other.
    """
    if boundary == "valid":
        return None
    return tuple(runs(n, k - 1 - k // 2, k // 2, boundary) for n, k in zip(input_shape[-2:], kernel.shape, strict=True))


def rank_one(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Column and row whose outer product is the kernel (to 1e-6 of its largest singular value), or None."""
    u, s, vt = np.linalg.svd(kernel, full_matrices=False)
    if len(s) > 1 and s[1] >= 1e-6 * s[0]:
        return None
    column, row = u[:, 0] * np.sqrt(s[0]), vt[0] * np.sqrt(s[0])
    # Divided evenly, two negative halves would be as good; sums of one sign are easier to read.
    sign = -1.0 if column.sum() < 0 else 1.0
    return column * sign, row * sign


def wrapped(kernel: np.ndarray, size: tuple[int, int], offset: tuple[int, int]) -> np.ndarray:
    """The kernel on a periodic grid, its entry `offset` at the origin; what does not fit is wrapped around."""
    grid = np.zeros(size)
    rows = (np.arange(kernel.shape[0]) - offset[0]) % size[0]
    columns = (np.arange(kernel.shape[1]) - offset[1]) % size[1]
    np.add.at(grid, (rows[:, None], columns[None, :]), kernel)
    return grid


@dataclass(frozen=True)
class PeriodicGrid:
    """Where circular convolution on a periodic grid is convolution under a boundary: how to pad, wrap and crop."""

    picture: tuple[int, int]
    output: tuple[int, int]
    size: tuple[int, int]  # of the periodic grid
    offset: tuple[int, int]  # entry of the kernel that lies at the grid's origin
    lookup: tuple[tuple[Run, ...], ...] | None  # of rows and columns; None where nothing is looked up

    @staticmethod
    def of(input_shape: Shape, kernel: np.ndarray, boundary: str) -> PeriodicGrid:
        """The grid for a kernel (of that shape) over the last two axes of a picture."""
        height, width = kernel.shape
        centre = (height // 2, width // 2)
        sizes = (input_shape[-2], input_shape[-1])
        output = output_shape(input_shape, kernel, boundary)
        cropped = (output[-2], output[-1])
        if boundary == "circular":
            return PeriodicGrid(sizes, cropped, sizes, centre, None)
        if boundary == "zero":
            # Zeros beyond the picture are those that the transform adds; half a kernel of them is enough.
            reach = [n + max(c, k - 1 - c) for n, c, k in zip(sizes, centre, kernel.shape, strict=True)]
            return PeriodicGrid(sizes, cropped, (fast_length(reach[0]), fast_length(reach[1])), centre, None)
        extra = (0, 0) if boundary == "valid" else (height - 1, width - 1)
        size = (fast_length(sizes[0] + extra[0]), fast_length(sizes[1] + extra[1]))
        return PeriodicGrid(sizes, cropped, size, (height - 1, width - 1), axis_runs(input_shape, kernel, boundary))

    def spectrum(self, kernel: np.ndarray) -> np.ndarray:
        """The half spectrum of a kernel on the grid, with the 1 / N that `crop` and `fold` leave out."""
        half: np.ndarray = np.fft.rfft2(wrapped(kernel, self.size, self.offset), norm="forward")
        return half

    def transform(self, x: Tensor) -> Tensor:
        """The half spectrum of a picture (... x H x W) and what lies beyond its edges."""
        if self.lookup is not None:
            x = pad(pad(x, self.lookup[0], -2), self.lookup[1], -1)
        return torch.fft.rfft2(x, s=self.size)

    def crop(self, spectrum: Tensor) -> Tensor:
        """The measurement (... x H' x W') whose spectrum on the grid is given, times a kernel's `spectrum`."""
        return torch.fft.irfft2(spectrum, s=self.size, norm="forward")[..., : self.output[0], : self.output[1]]

    def fold(self, spectrum: Tensor) -> Tensor:
        """The transpose of `transform`'s lookup, applied to the values of a spectrum times a kernel's `spectrum`."""
        x = torch.fft.irfft2(spectrum, s=self.size, norm="forward")
        if self.lookup is None:
            return x[..., : self.picture[0], : self.picture[1]]
        rows, columns = (runs[-1].start + runs[-1].length for runs in self.lookup)
        height, width = self.picture
        return fold(fold(x[..., :rows, :columns], self.lookup[1], -1, width), self.lookup[0], -2, height)


class PeriodicConvolution(LinearOperator):
    """Convolution as a product of spectra: cost O(N log N), whatever the kernel's size."""

    parts: Tensor

    def __init__(self, input_shape: Shape, kernel: np.ndarray, boundary: str) -> None:
        super().__init__(input_shape, output_shape(input_shape, kernel, boundary))
        self.grid = PeriodicGrid.of(self.input_shape, kernel, boundary)
        # Pairs of real numbers: `.to(dtype)` would drop the imaginary parts of a complex buffer.
        self.register_buffer("parts", real_pairs(self.grid.spectrum(kernel)), persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        spectrum = self.grid.transform(x)
        spectrum *= torch.view_as_complex(self.constant("parts", x))
        return self.grid.crop(spectrum)

    def _adjoint(self, y: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(y, s=self.grid.size)
        spectrum *= torch.view_as_complex(self.constant("parts", y)).conj()
        return self.grid.fold(spectrum)


class MovingWindow(LinearOperator):
    """Convolution by a moving window: for small kernels, on a processor."""

    window: Tensor

    def __init__(self, input_shape: Shape, kernel: np.ndarray, boundary: str) -> None:
        super().__init__(input_shape, output_shape(input_shape, kernel, boundary))
        self._runs = axis_runs(self.input_shape, kernel, boundary)
        self.register_buffer("window", torch.from_numpy(kernel.copy()), persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        if self._runs is not None:
            x = pad(pad(x, self._runs[0], -2), self._runs[1], -1)
        # conv2d correlates: the kernel is turned around for a convolution, and as it is for the transpose.
        return _correlate(x, self.constant("window", x).flip(0, 1))

    def _adjoint(self, y: Tensor) -> Tensor:
        window = self.constant("window", y)
        rows, columns = window.shape[0] - 1, window.shape[1] - 1
        # Padded beforehand: conv2d's own padding took two to three times as long.
        x = _correlate(torch.nn.functional.pad(y, (columns, columns, rows, rows)), window)
        if self._runs is None:
            return x
        height, width = self.input_shape[-2:]
        return fold(fold(x, self._runs[1], -1, width), self._runs[0], -2, height)


def fast_length(n: int) -> int:
    """The smallest length from n on without prime factors above 5: fast for every FFT library."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def real_pairs(values: np.ndarray) -> Tensor:
    """Complex numbers as a real tensor with a last axis of 2."""
    return torch.from_numpy(np.stack([values.real, values.imag], axis=-1))


def _correlate(x: Tensor, window: Tensor) -> Tensor:
    """The same window over every plane of x (B x ... x H x W)."""
    planes = x.reshape(x.shape[0], int(np.prod(x.shape[1:-2])), *x.shape[-2:])
    weight = window.expand(planes.shape[1], 1, *window.shape).contiguous()
    y = torch.nn.functional.conv2d(planes, weight, groups=planes.shape[1])
    return y.reshape(*x.shape[:-2], *y.shape[-2:])
