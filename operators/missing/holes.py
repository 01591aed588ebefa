"""Shapes of missing pixels, as boolean arrays that are true where a pixel was measured.

Every generator takes a `Hole` and returns an array that broadcasts to its plane: ... x H x W, the same in all channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from ..common.errors import BadInput
from ..common.randomness import generator
from ..common.settings import OneOf, check
from ..core.base import Shape

SIDES = ("right", "left", "top", "bottom")
AXES = ("rows", "columns")


@dataclass(frozen=True)
class Hole:
    """What describes a generated mask; None is the default of its kind, which says what it takes (KINDS)."""

    plane: Shape  # ... x H x W
    missing: float | None = None  # share of the pixels
    box: Any = None
    width: int | None = None  # pixels
    period: int | None = None  # rows or columns
    direction: str | None = None
    seed: int = 0

    @property
    def picture(self) -> tuple[int, int]:
        return (1, self.plane[0]) if len(self.plane) == 1 else (self.plane[-2], self.plane[-1])

    def share(self, default: float) -> float:
        return float(default if self.missing is None else self.missing)

    def pixels(self, name: str, default: int) -> int:
        value = getattr(self, name)
        return default if value is None else int(value)

    def one_of(self, directions: tuple[str, ...]) -> str:
        value = directions[0] if self.direction is None else self.direction
        check("direction", value, Annotated[str, OneOf(directions)])
        return value

    def generator(self) -> np.random.Generator:
        return generator(self.seed, "", 0, "mask")


def random_pixels(hole: Hole) -> np.ndarray:
    """Exactly round(missing * pixels) pixels, chosen by a permutation."""
    pixels = int(np.prod(hole.plane))
    keep = np.ones(pixels, dtype=bool)
    keep[hole.generator().permutation(pixels)[: round(hole.share(0.7) * pixels)]] = False
    return keep.reshape(hole.plane)


def box_hole(hole: Hole) -> np.ndarray:
    """A rectangle."""
    height, width = hole.picture
    return _without((height, width), _rectangle(hole.box, height, width))


def random_box(hole: Hole) -> np.ndarray:
    """A rectangle anywhere at least a sixteenth of each side away from the edges, where it fits there."""
    height, width = hole.picture
    tall, wide = _rectangle(hole.box, height, width)[2:]
    if isinstance(hole.box, tuple | list) and len(hole.box) == 4:
        raise BadInput(f"box is {hole.box!r}", wanted="(height, width) or one side: its place is random")
    rng, corner = hole.generator(), []
    for length, size in ((height, tall), (width, wide)):
        margin = min(length // 16, (length - size) // 2)
        corner.append(int(rng.integers(margin, length - size - margin + 1)))
    return _without((height, width), (corner[0], corner[1], tall, wide))


def strokes(hole: Hole) -> np.ndarray:
    """Brush strokes of 4 to 12 straight pieces, with round joints, until the share `missing` is covered.

    A stroke wanders with a jitter of half a radian, and turns back by about 120 degrees at every other joint. Pieces
    are up to an eighth of the diagonal long and half to one and a half times `width` wide (after J. Yu et al.,
    "Free-form image inpainting with gated convolution", 2019).
    """
    height, width = hole.picture
    wanted = round(hole.share(0.3) * height * width)
    brush = hole.pixels("width", max(1, round(24 * min(height, width) / 256)))
    rng, keep = hole.generator(), np.ones((height, width), dtype=bool)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    reach = math.hypot(height, width) / 8
    covered = 0
    while covered < wanted:
        point = rng.random(2) * (height, width)
        heading, radius = 2 * math.pi * rng.random(), brush * rng.uniform(0.25, 0.75)
        for joint in range(int(rng.integers(4, 13))):
            turn = heading + rng.uniform(-0.5, 0.5) + (2 * math.pi / 3 if joint % 2 else 0)
            end = np.clip(point + reach * rng.random() * np.array([math.sin(turn), math.cos(turn)]), 0, (height, width))
            piece = end - point
            along = ((rows - point[0]) * piece[0] + (columns - point[1]) * piece[1]) / max(float(piece @ piece), 1e-12)
            along = np.clip(along, 0, 1)
            distance = np.hypot(rows - point[0] - along * piece[0], columns - point[1] - along * piece[1])
            fresh = keep & (distance <= max(radius, 0.71))  # a thinner brush could pass between pixel centres
            excess = covered + int(fresh.sum()) - wanted
            if excess > 0:
                # The last piece ends where the share is reached.
                late = np.argsort(np.where(fresh, -along - 1e-9 * distance, 1.0), axis=None, kind="stable")[:excess]
                fresh.flat[late] = False
            keep &= ~fresh
            covered += int(fresh.sum())
            if covered >= wanted:
                break
            point = end
    return keep


def stripes(hole: Hole) -> np.ndarray:
    """Dead columns (or rows), `width` side by side, a share `missing` of all in whole columns."""
    height, width = hole.picture
    across = hole.one_of(("columns", "rows")) == "columns"
    length, thick = (width if across else height), hole.pixels("width", 1)
    keep = np.ones(length, dtype=bool)
    wanted = round(hole.share(0.1) * length)
    for first in hole.generator().permutation(length):
        room = wanted - int((~keep).sum())
        if room <= 0:
            break
        keep[first : first + min(thick, room)] = False
    line = keep[None, :] if across else keep[:, None]
    return np.broadcast_to(line, (height, width))


def dead_pixels(hole: Hole) -> np.ndarray:
    """Defects of a sensor, exactly round(missing * pixels): three of four single, every fourth a cluster of 2 x 2."""
    height, width = hole.picture
    keep = np.ones((height, width), dtype=bool)
    rng, wanted = hole.generator(), round(hole.share(0.01) * height * width)
    for number, place in enumerate(rng.permutation(height * width)):
        row, column = divmod(int(place), width)
        size = 2 if number % 4 == 3 else 1
        for r in range(row, min(row + size, height)):
            for c in range(column, min(column + size, width)):
                if wanted > 0 and keep[r, c]:
                    keep[r, c] = False
                    wanted -= 1
        if wanted == 0:
            break
    return keep


def every(hole: Hole) -> np.ndarray:
    """Every `period`-th row (or column) is measured, from the first on."""
    height, width = hole.picture
    keep = np.zeros((height, width), dtype=bool)
    step = hole.pixels("period", 2)
    if hole.one_of(AXES) == "rows":
        keep[::step] = True
    else:
        keep[:, ::step] = True
    return keep


def half(hole: Hole) -> np.ndarray:
    """The half on the side `direction` is missing; of an odd number, the smaller one."""
    height, width = hole.picture
    holes = {
        "right": (0, width - width // 2, height, width // 2),
        "left": (0, 0, height, width // 2),
        "top": (0, 0, height // 2, width),
        "bottom": (height - height // 2, 0, height // 2, width),
    }
    return _without((height, width), holes[hole.one_of(SIDES)])


def border(hole: Hole) -> np.ndarray:
    """A frame of `width` pixels is missing all around (outpainting)."""
    height, width = hole.picture
    frame = hole.pixels("width", max(1, min(height, width) // 8))
    keep = np.zeros((height, width), dtype=bool)
    keep[frame : max(height - frame, frame), frame : max(width - frame, frame)] = True
    return keep


@dataclass(frozen=True)
class HoleKind:
    """How a kind of mask is drawn, and which settings it takes beside the seed."""

    draw: Callable[[Hole], np.ndarray]
    takes: tuple[str, ...]


KINDS: Mapping[str, HoleKind] = {
    "random": HoleKind(random_pixels, ("missing",)),
    "box": HoleKind(box_hole, ("box",)),
    "random-box": HoleKind(random_box, ("box",)),
    "strokes": HoleKind(strokes, ("missing", "width")),
    "stripes": HoleKind(stripes, ("missing", "width", "direction")),
    "dead": HoleKind(dead_pixels, ("missing",)),
    "every": HoleKind(every, ("period", "direction")),
    "half": HoleKind(half, ("direction",)),
    "border": HoleKind(border, ("width",)),
}


def draw(kind: str, hole: Hole) -> np.ndarray:
    """The mask of that kind, shaped like the plane; BadInput for a setting that the kind does not take."""
    for name in ("missing", "box", "width", "period", "direction"):
        if getattr(hole, name) is not None and name not in KINDS[kind].takes:
            fitting = " or ".join(f"kind={other!r}" for other, entry in KINDS.items() if name in entry.takes)
            raise BadInput(f"{name} was given for a mask of kind {kind!r}", do=f"Give {fitting}, or leave it out.")
    keep = KINDS[kind].draw(hole)
    return np.array(np.broadcast_to(keep if len(hole.plane) > 1 else keep.reshape(hole.plane), hole.plane))


def _without(picture: tuple[int, int], hole: tuple[int, int, int, int]) -> np.ndarray:
    top, left, tall, wide = hole
    keep = np.ones(picture, dtype=bool)
    keep[top : top + tall, left : left + wide] = False
    return keep


def _rectangle(box: Any, height: int, width: int) -> tuple[int, int, int, int]:
    sizes = (max(1, height // 2), max(1, width // 2)) if box is None else (box, box) if isinstance(box, int) else box
    if len(sizes) == 3:
        raise BadInput(f"box is {box!r}", wanted="(top, left, height, width), (height, width) or one side")
    numbers = [int(n) for n in sizes]
    if len(numbers) == 2:
        numbers = [(height - numbers[0]) // 2, (width - numbers[1]) // 2, *numbers]
    top, left, tall, wide = numbers
    if min(top, left) < 0 or min(tall, wide) < 1 or top + tall > height or left + wide > width:
        raise BadInput(
            f"box {box!r} does not lie in the picture", wanted=f"a rectangle within {height} x {width} pixels"
        )
    return top, left, tall, wide
