"""A row of detector cells, and how its views go on where it is too short to see the whole picture.

A filtered view is not zero beside the detector, so that back-projection reads it there too: views are continued to the
picture's circle before the ramp. Where the other end of the line was measured, the added cells have no share. Where
nobody looked, the picture is cut on both sides, and they are those of an even disc that fills the picture's circle,
its height taken from the outermost cell: a guess, which keeps the bright rim down and which a warning goes with.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..common.settings import check_room

AIR = 0.05  # of the largest mean over views; an outermost cell above it has seen the object
OVERLAP = 2.0  # cells beyond the axis of rotation that a detector pushed aside wants at least


class TruncatedScan(UserWarning):
    """The detector ends inside the object, and no other view of the scan has seen what is beyond."""


@dataclass(frozen=True)
class CellRow:
    """Cells of a detector along one axis; the middle lies `shift` from the foot of the axis of rotation."""

    cells: int
    spacing: float
    shift: float

    @property
    def ends(self) -> tuple[float, float]:
        half = self.cells * self.spacing / 2
        return self.shift - half, self.shift + half

    @property
    def overlap(self) -> float:
        """How far the shorter side reaches beyond the axis, negative where it does not get there."""
        return min(-self.ends[0], self.ends[1])

    def offsets(self) -> np.ndarray:
        """Positions of the cells."""
        return np.asarray((np.arange(self.cells) - (self.cells - 1) / 2) * self.spacing + self.shift)


class Continued:
    """A row continued to `reach` on both sides, where it ends before.

    reach: of the picture's shadow on the detector. distance: of a ray from the axis of rotation, for positions on the
    detector. radii: of the circles inside and around the picture.
    """

    def __init__(
        self,
        row: CellRow,
        *,
        reach: float,
        distance: Callable[[np.ndarray], np.ndarray],
        radii: tuple[float, float],
    ) -> None:
        self.row, self.reach = row, reach
        check_room("the shift of the detector", (reach + abs(row.shift)) / row.spacing + row.cells)
        # A cell that lacks a millionth of itself lacks nothing.
        self.before, self.after = (
            max(0, math.ceil((reach - side) / row.spacing - 1e-6)) for side in (-row.ends[0], row.ends[1])
        )
        shift = row.shift + (self.after - self.before) / 2 * row.spacing
        self.wide = CellRow(row.cells + self.before + self.after, row.spacing, shift)
        offset = distance(self.wide.offsets())
        chord = np.sqrt(np.maximum(radii[1] ** 2 - offset**2, 0))
        first, last = self.before, self.before + row.cells - 1
        # A detector that sees the circle inside the picture sees the object, as a rule, and goes on with air.
        left, right = (float(abs(offset[k]) < radii[0]) / max(float(chord[k]), 1e-300) for k in (first, last))
        self.left = torch.from_numpy(chord[:first] * left)
        self.right = torch.from_numpy(chord[last + 1 :] * right)

    @property
    def complete(self) -> bool:
        return not self.before and not self.after

    @property
    def displaced(self) -> bool:
        """Whether one side is too short and the other one is longer by more than a cell."""
        return not self.complete and abs(self.row.shift) > self.row.spacing / 2 * (1 + 1e-6)

    @property
    def measured(self) -> tuple[float, float]:
        """The ends of what was measured of the picture's shadow."""
        low, high = self.row.ends
        return max(low, -self.reach), min(high, self.reach)

    def __call__(self, y: Tensor) -> Tensor:
        """Views ... x cells -> ... x cells of the wide row."""
        if self.complete:
            return y
        return torch.cat([y[..., :1] * self.left.to(y), y, y[..., -1:] * self.right.to(y)], -1)

    def caution(self, y: Tensor, *, opposite: bool) -> None:
        """TruncatedScan where views end inside the object. opposite: every view has one from the other side."""
        if self.complete or not y.numel():
            return
        means = y.detach().reshape(-1, y.shape[-1]).mean(0)
        seen = means[[0, -1]] > AIR * means.max()
        cut = [bool(seen[0]) and self.before > 0, bool(seen[1]) and self.after > 0]
        longer = int(self.row.shift > 0) if self.displaced else int(cut[1])
        if not any(cut):
            return
        remedy = "an iterative solver (cgls, pinv, tv) with a picture as large as the object needs no such guess"
        if cut[longer]:
            text = "the detector ends inside the object on both sides: values are a guess, wrong most at the rim of"
            self._warn(f"{text} what every view sees; {remedy}")
        elif not opposite:
            text = "the detector ends inside the object on one side, and the scan has no view from across for some"
            self._warn(f"{text} of its views: what they missed is a guess; {remedy}")
        elif self.row.overlap < OVERLAP * self.row.spacing:
            beyond = self.row.overlap / self.row.spacing
            text = f"the detector reaches {beyond:.1f} cells beyond the axis of rotation: views and those from across"
            self._warn(f"{text} join without an overlap, which shows as rings in the middle")

    @staticmethod
    def _warn(text: str) -> None:
        warnings.warn(f"{text}.", TruncatedScan, stacklevel=5)
