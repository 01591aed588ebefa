"""Where rays run: the conventions of every scanner here, and the units of what they measure.

Lengths are in one unit of the user's choice, millimetres by habit; attenuation is then in 1/mm and a sinogram (its
line integrals) has no unit. Pixel centres lie at x = (j - (W - 1)/2) h, y = ((H - 1)/2 - i) h with rows i, columns j,
pixel side h; volumes have z = (k - (D - 1)/2) h with slices k. The picture is zero outside its grid. Angles t are in
radians.

    parallel   ray direction (-sin t, cos t), cell centre s (cos t, sin t), s_k = (k - (n - 1)/2) ds + shift
    fan, cone  source so (sin t, -cos t), centre of the flat detector -od (sin t, -cos t), first axis (cos t, sin t),
               second axis +z
    sinogram   views x cells, or views x rows (along z) x cells for a cone

A scan is kept as vectors, one set for each view, so that shifted, tilted and moving detectors need no other code.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from ..common.errors import BadInput
from ..common.settings import Count, Positive, check_room, checked

WATER = 0.0193  # attenuation of water in 1/mm near 70 keV, the mean of a 120 kV scanner (Hubbell, Seltzer 1995)
AIR_HU = -1000.0
COARSE = 0.2  # radians between neighbouring views; sparse scans of more than two turns have smaller steps
PHI = (1 + math.sqrt(5)) / 2
# By how much each view goes on in scans by the golden angle: of half a turn, of a whole one, and the tiny ones after
# S. Wundrak et al. 2015, doi:10.1109/TMI.2014.2382572, over half a turn and a whole one.
GOLDEN = (
    math.pi / PHI, math.pi * (1 - 1 / PHI), 2 * math.pi / PHI, 2 * math.pi * (1 - 1 / PHI),
    *(turn * math.pi / (PHI + n - 1) for n in range(2, 11) for turn in (1, 2)),
)  # fmt: skip
Water = Annotated[Positive, "attenuation of water in 1/mm"]


@dataclass(frozen=True, eq=False)
class Grid:
    """The picture's pixels. shape: (H, W) or (D, H, W). pixel: side of a pixel or voxel."""

    shape: tuple[int, ...]
    pixel: float

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def radius(self) -> float:
        """Of the circle around the picture in the plane of rotation."""
        return self.pixel * math.hypot(*self.shape[-2:]) / 2

    @property
    def inner_radius(self) -> float:
        """Of the circle inside it."""
        return self.pixel * min(self.shape[-2:]) / 2

    def to_index(self, points: np.ndarray) -> np.ndarray:
        """Array indices (last axis: [slice,] row, column) of points (last axis: x, y[, z])."""
        return self.to_steps(points) + (np.array(self.shape) - 1) / 2

    def to_steps(self, vectors: np.ndarray) -> np.ndarray:
        """The same for directions."""
        steps: np.ndarray = vectors[..., ::-1] / self.pixel
        steps = steps.copy()
        steps[..., -2] *= -1  # rows run downward, y upward
        return steps

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of the pixels of one slice, flattened row by row."""
        height, width = self.shape[-2:]
        x = (np.arange(width) - (width - 1) / 2) * self.pixel
        y = ((height - 1) / 2 - np.arange(height)) * self.pixel
        return np.tile(x, height), np.repeat(y, width)


@dataclass(frozen=True, eq=False)
class Views:
    """One scan. beam: (V, d) ray directions where `parallel`, otherwise positions of the source; d = 2 or 3.

    centre: (V, d), middle of the detector. axes: (V, d - 1, d), the step from one cell to the next along the
    detector's axes, outermost first (v, u). cells: (n,) or (n_v, n_u).
    """

    parallel: bool
    beam: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    cells: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.beam)

    def at(self, numbers: np.ndarray) -> Views:
        """The views with these indices."""
        return Views(self.parallel, self.beam[numbers], self.centre[numbers], self.axes[numbers], self.cells)

    def moved(self, matrix: np.ndarray) -> Views:
        """Every view under a linear map of space, such as a rotation."""
        turned = matrix.T
        return Views(self.parallel, self.beam @ turned, self.centre @ turned, self.axes @ turned, self.cells)

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """A point and the direction of unit length of each ray, both (V, *cells, d)."""
        points = self.centre[(slice(None), *[None] * len(self.cells))]
        for axis, number in enumerate(self.cells):
            offsets = (np.arange(number) - (number - 1) / 2).reshape(-1, *[1] * (len(self.cells) - axis))
            points = points + offsets * self.axes[(slice(None), axis, *[None] * len(self.cells))]
        beam = self.beam[(slice(None), *[None] * len(self.cells))]
        direction = np.broadcast_to(beam, points.shape) if self.parallel else points - beam
        return points, direction / np.linalg.norm(direction, axis=-1, keepdims=True)


def parallel_views(angles: np.ndarray, *, cells: int, spacing: float, shift: float) -> Views:
    """A parallel beam in the plane."""
    cos, sin = np.cos(angles), np.sin(angles)
    across = np.stack([cos, sin], -1)
    return Views(True, np.stack([-sin, cos], -1), shift * across, spacing * across[:, None], (cells,))


def fan_views(angles: np.ndarray, *, cells: int, spacing: float, shift: float, source: float, detector: float) -> Views:
    """A fan onto a flat detector. source, detector: distances from the axis of rotation."""
    cos, sin = np.cos(angles), np.sin(angles)
    away, across = np.stack([sin, -cos], -1), np.stack([cos, sin], -1)
    return Views(False, source * away, -detector * away + shift * across, spacing * across[:, None], (cells,))


def cone_views(
    angles: np.ndarray,
    *,
    cells: tuple[int, int],
    spacing: tuple[float, float],
    shift: tuple[float, float],
    source: float,
    detector: float,
) -> Views:
    """A cone on a circular orbit. cells, spacing, shift: along z and along the first axis, in this order."""
    flat = fan_views(angles, cells=cells[1], spacing=spacing[1], shift=shift[1], source=source, detector=detector)

    def lifted(vectors: np.ndarray, z: float) -> np.ndarray:
        return np.concatenate([vectors, np.full((*vectors.shape[:-1], 1), z)], -1)

    up = np.broadcast_to(np.array([0.0, 0.0, spacing[0]]), (len(flat), 1, 3))
    axes = np.concatenate([up, lifted(flat.axes, 0.0)], 1)
    return Views(False, lifted(flat.beam, 0.0), lifted(flat.centre, shift[0]), axes, cells)


@checked
def view_angles(angles: Sequence[float] | Any | None, *, views: Count, start: float, span: Positive) -> np.ndarray:
    """The given angles, or `views` equidistant ones from `start`, the end of the span left out."""
    if angles is None:
        check_room("views", views)
        return np.asarray(start + span * np.arange(views) / views)
    directions = np.ascontiguousarray(np.asarray(angles, dtype=np.float64))  # torch takes no reversed arrays
    if directions.ndim != 1 or directions.size == 0:
        raise BadInput(f"angles has shape {directions.shape}", wanted="a list of at least one angle")
    if not np.isfinite(directions).all():
        raise BadInput(f"angles holds {int((~np.isfinite(directions)).sum())} NaN or infinite values")
    if look_like_degrees(directions):
        warnings.warn(
            f"angles from {directions.min():.4g} to {directions.max():.4g} look like degrees: they are in radians",
            stacklevel=3,
        )
    return directions


def look_like_degrees(angles: np.ndarray) -> bool:
    """Whether angles (1-D, finite) that pass two turns are no plausible scan in radians.

    In radians, a scan of many turns has small steps, or those of a golden angle, which nobody wraps. In degrees steps
    of one or more are the rule, and together they cover half a turn or a whole one.
    """
    if np.abs(angles).max() <= 4 * math.pi:
        return False
    ordered = np.unique(angles)
    steps = np.diff(ordered)
    steps = steps[steps > 1e-9 * np.abs(ordered).max()]
    if not len(steps):
        return True
    step = float(np.median(steps))
    near = [golden for golden in GOLDEN if golden / 2 < step < 3 / 2 * golden]
    if any(np.abs(steps / golden - np.rint(steps / golden)).max() < 1e-3 for golden in near):
        return False
    span = ordered[-1] - ordered[0] + step
    return step > COARSE or min(abs(span - turn) for turn in (180.0, 360.0)) <= 1.5 * step


def check_distances(grid: Grid, source: float, detector: float) -> None:
    """BadInput for a source inside the picture's circle or a detector behind the source."""
    if source <= grid.radius:
        raise BadInput(
            f"source is {source:g} from the axis, inside the picture's circle of radius {grid.radius:g}",
            wanted="a source outside the object",
        )
    if detector <= -source:
        raise BadInput(
            f"detector is {detector:g} from the axis", wanted=f"more than -{source:g}: in front of the source"
        )


@checked
def attenuation(hu: Any, *, water: Water = WATER) -> Any:
    """Linear attenuation in 1/mm of Hounsfield values (arrays or tensors); air is 0, denser than water is more."""
    return (hu - AIR_HU) * (water / -AIR_HU)


@checked
def hounsfield(mu: Any, *, water: Water = WATER) -> Any:
    """Hounsfield values of linear attenuation in 1/mm."""
    return mu * (-AIR_HU / water) + AIR_HU
