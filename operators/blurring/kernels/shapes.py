"""Kernels of optics: Gaussian, disk (defocus), box (binning), and the diffraction pattern of a pupil."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...common.errors import BadInput
from ...common.settings import checked
from .parts import offsets, rotated, sides, unit_sum
from .settings import Angle, Obstruction, Radius, Sigma, Size, Zernike

FIRST_ZERO = 3.8317059702075125  # of the Bessel function J1: where an Airy pattern is dark for the first time
PUPIL = 192  # samples across a pupil


@checked
def gaussian(*, size: Size = None, sigma: Sigma = 1.6, angle: Angle = 0.0) -> np.ndarray:
    """Samples of exp(-d^T S^-1 d / 2), S = R diag(sigma1^2, sigma2^2) R^T, divided by their sum.

    The default size covers 4 sigma.
    """
    along, across = sigma if isinstance(sigma, tuple | list) else (sigma, sigma)
    rows, columns = offsets(size, default=2 * math.ceil(4 * max(along, across)) + 1)
    u, v = rotated(rows, columns, angle)
    with np.errstate(over="ignore"):  # a tiny sigma is one pixel: exp(-inf) is 0
        kernel = np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    return unit_sum(kernel)


@checked
def disk(*, size: Size = None, radius: Radius = 3.0) -> np.ndarray:
    """A lens out of focus: the area that each pixel's square shares with a disk of `radius` pixels."""
    rows, columns = offsets(size, default=2 * math.ceil(radius - 0.5) + 1)
    if radius > min(rows.max(), columns.max()) + 0.5:
        raise BadInput(f"a disk of radius {radius:g} does not fit in {rows.size} x {columns.size} pixels")
    top, left = _corner_area(rows - 0.5, columns - 0.5, radius), _corner_area(rows + 0.5, columns - 0.5, radius)
    right, both = _corner_area(rows - 0.5, columns + 0.5, radius), _corner_area(rows + 0.5, columns + 0.5, radius)
    return unit_sum(np.maximum(both - right - left + top, 0.0))


@checked
def box(*, size: Size = 9) -> np.ndarray:
    """The mean over a rectangle of `size` pixels."""
    return unit_sum(np.ones(sides(size, default=9)))


@checked
def airy(
    *, size: Size = None, radius: Radius = 3.0, obstruction: Obstruction = 0.0, zernike: Zernike = ()
) -> np.ndarray:
    """The diffraction pattern of a round pupil, |Fourier transform of the pupil|^2, sampled at pixel centres.

    The radius is 1.22 wavelength times f-number; the default size covers 4 radii. Aberrations (Zernike): defocus,
    oblique and upright astigmatism, vertical and horizontal coma (with the tilt that keeps its centroid in place), two
    trefoils, spherical.

    Without aberrations: (2 J1(v) / v)^2, v = 3.8317 r / radius (Born, Wolf 1999, section 8.5).
    """
    waves = _wavefront(zernike)
    rows, columns = offsets(size, default=2 * math.ceil(4 * radius) + 1)
    edges = np.linspace(-1, 1, PUPIL + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    pupil = _shared_area(edges, 1.0) - (_shared_area(edges, obstruction) if obstruction else 0.0)
    # The vertical axis of the pupil points up, against the rows, as for every angle here.
    field = pupil * np.exp(2j * math.pi * waves(middle[None, :], -middle[:, None]))
    turn = FIRST_ZERO / radius
    down, across = np.exp(-1j * turn * np.outer(rows, middle)), np.exp(-1j * turn * np.outer(middle, columns))
    return unit_sum(np.abs(down @ field @ across) ** 2)


def _wavefront(zernike: Sequence[float]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Path difference in waves as a function of x and y in the unit disk."""
    terms: list[Callable[[np.ndarray, np.ndarray], np.ndarray]] = [
        lambda x, y: 3**0.5 * (2 * (x * x + y * y) - 1),
        lambda x, y: 6**0.5 * 2 * x * y,
        lambda x, y: 6**0.5 * (x * x - y * y),
        lambda x, y: 8**0.5 * 3 * (x * x + y * y - 1) * y,
        lambda x, y: 8**0.5 * 3 * (x * x + y * y - 1) * x,
        lambda x, y: 8**0.5 * (3 * x * x - y * y) * y,
        lambda x, y: 8**0.5 * (x * x - 3 * y * y) * x,
        lambda x, y: 5**0.5 * (6 * (x * x + y * y) * (x * x + y * y - 1) + 1),
    ]

    def sum_of_terms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total: np.ndarray = sum((w * term(x, y) for w, term in zip(zernike, terms, strict=False)), 0 * (x + y))
        return total

    return sum_of_terms


def _shared_area(edges: np.ndarray, radius: float) -> np.ndarray:
    """Area that each cell between neighbouring edges shares with a disk of `radius` around 0."""
    corner = _corner_area(edges[:, None], edges[None, :], radius)
    return np.maximum(np.diff(np.diff(corner, axis=0), axis=1), 0.0)


def _corner_area(row: np.ndarray, column: np.ndarray, radius: float) -> np.ndarray:
    """Signed area that a disk shares with the rectangle from its centre to (row, column): integral of min(row, arc)."""
    x, y = np.minimum(np.abs(column), radius), np.minimum(np.abs(row), radius)
    knee = np.sqrt(radius**2 - y**2)  # up to here the rectangle's side, beyond it the arc bounds the area

    def under_arc(t: np.ndarray) -> np.ndarray:
        return 0.5 * (t * np.sqrt(np.maximum(radius**2 - t**2, 0)) + radius**2 * np.arcsin(np.minimum(t / radius, 1)))

    area = np.where(x <= knee, x * y, knee * y + under_arc(x) - under_arc(np.minimum(knee, x)))
    signed: np.ndarray = area * np.sign(row) * np.sign(column)
    return signed
