"""Ptychography: diffraction patterns of a probe that scans an object in overlapping steps."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.settings import Count, Range, check
from ..core.base import LinearOperator, Shape, check_rho, check_shape
from .modulus import Measure, Modulus
from .phase_retrieval import fourier, inverse_fourier

DEFAULT_PROBE = 64  # pixels
DISK = 0.42  # radius of the default probe, as a share of its side
DEFOCUS = 0.5  # radians of quadratic phase at the rim of the default probe, times pi


class Ptychography(Modulus):
    """y_l = |F (p x[patch l])|^2: L far-field patterns of one object (Fraunhofer, orthonormal FFT, frequency 0 first).

    input_shape: C x H x W, complex; y: C x L x h x w. Without a probe of one's own it is a slightly defocused disk.
    Positions may be fractions: the probe is then moved by the rest through the phases of its spectrum. Without
    positions the patches form a raster; neighbours customarily overlap by 0.6 and more. `linear` is x -> F(p x[patch
    l]), with its exact adjoint; its normal matrix is diagonal, sum_l |p_l|^2.

    Rodenburg, Faulkner 2004, doi:10.1063/1.1823034. The global phase stays unknown.
    """

    beside_array = ("measure", "overlap")

    def __init__(
        self,
        input_shape: Shape,
        *,
        probe: Annotated[Tensor | np.ndarray | None, "complex, h x w; none: a disk"] = None,
        positions: Annotated[
            Tensor | np.ndarray | list[list[float]] | None,
            "L x 2 top left corners (row, column) of patches in pixels",
        ] = None,
        size: Annotated[Count | None, "pixels of the disk's side; none: 64, or half of the shorter side"] = None,
        overlap: Annotated[float, Range(0, below=1), "share by which neighbours of the raster overlap"] = 0.7,
        measure: Measure = "intensity",
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if len(shape) < 2:
            raise BadInput(f"input_shape is {shape}", wanted="(..., H, W)")
        lit = _probe(probe, size, shape)
        corners = _raster(shape, lit.shape, overlap) if positions is None else _corners(positions, shape, lit.shape)
        super().__init__(Scan(shape, probe=lit, corners=corners), measure=measure)
        self.overlap = overlap


class Scan(LinearOperator):
    """x -> F (p_l x[patch l]), l = 1 ... L, p_l the probe moved by the fraction of its position."""

    probe: Tensor

    def __init__(self, input_shape: Shape, *, probe: np.ndarray, corners: np.ndarray) -> None:
        whole = np.floor(corners).astype(int)
        moved = corners - whole
        probes = shifted(probe, moved) if moved.any() else probe[None]
        super().__init__(
            input_shape, (*input_shape[:-2], len(corners), *probe.shape), complex_input=True, complex_output=True
        )
        self.corners = [(int(r), int(c)) for r, c in whole]
        self.register_buffer("probe", torch.from_numpy(np.ascontiguousarray(probes)))

    def _forward(self, x: Tensor) -> Tensor:
        height, width = self.output_shape[-2:]
        patches = torch.stack([x[..., r : r + height, c : c + width] for r, c in self.corners], dim=-3)
        return fourier(self.constant("probe", x) * patches, (height, width))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._collect(self.constant("probe", y).conj() * inverse_fourier(y), y)

    def _collect(self, patches: Tensor, like: Tensor) -> Tensor:
        """Every patch added at its place; slices keep the order of the sum, and with it the last digit, fixed."""
        height, width = self.output_shape[-2:]
        x = patches.new_zeros(like.shape[0], *self.input_shape)
        for patch, (r, c) in zip(patches.unbind(-3), self.corners, strict=True):
            x[..., r : r + height, c : c + width] += patch
        return x

    @property
    def light(self) -> Tensor:
        """sum_l |p_l|^2 at each pixel of the object (H x W, float64)."""
        power = (self.probe.abs() ** 2).to(torch.float64).expand(len(self.corners), -1, -1)
        (height, width), total = power.shape[-2:], torch.zeros(self.input_shape[-2:], dtype=torch.float64)
        for lit, (r, c) in zip(power.cpu(), self.corners, strict=True):
            total[r : r + height, c : c + width] += lit
        return total

    def gram(self, x: Tensor) -> Tensor:
        return self.derived("power", lambda: self.light, x) * x

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """rhs / (sum_l |p_l|^2 + rho), exact; 0 where both are 0."""
        self._check(rhs, self.input_shape, True, "right-hand side")
        power = self.derived("power", lambda: self.light, rhs) + check_rho(rho, rhs)
        return torch.where(power > 0, rhs / torch.where(power > 0, power, torch.ones_like(power)), 0)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """A^H y / sum_l |p_l|^2 where that is above rtol^2 of its largest value."""
        back = self.adjoint(y)
        power = self.derived("power", lambda: self.light, back)
        kept = power > rtol**2 * power.max()
        return torch.where(kept, back / torch.where(kept, power, torch.ones_like(power)), 0)

    def norm(self, *, iterations: int = 50) -> float:
        return math.sqrt(float(self.light.max()))


def shifted(probe: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The probe moved down and right by fractions of a pixel (L x 2), through its spectrum: L x h x w."""
    rows, columns = np.fft.fftfreq(probe.shape[0]), np.fft.fftfreq(probe.shape[1])
    down, right = moved[:, 0, None, None], moved[:, 1, None, None]
    ramps = np.exp(-2j * np.pi * (rows[:, None] * down + columns * right))
    result: np.ndarray = np.fft.ifft2(np.fft.fft2(probe) * ramps)
    return result


def _probe(probe: Tensor | np.ndarray | None, size: int | None, shape: Shape) -> np.ndarray:
    shorter = min(shape[-2:])
    if probe is not None:
        own = np.asarray(probe, dtype=np.complex128)
        if own.ndim != 2 or own.shape[0] > shape[-2] or own.shape[1] > shape[-1] or not np.isfinite(own).all():
            raise BadInput(f"probe has shape {own.shape}", wanted=f"h x w within {shape[-2]} x {shape[-1]}, finite")
        if not own.any():
            raise BadInput("the probe is dark", wanted="at least one pixel that is not 0")
        return own
    side = max(min(DEFAULT_PROBE, shorter // 2), 1) if size is None else size
    check("size", side, Annotated[int, Range(1, shorter)], where=f"a picture of {shape[-2]} x {shape[-1]} pixels")
    offset = np.arange(side) - (side - 1) / 2
    radius = np.hypot(offset[:, None], offset) / max(DISK * side, 0.5)
    # A rim one pixel wide instead of a step, so that moving the probe by fractions does not ring.
    disk = np.clip((1 - radius) * max(DISK * side, 0.5) + 0.5, 0, 1)
    light: np.ndarray = disk * np.exp(1j * np.pi * DEFOCUS * radius**2)
    return light


def _raster(shape: Shape, size: tuple[int, ...], overlap: float) -> np.ndarray:
    axes = []
    for length, side in zip(shape[-2:], size, strict=True):
        free, step = length - side, max(side * (1 - overlap), 1.0)
        axes.append(np.rint(np.linspace(0, free, math.ceil(free / step) + 1)))
    return np.stack([grid.ravel() for grid in np.meshgrid(*axes, indexing="ij")], axis=1)


def _corners(positions: Tensor | np.ndarray | list[list[float]], shape: Shape, size: tuple[int, ...]) -> np.ndarray:
    corners = np.asarray(positions, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or not len(corners):
        raise BadInput(f"positions have shape {corners.shape}", wanted="L x 2: row and column of the upper left corner")
    free = np.array(shape[-2:]) - np.array(size)
    if not np.isfinite(corners).all() or (corners < 0).any() or (np.floor(corners) > free).any():
        raise BadInput(
            f"positions go from {corners.min(0)} to {corners.max(0)}",
            wanted=f"0 to {tuple(int(n) for n in free)}, so that every patch lies inside the picture",
        )
    return corners
