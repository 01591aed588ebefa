"""Blur kernels: Gaussian, straight motion, shaken camera, disk and box. Each sums to 1 and is centred on size // 2.

Angles are in degrees, counter-clockwise from the row direction pointing right; rows of an array run downward.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from .errors import BadInput, BadType
from .randomness import generator
from .registry import check_keywords, unknown_name

Size = int | tuple[int, int] | None
STEPS = 2000  # points of a random trajectory


def gaussian(*, size: Size = None, sigma: float | tuple[float, float] = 1.6, angle: float = 0.0) -> np.ndarray:
    """Samples of exp(-d^T S^-1 d / 2), S = R diag(sigma1^2, sigma2^2) R^T, divided by their sum.

    size: side or (height, width) in pixels; default covers 4 sigma. sigma: pixels, one number or (along, across) the
    direction `angle`.
    """
    pair = tuple(sigma) if isinstance(sigma, tuple | list) else (sigma, sigma)
    if len(pair) != 2:
        raise BadInput(f"sigma is {sigma!r}", wanted="one number, or two: along and across the angle")
    along, across = pair
    for value in (along, across):
        _positive("sigma", value)
    rows, columns = _offsets(size, default=2 * math.ceil(4 * max(along, across)) + 1)
    u, v = _rotated(rows, columns, angle)
    kernel = np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    return _unit_sum(kernel)


def motion(*, size: Size = None, length: float = 15.0, angle: float = 45.0) -> np.ndarray:
    """Constant motion along a straight line of `length` pixels: the length of the line within each pixel's square."""
    _positive("length", length)
    dx, dy = math.cos(math.radians(angle)), -math.sin(math.radians(angle))
    half = length / 2
    side = 2 * math.ceil(half - 0.5 - 1e-9) + 1
    height, width = _sides(size, default=max(side, 1))
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
    return _unit_sum(kernel)


def trajectory(*, size: Size = 61, length: float | None = None, intensity: float = 0.5, seed: int = 0) -> np.ndarray:
    """A shaken camera: a random path with inertia, drift, a pull to the centre and rare jerks (Boracchi, Foi 2012).

    size: pixels. length: of the whole path, pixels; default 1.5 times the smaller side. intensity: 0 is a nearly
    straight line, 1 a nervous scribble. seed: of the path. The path is exposed evenly in time, splatted bilinearly,
    centred on its centroid, and shrunk where it would leave the array.

    Reference: G. Boracchi and A. Foi, "Modeling the performance of image restoration from motion blur", IEEE TIP 2012.
    """
    height, width = _sides(size, default=61)
    if isinstance(intensity, bool) or not 0 <= intensity <= 1:
        raise BadInput(f"intensity is {intensity!r}", wanted="0 to 1")
    reach = 1.5 * min(height, width) if length is None else length
    _positive("length", reach)
    path = _shake(generator(seed, "", 0, "trajectory"), intensity) * reach
    path -= path.mean()
    room = [(n - 1) / 2 - (1 - n % 2) / 2 for n in (width, height)]
    extent = [np.abs(path.real).max(), np.abs(path.imag).max()]
    path *= min(1.0, *(r / e if e > 0 else 1.0 for r, e in zip(room, extent, strict=True)))
    return _unit_sum(_splat(path.imag + height // 2, path.real + width // 2, height, width))


def disk(*, size: Size = None, radius: float = 3.0) -> np.ndarray:
    """A lens out of focus: the area that each pixel's square shares with a disk of `radius` pixels."""
    _positive("radius", radius)
    rows, columns = _offsets(size, default=2 * math.ceil(radius - 0.5) + 1)
    if radius > min(rows.max(), columns.max()) + 0.5:
        raise BadInput(f"a disk of radius {radius:g} does not fit in {rows.size} x {columns.size} pixels")
    top, left = _corner_area(rows - 0.5, columns - 0.5, radius), _corner_area(rows + 0.5, columns - 0.5, radius)
    right, both = _corner_area(rows - 0.5, columns + 0.5, radius), _corner_area(rows + 0.5, columns + 0.5, radius)
    return _unit_sum(np.maximum(both - right - left + top, 0.0))


def box(*, size: Size = 9) -> np.ndarray:
    """The mean over a rectangle of `size` pixels."""
    return _unit_sum(np.ones(_sides(size, default=9)))


KERNELS: Mapping[str, Callable[..., np.ndarray]] = {
    "gaussian": gaussian,
    "motion": motion,
    "trajectory": trajectory,
    "disk": disk,
    "box": box,
}


def named(name: str, **parameters: Any) -> np.ndarray:
    """The kernel of that name; BadType for a parameter that it does not take."""
    if name not in KERNELS:
        raise unknown_name("kernel", name, KERNELS)
    check_keywords(KERNELS[name], parameters, where=f"kernel {name!r}")
    return KERNELS[name](**parameters)


def from_array(values: Any, *, normalise: bool = True) -> np.ndarray:
    """A kernel of one's own (h x w: array, tensor or nested list) in float64, divided by its sum unless told not to."""
    try:
        kernel = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    except ValueError:
        raise BadInput("the kernel is a ragged list", wanted="rows of equal length") from None
    if kernel.dtype.kind not in "biuf":
        raise BadType(f"the kernel holds {kernel.dtype}", wanted="real numbers")
    if kernel.ndim != 2 or kernel.size == 0:
        raise BadInput(f"the kernel has shape {kernel.shape}", wanted="h x w")
    kernel = kernel.astype(np.float64)
    broken = ~np.isfinite(kernel)
    if broken.any():
        first = tuple(int(i) for i in np.argwhere(broken)[0])
        raise BadInput(f"the kernel holds {int(broken.sum())} NaN or infinite values, the first at {first}")
    return _unit_sum(kernel) if normalise else kernel


def fingerprint(kernel: np.ndarray) -> str:
    """Twelve hexadecimal digits that tell one kernel from another."""
    return hashlib.sha256(repr(kernel.shape).encode() + np.ascontiguousarray(kernel).tobytes()).hexdigest()[:12]


def _unit_sum(kernel: np.ndarray) -> np.ndarray:
    total, mass = float(kernel.sum()), float(np.abs(kernel).sum())
    if abs(total) <= 1e-12 * mass:
        raise BadInput(
            f"the kernel sums to {total:g}",
            wanted="a sum other than 0, by which it can be divided",
            do="Give normalise=False to use it as it is.",
        )
    unit: np.ndarray = kernel / total
    return unit


def _sides(size: Any, *, default: int) -> tuple[int, int]:
    sides = (default, default) if size is None else (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or any(isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1 for n in sides):
        raise BadInput(f"size is {size!r}", wanted="a number of pixels, or (height, width)")
    return int(sides[0]), int(sides[1])


def _offsets(size: Any, *, default: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (h x 1) and columns (1 x w) counted from the centre, size // 2."""
    height, width = _sides(size, default=default)
    return np.arange(height)[:, None] - height // 2, np.arange(width)[None, :] - width // 2


def _rotated(rows: np.ndarray, columns: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across the direction `angle`; the vertical axis points up, against the rows."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return c * columns - s * rows, s * columns + c * rows


def _positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise BadInput(f"{name} is {value!r}", wanted="a finite number above 0")


def _corner_area(row: np.ndarray, column: np.ndarray, radius: float) -> np.ndarray:
    """Signed area that a disk shares with the rectangle from its centre to (row, column): integral of min(row, arc)."""
    x, y = np.minimum(np.abs(column), radius), np.minimum(np.abs(row), radius)
    knee = np.sqrt(radius**2 - y**2)  # up to here the rectangle's side, beyond it the arc bounds the area

    def under_arc(t: np.ndarray) -> np.ndarray:
        return 0.5 * (t * np.sqrt(np.maximum(radius**2 - t**2, 0)) + radius**2 * np.arcsin(np.minimum(t / radius, 1)))

    area = np.where(x <= knee, x * y, knee * y + under_arc(x) - under_arc(np.minimum(knee, x)))
    signed: np.ndarray = area * np.sign(row) * np.sign(column)
    return signed


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
