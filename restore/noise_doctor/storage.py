"""What storing did to a picture: values cut off at the ends, rounded to steps, compressed in blocks of eight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_CUT = 0.002  # share at one end that is called clipping
MOST_LEVELS = 65_536
TOLERANCE = 1e-3  # of a step, by which a stored number may miss its level
BLOCK = 8
GRID = 1.15  # step over block borders, over that inside blocks, from which blocks are seen
LEAST_BLOCKS = 6


@dataclass(frozen=True)
class StorageTraces:
    """low, high: shares of the values at the smallest and the largest that occur, where these are ends of the range.

    step: spacing of the stored numbers, 0 where they have none. grid: steps over the borders of 8 x 8 blocks over those
    inside, 1 without compression. offset: row and column of the first border.
    """

    low: float
    high: float
    step: float
    grid: float
    offset: tuple[int, int]

    @property
    def clipped(self) -> bool:
        return max(self.low, self.high) >= LEAST_CUT

    @property
    def blocks(self) -> bool:
        """Whether the borders of 8 x 8 blocks are seen."""
        return self.grid >= GRID


def storage(y: Tensor, *, ends: tuple[float, float] = (0.0, 1.0)) -> StorageTraces:
    """Clipping, quantisation and JPEG blocks of pictures B x C x H x W. ends: of the range of values."""
    grid, offset = block_grid(y)
    return StorageTraces(
        low=float((y <= ends[0]).double().mean()),
        high=float((y >= ends[1]).double().mean()),
        step=quantisation_step(y),
        grid=grid,
        offset=offset,
    )


def quantisation_step(y: Tensor) -> float:
    """The largest step of which all differences between values are whole multiples; 0 where there is none.

    The steps of files of 1 to 16 bits are tried first; then the smallest difference between values that occur.
    """
    values = torch.unique(y.double())
    if not 2 <= len(values) <= MOST_LEVELS:
        return 0.0
    for bits in range(1, 17):
        if _lies_on(values, 1 / (2**bits - 1), origin=0.0):
            return 1 / (2**bits - 1)
    span = float(values[-1] - values[0])
    count = round(span / float(values.diff().min()))
    if not 1 <= count <= MOST_LEVELS:
        return 0.0
    step = span / count
    return step if _lies_on(values, step, origin=float(values[0])) else 0.0


def _lies_on(values: Tensor, step: float, *, origin: float) -> bool:
    """Whether all values are whole steps from the origin, as far as single precision (6e-8 near 1) can tell.

    Few values lie on any fine comb: a step is believed where they are eight, or fill a third of its places.
    """
    places = (values - origin) / step
    off = float((places - places.round()).abs().max())
    span = float(values[-1] - values[0]) / step
    return off <= min(max(TOLERANCE, 2e-7 / step), 0.1) and (len(values) >= 8 or len(values) > span / 3)


def block_grid(y: Tensor) -> tuple[float, tuple[int, int]]:
    """How much larger the steps between pixels are at every eighth row and column, and where the first such lies.

    y: B x C x H x W. The step is the second difference that straddles a border (its linear trend taken out on both
    sides), in absolute value, of the grey value; the smaller of both axes: edges of a scene favour one.
    """
    grey = y.double().mean(1)
    down, row = _period(grey)
    across, column = _period(grey.transpose(-1, -2))
    return min(down, across), (row, column)


def _period(grey: Tensor) -> tuple[float, int]:
    if grey.shape[-2] < BLOCK * LEAST_BLOCKS:
        return 1.0, 0
    # |x[i+1] - x[i]| less the mean of the steps before and after it: a smooth slope gives 0, a border its step.
    steps = grey.diff(dim=-2)
    jump = (steps[:, 1:-1] - (steps[:, :-2] + steps[:, 2:]) / 2).abs()
    lines = jump.mean((0, 2))
    phases = torch.stack([lines[k::BLOCK].median() for k in range(BLOCK)])
    strongest = int(phases.argmax())
    # A border raises its own phase and, as their neighbour, the two beside it: the other five are the ground.
    ground = [k for k in range(BLOCK) if (k - strongest) % BLOCK not in (0, 1, BLOCK - 1)]
    level = float(phases[ground].mean())
    return (float(phases[strongest]) / level if level > 0 else 1.0), (strongest + 2) % BLOCK
