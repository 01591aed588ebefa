"""Windows that cover a picture: what each one solves, and which part of its answer is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from operators.common.errors import BadInput
from priors.tiling import tile_starts

Box = tuple[int, int, int, int]  # top, bottom, left, right


@dataclass(frozen=True)
class Tiling:
    """How pictures are cut, in pixels.

    tile: side of a window, 0 for whole pictures. halo: rim of a window whose answer is dropped. blend: least width over
    which what two windows keep overlaps, and is blended. grid: windows begin at its multiples.
    """

    tile: int
    halo: tuple[int, int] = (0, 0)
    blend: int = 0
    grid: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Cutout:
    """A part of a picture. solve: what is solved; keep: the part of it whose answer counts. Both in the picture."""

    solve: Box
    keep: Box

    @property
    def kept(self) -> tuple[slice, slice]:
        """Rows and columns of the kept part within the window's own answer."""
        top, _, left, _ = self.solve
        return slice(self.keep[0] - top, self.keep[1] - top), slice(self.keep[2] - left, self.keep[3] - left)


def cut(height: int, width: int, tiling: Tiling) -> Iterator[Cutout]:
    """Windows of a picture, row by row from the top left."""
    for top, bottom, first, last in _axis(height, tiling, 0):
        for left, right, begin, end in _axis(width, tiling, 1):
            yield Cutout((top, bottom, left, right), (first, last, begin, end))


def _axis(size: int, tiling: Tiling, axis: int) -> list[tuple[int, int, int, int]]:
    """Start, stop, first and last kept index of the windows along one axis."""
    if tiling.tile == 0 or size <= tiling.tile:
        return [(0, size, 0, size)]
    halo, grid = tiling.halo[axis], tiling.grid[axis]
    tile, shared = up(tiling.tile, grid), up(2 * halo + tiling.blend, grid)
    if shared >= tile:
        raise BadInput(
            f"windows of {tile} pixels with a halo of {halo} and {tiling.blend} to blend",
            wanted=f"windows of more than {shared} pixels",
            do="Give a larger --tile, or a smaller --halo.",
        )
    spans = []
    starts = tile_starts(size, tile, shared)
    for start in starts:
        begin = start // grid * grid
        stop = size if start == starts[-1] else begin + tile
        spans.append((begin, stop, begin + halo if begin else 0, stop - halo if stop < size else size))
    return spans


def up(value: int, multiple: int) -> int:
    """The next multiple."""
    return -(-value // multiple) * multiple
