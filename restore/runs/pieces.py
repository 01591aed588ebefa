"""The draws of a run, (picture, sample) by (picture, sample), cut into batches that fit in memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..problem import Problem

# The numbers, of pictures or of their measurements, that a batch holds at most where nobody says otherwise: those of a
# colour picture of this side. A picture of that size needs as much memory by itself, and on a processor larger batches
# of smaller ones are no faster.
SIDE = {"cpu": 512, "cuda": 2048}


@dataclass(frozen=True)
class Piece:
    """Draws that run as one batch: each picture of `pictures` under each sample of `samples`.

    Entry s * len(pictures) + k of the batch is sample samples[s] of picture pictures[k].
    """

    pictures: range
    samples: range

    @property
    def entries(self) -> int:
        """Draws of the batch."""
        return len(self.pictures) * len(self.samples)

    def cut(self, most: int, *, joint: bool) -> list[Piece]:
        """Pieces of nearly equal size with at most `most` draws each, samples in order.

        joint: the samples of one picture stay together, however many they are.
        """
        if joint:
            return [Piece(part, self.samples) for part in evenly(self.pictures, most // len(self.samples))]
        if most >= len(self.pictures):
            return [Piece(self.pictures, part) for part in evenly(self.samples, most // max(len(self.pictures), 1))]
        parts = evenly(self.pictures, most)
        return [Piece(part, self.samples[s : s + 1]) for s in range(len(self.samples)) for part in parts]

    def without(self, samples: int) -> Piece | None:
        """What is left of it where the first samples of the run are there already; None for nothing."""
        left = range(max(self.samples.start, samples), self.samples.stop)
        return Piece(self.pictures, left) if left else None

    def pose(self, problem: Problem) -> Problem:
        """The problem of the batch, y repeated without a copy where one picture is drawn."""
        return problem.part(self.pictures).repeated(len(self.samples))

    def names(self, images: Sequence[str]) -> tuple[list[str], list[int]]:
        """Image id and sample index of each entry, by which its noise is drawn. images: ids of all pictures."""
        entries = [(images[picture], sample) for sample in self.samples for picture in self.pictures]
        return [image for image, _ in entries], [sample for _, sample in entries]


def evenly(whole: range, most: int) -> list[range]:
    """Consecutive parts of nearly equal length, each of at most `most` (at least 1) numbers; the whole of nothing."""
    count = max(math.ceil(len(whole) / max(most, 1)), 1)
    borders = [whole.start + len(whole) * k // count for k in range(count + 1)]
    return [range(a, b) for a, b in itertools.pairwise(borders)]


def most_entries(problem: Problem, device: torch.device, *, width: int = 1) -> int:
    """How many draws of a problem run as one batch where nobody says otherwise; at least 1.

    width: pictures that the solver holds for each of them.
    """
    shapes = (problem.operator.input_shape, problem.operator.output_shape)
    room = 3 * SIDE.get(device.type, SIDE["cpu"]) ** 2
    return max(room // (width * max(math.prod(shape) for shape in shapes)), 1)
