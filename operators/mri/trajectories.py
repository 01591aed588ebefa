"""Where a free trajectory samples k-space: spokes, spirals, and both in a volume. Radians per pixel, [-pi, pi)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput, BadType
from ..common.settings import Count, OneOf, Positive, check_room, checked
from ..core.base import Shape
from .patterns import GOLDEN

TURNS_PER_INTERLEAF = 8  # default length of a spiral
UNITS = ("radians/pixel", "cycles/pixel", "cycles/field")
CYCLES = 0.55  # a trajectory that reaches no further is in cycles per pixel: they end at 0.5, or a hair beyond
CROWD = 8  # points that make a trajectory; a few may lie anywhere
BEYOND = 1.05  # times pi, up to which points are rounding, delays or gradients a little too strong


class TrajectoryWrapped(UserWarning):
    """Points of a trajectory lay a little beyond pi and were taken modulo 2 pi."""


@dataclass(frozen=True)
class Readout:
    """Lines of one frame of a series.

    size: spatial shape. spokes: lines or interleaves. samples: per line, or None. frame: its number in the series.
    power, acceleration: of a spiral.
    """

    size: Shape
    spokes: int
    samples: int | None
    frame: int
    power: float
    acceleration: float

    @property
    def side(self) -> int:
        return max(self.size[-2:])

    @property
    def number(self) -> int:
        """Number of the frame's first line in the series."""
        return self.frame * self.spokes

    @property
    def turn(self) -> float:
        """Share of a gap by which the frame's lines lie beside those of the first: golden, so that series fill in."""
        return (self.frame * GOLDEN / np.pi) % 1.0

    @property
    def turns(self) -> float:
        """Turns of one interleaf of a spiral, so that all together are N / (2 R)."""
        return max(1.0, self.side / (2 * self.acceleration * self.spokes))

    @property
    def line(self) -> np.ndarray:
        """Frequencies along a full diameter, zero among them; twice as dense as the field of view needs."""
        count = 2 * self.side if self.samples is None else self.samples
        return 2 * np.pi * (np.arange(count) - count // 2) / count


def radial(readout: Readout) -> np.ndarray:
    """Points of full diameters at equal angles, pi / spokes apart (spokes x samples x 2, y before x)."""
    return _spokes(readout, np.pi * (readout.turn + np.arange(readout.spokes)) / readout.spokes)


def golden(readout: Readout) -> np.ndarray:
    """Points of full diameters, each pi (5^1/2 - 1) / 2 after the last, so nearly even always (Winkelmann 2007)."""
    return _spokes(readout, GOLDEN * (readout.number + np.arange(readout.spokes)))


def spiral(readout: Readout) -> np.ndarray:
    """Points of interleaved spirals from the centre, k = pi tau^power exp(2 pi i turns tau); power 1: even spacing."""
    turns = readout.turns
    count = max(2, math.ceil(math.pi * turns * readout.side)) if readout.samples is None else readout.samples
    tau = np.sqrt(np.arange(count) / count)  # equal steps along the outer turns
    start = 2 * np.pi * (readout.turn + np.arange(readout.spokes)) / readout.spokes
    angle = start[:, None] + 2 * np.pi * turns * tau
    radius = np.pi * tau**readout.power
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=-1)


def kooshball(readout: Readout) -> np.ndarray:
    """Points of full diameters of a ball along a generalised spiral (Saff and Kuijlaars 1997; z, y, x)."""
    number = readout.number + np.arange(readout.spokes) + 0.5
    height = (number / readout.spokes) % 1.0
    angle = GOLDEN * 2 * number
    flat = np.sqrt(1 - height**2)
    direction = np.stack([height, flat * np.sin(angle), flat * np.cos(angle)], axis=-1)
    return _inside(readout.line[None, :, None] * direction[:, None, :])


KINDS: dict[str, Callable[[Readout], np.ndarray]] = {
    "radial": radial,
    "golden": golden,
    "spiral": spiral,
    "kooshball": kooshball,
}


Trajectory = Annotated[str, OneOf(KINDS), "of the trajectory"]
Less = Annotated[Positive, "R, how many times less than Nyquist asks for"]
Spokes = Annotated[Count | None, "lines, or interleaves of a spiral; none: what Nyquist asks for over R"]
Samples = Annotated[Count | None, "per line; none: two per pixel"]
PointsUnit = Annotated[
    Annotated[str, OneOf(UNITS)] | None, "of the points; none: radians per pixel, refused where they look like cycles"
]
Power = Annotated[Positive, "of a spiral: 1 for even spacing, above 1 for a denser middle"]


@checked
def trajectory(
    size: Shape,
    *,
    kind: Trajectory = "radial",
    acceleration: Less = 4,
    spokes: Spokes = None,
    samples: Samples = None,
    frame: int = 0,
    power: Power = 1.0,
) -> Tensor:
    """Points of a trajectory, float64: spokes x samples x axes, the slowest axis of the picture first.

    size: spatial shape, H x W or D x H x W. kind: "radial", "golden", "spiral"; "kooshball" in volumes only. A plane
    trajectory in a volume is repeated at every frequency of the first axis (stack of stars, of spirals).
    spokes: lines, or interleaves of a spiral; default what Nyquist asks for over `acceleration`: pi/2 N / R lines, or
    N / (2 R 8) interleaves of 8 turns. samples: per line; default 2 N. frame: of a series, whose lines go on between
    those of the frames before. power: 1 for a spiral of even spacing, above 1 for one denser in the middle.
    """
    if kind == "kooshball" and len(size) != 3:
        raise BadInput("a kooshball trajectory was asked for in a plane", wanted="a volume", do="Take kind='radial'.")
    count = _needed(tuple(size), kind, acceleration) if spokes is None else spokes
    check_room("the trajectory", count, 2 * max(size) if samples is None else samples, len(size))
    points = KINDS[kind](Readout(tuple(size), count, samples, frame, power, acceleration))
    if len(size) == 3 and points.shape[-1] == 2:
        depth = size[0]
        level = 2 * np.pi * (np.arange(depth) - depth // 2) / depth
        levels = np.broadcast_to(level[:, None, None, None], (depth, *points.shape[:-1], 1))
        stack = np.concatenate([levels, np.broadcast_to(points, (depth, *points.shape))], axis=-1)
        points = stack.reshape(-1, *stack.shape[2:])
    return torch.from_numpy(np.ascontiguousarray(points))


def given_points(points: Any, axes: int, *, unit: str | None = None, size: Shape = ()) -> Tensor:
    """A trajectory array as float64, ... x axes, in radians per pixel; BadInput for another order or unit.

    unit: one of UNITS; None is radians per pixel, refused where the points cannot be meant so. size: spatial shape of
    the picture, for cycles per field of view. k-space repeats itself after exactly 2 pi: points a little beyond pi
    (BEYOND) are taken to their place inside, with a warning.
    """
    values = np.asarray(points.detach().cpu() if isinstance(points, Tensor) else points)
    if values.dtype.kind not in "fiu":
        raise BadType(f"the trajectory holds {values.dtype}", wanted="real coordinates in radians per pixel")
    if values.ndim < 2 or values.shape[-1] != axes or values.size == 0:
        raise BadInput(
            f"the trajectory has shape {values.shape}",
            wanted=f"points x {axes}, or spokes x samples x {axes}, the slowest axis of the picture first",
        )
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise BadInput(f"the trajectory holds {int((~np.isfinite(values)).sum())} NaN or infinite coordinates")
    largest = float(np.abs(values).max())
    if unit == "cycles/pixel":
        values *= 2 * np.pi
    elif unit == "cycles/field":
        values *= 2 * np.pi / np.array(size if len(size) == axes else (1.0,) * axes)
    reached = float(np.abs(values).max())
    if unit is None and values.size // axes > CROWD and 0 < largest <= CYCLES:
        raise BadInput(
            f"the trajectory reaches {largest:.4g}, the middle {100 * largest / np.pi:.0f} % of k-space: "
            "these look like cycles per pixel",
            wanted="radians per pixel, which reach pi",
            do="Say so with unit='cycles/pixel' (--set operator.unit=cycles/pixel), or unit='radians/pixel'.",
        )
    if reached > np.pi * BEYOND:
        raise BadInput(
            f"the trajectory reaches {largest:.4g}" + (f" {unit}" if unit else ""),
            wanted="radians per pixel from -pi to pi, or another unit and its name",
            do=f"{_likely(largest, size)}Points in 1/m are multiplied by the pixel's side in m to be cycles/pixel.",
        )
    values, note = wrapped(values)
    if note:
        warnings.warn(note, TrajectoryWrapped, stacklevel=2)
    return torch.from_numpy(values.copy())


def wrapped(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Points (... x axes, radians per pixel) with those beyond pi modulo 2 pi, and a sentence on them; "" for none."""
    outside = np.abs(values) > np.pi * (1 + 1e-6)  # single precision rounds pi upwards
    if not outside.any():
        return values, ""
    inside = np.where(outside, np.mod(values + np.pi, 2 * np.pi) - np.pi, values)
    return inside, (
        f"{int(outside.any(-1).sum())} points of the trajectory lie beyond pi (up to {np.abs(values).max():.4g} "
        "radians per pixel); k-space repeats itself after 2 pi, and they were taken to their place inside"
    )


def _likely(largest: float, size: Shape) -> str:
    """The unit that a trajectory of this extent is probably in."""
    if size and 0.5 * max(size) / 2 <= largest <= BEYOND * max(size) / 2:
        return "Cycles per field of view are named by unit='cycles/field' (--set operator.unit=cycles/field). "
    return "Units: " + ", ".join(UNITS) + " (--set operator.unit=NAME). "


def _needed(size: Shape, kind: str, acceleration: float) -> int:
    side = max(size[-2:])
    check_room(f"an acceleration of {acceleration:g}", side / acceleration)
    if kind == "kooshball":
        return max(1, math.ceil(math.pi / 2 * side**2 / acceleration))
    if kind == "spiral":
        return max(1, round(side / (2 * acceleration * TURNS_PER_INTERLEAF)))
    return max(1, math.ceil(math.pi / 2 * side / acceleration))


def _spokes(readout: Readout, angle: np.ndarray) -> np.ndarray:
    direction = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    return _inside(readout.line[None, :, None] * direction[:, None, :])


def _inside(points: np.ndarray) -> np.ndarray:
    """Rounding must not carry -pi out of the square."""
    return np.clip(points, -np.pi, np.pi)
