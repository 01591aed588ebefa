"""Kernels of motion during the exposure: a straight line, a shaking hand, a Gaussian process."""

from __future__ import annotations

import functools
import math

import numpy as np

from ...common.errors import BadInput
from ...common.randomness import generator
from ...common.settings import Seed, checked
from .parts import sides, unit_sum
from .settings import Amplitude, Angle, Correlation, Intensity, Length, Size

STEPS = 2000  # points of a random trajectory
PROCESS_STEPS = 400  # points of a Gaussian process, between which the path is a straight line


@checked
def motion(*, size: Size = None, length: Length = 15.0, angle: Angle = 45.0) -> np.ndarray:
    """Constant motion along a straight line of `length` pixels: the length of the line within each pixel's square."""
    dx, dy = math.cos(math.radians(angle)), -math.sin(math.radians(angle))
    half = length / 2
    side = 2 * math.ceil(half - 0.5 - 1e-9) + 1
    height, width = sides(size, default=max(side, 1))
    kernel = np.zeros((height, width))
    # The line is cut wherever it passes from one pixel's square into the next.
    edges = np.arange(-math.ceil(half) - 1, math.ceil(half) + 1) + 0.5
    cuts = [edges / d for d in (dx, dy) if abs(d) > 1e-12]
    along = np.unique(np.clip(np.concatenate([[-half, half], *cuts]), -half, half))
    middle, pieces = (along[1:] + along[:-1]) / 2, np.diff(along)
    row = np.rint(middle * dy).astype(int) + height // 2
    column = np.rint(middle * dx).astype(int) + width // 2
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    if not inside[pieces > 1e-9].all():
        raise BadInput(f"a line of {length:g} pixels at {angle:g} degrees does not fit in {height} x {width} pixels")
    np.add.at(kernel, (row[inside], column[inside]), pieces[inside])
    return unit_sum(kernel)


@checked
def trajectory(
    *, size: Size = 61, length: Length | None = None, intensity: Intensity = 0.5, seed: Seed = 0
) -> np.ndarray:
    """A shaken camera: a random path with inertia, drift, a pull to the centre and rare jerks (Boracchi, Foi 2012).

    The default length is 1.5 times the smaller side. The path is exposed evenly in time, splatted bilinearly, centred
    on its centroid, and shrunk where it would leave the array.

    Reference: G. Boracchi and A. Foi, "Modeling the performance of image restoration from motion blur", IEEE TIP 2012.
    """
    height, width = sides(size, default=61)
    reach = 1.5 * min(height, width) if length is None else length
    path = _shake(generator(seed, "", 0, "trajectory"), intensity) * reach
    return _exposed(path, height, width)


@checked
def gaussian_process(
    *, size: Size = 61, correlation: Correlation = 0.3, amplitude: Amplitude = 0.25, seed: Seed = 0
) -> np.ndarray:
    """A smooth random path: both coordinates are Gaussian processes in time with a Matern covariance of order 5/2.

        k(t) = (1 + a + a^2 / 3) exp(-a), a = 5^0.5 |t| / correlation   (Rasmussen, Williams 2006, equation 4.17).

    Exposed, centred and, where it would leave the array, shrunk as a `trajectory` is. Such paths for motion blur:
    C. Schuler et al., "Learning to deblur", 2016.
    """
    height, width = sides(size, default=61)
    rng = generator(seed, "", 0, "gaussian-process")
    time = np.linspace(0, 1, PROCESS_STEPS)
    shape = _matern_root(correlation) @ rng.standard_normal((PROCESS_STEPS, 2))
    fine = np.linspace(0, 1, STEPS)
    x, y = (np.interp(fine, time, coordinate) for coordinate in shape.T)
    return _exposed(amplitude / 2 * (width * x + 1j * height * y), height, width)


@functools.lru_cache(maxsize=4)
def _matern_root(correlation: float) -> np.ndarray:
    """A matrix whose product with its transpose is the covariance at evenly spaced times; the same for all seeds."""
    time = np.linspace(0, 1, PROCESS_STEPS)
    a = math.sqrt(5) * np.abs(time[:, None] - time[None, :]) / correlation
    values, vectors = np.linalg.eigh((1 + a + a * a / 3) * np.exp(-a))
    # Only the leading few eigenvalues count; rounding makes some of the others negative.
    root: np.ndarray = vectors * np.sqrt(np.maximum(values, 0))
    root.flags.writeable = False
    return root


def _exposed(path: np.ndarray, height: int, width: int) -> np.ndarray:
    """The kernel of a path (complex, columns + i rows, in pixels) that the camera saw evenly in time."""
    path = path - path.mean()
    room = [(n - 1) / 2 - (1 - n % 2) / 2 for n in (width, height)]
    extent = [np.abs(path.real).max(), np.abs(path.imag).max()]
    path = path * min(1.0, *(r / e if e > 0 else 1.0 for r, e in zip(room, extent, strict=True)))
    return unit_sum(_splat(path.imag + height // 2, path.real + width // 2, height, width))


def _shake(rng: np.random.Generator, intensity: float) -> np.ndarray:
    """A path of length 1 in STEPS complex points. Speed is constant; only its direction changes.

    Each step turns the velocity by a Gaussian push and by a pull towards the start; now and then the hand jerks back.
    How strong and how often is drawn once for the path, up to bounds that let it turn a few times at intensity 1.
    """
    stride = 1.0 / (STEPS - 1)
    drift, pull, jerks = (bound * rng.random() * intensity for bound in (0.15, 0.03, 5.0 / STEPS))
    pushes = drift * (rng.standard_normal(STEPS) + 1j * rng.standard_normal(STEPS))
    jerked = rng.random(STEPS) < jerks
    back = np.exp(1j * (math.pi + rng.random(STEPS) - 0.5))
    point, heading = 0j, np.exp(2j * math.pi * rng.random())
    path = np.zeros(STEPS, dtype=complex)
    for i in range(1, STEPS):
        heading += pushes[i] - pull * point + (2 * heading * back[i] if jerked[i] else 0)
        heading /= abs(heading)
        point += stride * heading
        path[i] = point
    return path


def _splat(row: np.ndarray, column: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each point shared by its four neighbours in proportion to nearness, which keeps the centroid."""
    kernel = np.zeros((height + 1, width + 1))
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    down, right = row - top, column - left
    np.add.at(kernel, (top, left), (1 - down) * (1 - right))
    np.add.at(kernel, (top, left + 1), (1 - down) * right)
    np.add.at(kernel, (top + 1, left), down * (1 - right))
    np.add.at(kernel, (top + 1, left + 1), down * right)
    return kernel[:height, :width]
