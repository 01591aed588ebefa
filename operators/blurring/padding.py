"""What lies beyond the edge of a picture: an index for each padded pixel, and the exact transpose of the lookup."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..common.settings import OneOf

BOUNDARIES = {
    "circular": "the picture repeats",
    "symmetric": "mirrored, edge pixel repeated (scipy: reflect)",
    "reflect": "mirrored, edge pixel not repeated (scipy: mirror)",
    "replicate": "the edge pixel goes on",
    "zero": "black",
    "valid": "nothing: y is smaller than the picture and sees only pixels of it",
}
Boundary = Annotated[str, OneOf(BOUNDARIES), "what lies beyond the edges of the picture"]
OUTSIDE = -1


@dataclass(frozen=True)
class Run:
    """Neighbouring padded pixels that read neighbouring source pixels: forwards (step 1), backwards (-1), one (0)."""

    start: int
    length: int
    source: int  # first source pixel read, or OUTSIDE
    step: int

    @property
    def lowest(self) -> int:
        return self.source if self.step >= 0 else self.source - self.length + 1

    @property
    def span(self) -> int:
        return 1 if self.step == 0 else self.length


def indices(size: int, before: int, after: int, boundary: str) -> np.ndarray:
    """Source pixel of each of before + size + after padded pixels; OUTSIDE for a zero. Any width of padding."""
    position = np.arange(-before, size + after)
    if boundary == "circular":
        return position % size
    if boundary == "symmetric":
        folded = position % (2 * size)
        return np.where(folded < size, folded, 2 * size - 1 - folded)
    if boundary == "reflect":
        folded = position % max(2 * size - 2, 1)
        return np.where(folded < size, folded, 2 * size - 2 - folded)
    if boundary == "replicate":
        return np.clip(position, 0, size - 1)
    return np.where((position >= 0) & (position < size), position, OUTSIDE)


@lru_cache(maxsize=64)
def runs(size: int, before: int, after: int, boundary: str) -> tuple[Run, ...]:
    """The padded axis as runs of slices, from left to right."""
    source = indices(size, before, after, boundary)
    pieces, start = [], 0
    while start < len(source):
        stop, step = start + 1, 1
        if stop < len(source):
            step = int(source[stop] - source[start])
            constant = source[start] == OUTSIDE or source[stop] == OUTSIDE
            step = 0 if constant and source[start] == source[stop] else step if not constant else 2
            while abs(step) <= 1 and stop < len(source) and source[stop] - source[stop - 1] == step:
                if OUTSIDE in (source[stop], source[stop - 1]) and step != 0:
                    break
                stop += 1
        pieces.append(Run(start, stop - start, int(source[start]), step if stop - start > 1 else 1))
        start = stop
    return tuple(pieces)


def pad(x: Tensor, axis: Iterable[Run], dim: int) -> Tensor:
    """P x along one axis."""
    pieces = []
    for run in axis:
        if run.source == OUTSIDE:
            shape = list(x.shape)
            shape[dim] = run.length
            pieces.append(x.new_zeros(shape))
            continue
        piece = x.narrow(dim, run.lowest, run.span)
        if run.step == 0:
            shape = list(x.shape)
            shape[dim] = run.length
            piece = piece.expand(shape)
        pieces.append(piece.flip(dim) if run.step < 0 else piece)
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=dim)


def fold(y: Tensor, axis: Iterable[Run], dim: int, size: int) -> Tensor:
    """P^T y along one axis: every padded pixel is added to the one it was read from, always in the same order."""
    shape = list(y.shape)
    shape[dim] = size
    x = y.new_zeros(shape)
    for run in axis:
        if run.source == OUTSIDE:
            continue
        piece = y.narrow(dim, run.start, run.length)
        piece = piece.sum(dim, keepdim=True) if run.step == 0 else piece.flip(dim) if run.step < 0 else piece
        x.narrow(dim, run.lowest, run.span).add_(piece)
    return x
