"""Bases in which a blur is diagonal, and the closed forms that follow from them.

Convolution is diagonal in the Fourier basis on a periodic picture, in the cosine basis on a mirrored one if the kernel
is even, and in products of the two axes' singular vectors if the kernel has rank 1, whatever the boundary.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..core.base import SVD, LinearOperator, Shape, check_rho
from ..core.diagonal import divide, kept, sandwich
from ..sensing.transforms import dct, idct
from .convolution import output_shape, real_pairs, wrapped
from .padding import OUTSIDE, indices


class Basis(LinearOperator):
    """A = U diag(s) V^T, the same for each channel, with V square.

    Coordinates are B x ... x H x W. A subclass gives `analyse` (V^T), `synthesise` (V), `measure` (U^T) and `emit` (U),
    and the buffer `s` (H x W); `structure` (h, w) is the part of the grid that is not zero by counting alone.
    """

    s: Tensor

    def __init__(self, input_shape: Shape, kernel: np.ndarray, boundary: str) -> None:
        super().__init__(input_shape, output_shape(input_shape, kernel, boundary))
        self.structure = self.output_shape[-2:]

    def analyse(self, x: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not implement analyse")

    def synthesise(self, c: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not implement synthesise")

    def measure(self, y: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not implement measure")

    def emit(self, c: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not implement emit")

    def _forward(self, x: Tensor) -> Tensor:
        return self.emit(self.constant("s", x) * self.analyse(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.synthesise(self.constant("s", y) * self.measure(y))

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """V (V^T rhs) / (s^2 + rho); 0 where both are 0."""
        power = self.constant("s", rhs) ** 2 + check_rho(rho, rhs)
        return self.synthesise(divide(self.analyse(rhs), power))

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """V (U^T y) / s over singular values above rtol times the largest."""
        return self.synthesise(divide(self.measure(y), kept(self.constant("s", y), rtol)))

    def norm(self, *, iterations: int = 50) -> float:
        return float(self.s.max())

    @property
    def svd(self) -> SVD:
        """In flat coordinates: those with a singular value first (rows of the grid, channel by channel)."""
        height, width = self.input_shape[-2:]
        inside = torch.zeros(height, width, dtype=torch.bool)
        inside[: self.structure[0], : self.structure[1]] = True
        first, rest = inside.flatten().nonzero()[:, 0], (~inside).flatten().nonzero()[:, 0]
        planes = self.input_shape[:-2]
        r = int(np.prod(planes)) * len(first)

        def flat(c: Tensor, places: Tensor) -> Tensor:
            return c.flatten(-2)[..., places.to(c.device)].flatten(1)

        def grid(c: Tensor) -> Tensor:
            full = c.new_zeros(c.shape[0], *planes, height * width)
            for part, places in ((c[:, :r], first), (c[:, r:], rest)):
                if part.shape[1]:
                    full[..., places.to(c.device)] = part.reshape(c.shape[0], *planes, len(places))
            return full.reshape(c.shape[0], *self.input_shape)

        def in_input(x: Tensor) -> Tensor:
            c = self.analyse(x)
            return torch.cat([flat(c, first), flat(c, rest)], dim=1)

        return SVD(
            s=self.s.detach().double().cpu().flatten()[first].repeat(int(np.prod(planes))),
            U=lambda c: self.emit(grid(c)),
            Ut=lambda y: flat(self.measure(y), first),
            V=lambda c: self.synthesise(grid(c)),
            Vt=in_input,
        )


class Fourier(Basis):
    """A periodic picture: A = F^-1 diag(H) F, H the spectrum of the kernel.

    Real singular vectors are those of the Hartley transform, Re F - Im F (orthonormal and its own inverse): |H| is
    even, so it is diagonal there too, and U is V turned by the phase of H.
    """

    parts: Tensor
    turn: Tensor

    def __init__(self, input_shape: Shape, kernel: np.ndarray) -> None:
        super().__init__(input_shape, kernel, "circular")
        size = (self.input_shape[-2], self.input_shape[-1])
        grid = wrapped(kernel, size, (kernel.shape[0] // 2, kernel.shape[1] // 2))
        half, full = np.fft.rfft2(grid), np.abs(np.fft.fft2(grid))
        phase = np.where(np.abs(half) > 0, half / np.where(np.abs(half) > 0, np.abs(half), 1), 1)
        self.register_buffer("s", torch.from_numpy(full), persistent=False)
        self.register_buffer("parts", real_pairs(half), persistent=False)
        self.register_buffer("turn", real_pairs(phase), persistent=False)

    def analyse(self, x: Tensor) -> Tensor:
        if x.numel() == 0:
            return x.clone()
        spectrum = torch.fft.fft2(x, norm="ortho")
        return spectrum.real - spectrum.imag

    def synthesise(self, c: Tensor) -> Tensor:
        return self.analyse(c)

    def measure(self, y: Tensor) -> Tensor:
        return self.analyse(self._times(y, self._complex("turn", y).conj()))

    def emit(self, c: Tensor) -> Tensor:
        return self._times(self.analyse(c), self._complex("turn", c))

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """F^-1 (F rhs) / (|H|^2 + rho): half the work of the real basis."""
        power = self._complex("parts", rhs).abs() ** 2 + check_rho(rho, rhs)
        return self._times(rhs, divide(torch.ones_like(power), power))

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """F^-1 (conj(H) F y) / |H|^2 where |H| > rtol max |H|, else 0."""
        size = kept(self._complex("parts", y).abs(), rtol)
        return self._times(y, self._complex("turn", y).conj() * divide(torch.ones_like(size), size))

    def _times(self, x: Tensor, spectrum: Tensor) -> Tensor:
        if x.numel() == 0:
            return x.clone()
        size = self.input_shape[-2:]
        return torch.fft.irfft2(torch.fft.rfft2(x) * spectrum, s=size)

    def _complex(self, name: str, like: Tensor) -> Tensor:
        return torch.view_as_complex(self.constant(name, like))


class Cosine(Basis):
    """A picture mirrored at its edges (edge pixel repeated) under a kernel even along both axes.

    The DCT-II is its basis. Eigenvalue (u, v): sum_q h[q] cos(pi u (q_r - c_r) / H) cos(pi v (q_c - c_c) / W), which is
    the kernel's spectrum at half steps of frequency. For a kernel that is not even `s` is the root mean square of that
    spectrum over the signs of v: A itself is something else, but `solve` still comes near it.
    """

    sign: Tensor

    def __init__(self, input_shape: Shape, kernel: np.ndarray) -> None:
        super().__init__(input_shape, kernel, "symmetric")
        rows, columns = (
            np.exp(-1j * np.pi / n * np.outer(np.arange(n), np.arange(k) - k // 2))
            for n, k in zip(self.input_shape[-2:], kernel.shape, strict=True)
        )
        one, other = rows @ kernel @ columns.T, rows @ kernel @ columns.conj().T
        s = np.sqrt((np.abs(one) ** 2 + np.abs(other) ** 2) / 2)
        self.register_buffer("s", torch.from_numpy(s), persistent=False)
        self.register_buffer("sign", torch.from_numpy(np.where(one.real < 0, -1.0, 1.0)), persistent=False)

    def analyse(self, x: Tensor) -> Tensor:
        return dct(dct(x).mT).mT

    def synthesise(self, c: Tensor) -> Tensor:
        return idct(idct(c).mT).mT

    def measure(self, y: Tensor) -> Tensor:
        return self.constant("sign", y) * self.analyse(y)

    def emit(self, c: Tensor) -> Tensor:
        return self.synthesise(self.constant("sign", c) * c)


class Axes(Basis):
    """A kernel of rank 1 under any boundary: A = K_r (x) K_c, one matrix per axis, and K = U S V^T of each."""

    def __init__(
        self, input_shape: Shape, kernel: np.ndarray, boundary: str, *, factors: tuple[np.ndarray, ...]
    ) -> None:
        super().__init__(input_shape, kernel, boundary)
        axes = [
            _axis_svd(factor.tobytes(), size, boundary)
            for factor, size in zip(factors, self.input_shape[-2:], strict=True)
        ]
        s = np.zeros(self.input_shape[-2:])
        s[: self.structure[0], : self.structure[1]] = np.outer(axes[0][1], axes[1][1])
        self.register_buffer("s", torch.from_numpy(s), persistent=False)
        for name, (u, _, v) in zip(("rows", "columns"), axes, strict=True):
            self.register_buffer(f"u_{name}", torch.from_numpy(u.copy()), persistent=False)
            self.register_buffer(f"v_{name}", torch.from_numpy(v.copy()), persistent=False)

    def analyse(self, x: Tensor) -> Tensor:
        return sandwich(self.constant("v_rows", x).mT, x, self.constant("v_columns", x))

    def synthesise(self, c: Tensor) -> Tensor:
        return sandwich(self.constant("v_rows", c), c, self.constant("v_columns", c).mT)

    def measure(self, y: Tensor) -> Tensor:
        c = sandwich(self.constant("u_rows", y).mT, y, self.constant("u_columns", y))
        height, width = self.input_shape[-2:]
        return torch.nn.functional.pad(c, (0, width - c.shape[-1], 0, height - c.shape[-2]))

    def emit(self, c: Tensor) -> Tensor:
        c = c[..., : self.structure[0], : self.structure[1]]
        return sandwich(self.constant("u_rows", c), c, self.constant("u_columns", c).mT)


def is_even(kernel: np.ndarray) -> bool:
    """Whether the kernel is its own mirror image along both axes."""
    if kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        return False
    slack = 1e-12 * np.abs(kernel).max()
    return all(bool((np.abs(kernel - np.flip(kernel, axis)) <= slack).all()) for axis in (0, 1))


def axis_matrix(factor: np.ndarray, size: int, boundary: str) -> np.ndarray:
    """The matrix of a one-dimensional convolution: y = K x."""
    k = len(factor)
    source = np.arange(size) if boundary == "valid" else indices(size, k - 1 - k // 2, k // 2, boundary)
    outputs = len(source) - k + 1
    matrix = np.zeros((outputs, size))
    for tap in range(k):
        read = source[k - 1 - tap : k - 1 - tap + outputs]
        inside = read != OUTSIDE
        np.add.at(matrix, (np.arange(outputs)[inside], read[inside]), factor[tap])
    return matrix


@lru_cache(maxsize=8)
def _axis_svd(factor: bytes, size: int, boundary: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (outputs x outputs), s (outputs) and all of V (size x size)."""
    u, s, vt = np.linalg.svd(axis_matrix(np.frombuffer(factor), size, boundary), full_matrices=True)
    return u, s, np.ascontiguousarray(vt.T)
