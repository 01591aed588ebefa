"""Pairs of pictures and measurements on the same grid: from files, or made from photographs by a measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from operators.common.errors import BadInput

Measure = Callable[[Tensor, int], Tensor]
"""(pictures B x C x H x W in [-1, 1], number of the batch) -> pairs B x 2C x H x W in the process's units."""


class Batches(Protocol):
    """Endless batches of which the k-th depends on the seed and k alone."""

    def batches(self, count: int, *, seed: int, start: int = 0) -> Iterator[Tensor]:
        """Batches from number `start` on."""


class Measured:
    """Batches of pictures, each with its measurement."""

    def __init__(self, pictures: Batches, measure: Measure) -> None:
        self.pictures, self.measure = pictures, measure

    def batches(self, count: int, *, seed: int, start: int = 0) -> Iterator[Tensor]:
        for index, pictures in enumerate(self.pictures.batches(count, seed=seed, start=start), start):
            yield self.measure(pictures, index)


class PairedCrops:
    """Aligned random crops of given pairs, with flips and quarter turns.

    targets, inputs: C x H x W each, of one size within a pair, in the process's units. size: of the crops.
    BadInput for pairs that do not match or are smaller than a crop.
    """

    def __init__(self, targets: Sequence[Tensor], inputs: Sequence[Tensor], *, size: int) -> None:
        if not targets or len(targets) != len(inputs):
            raise BadInput(f"{len(targets)} targets and {len(inputs)} inputs", wanted="as many, and at least one")
        for target, picture in zip(targets, inputs, strict=True):
            if target.shape != picture.shape:
                raise BadInput(f"a target of shape {tuple(target.shape)} has an input of {tuple(picture.shape)}")
            if min(target.shape[-2:]) < size:
                raise BadInput(
                    f"a pair is {target.shape[-2]} x {target.shape[-1]} pixels", wanted=f"at least {size} x {size}"
                )
        self.pairs = [torch.cat([t, g]) for t, g in zip(targets, inputs, strict=True)]
        self.size = size
        areas = np.array([p.shape[-1] * p.shape[-2] for p in self.pairs], dtype=np.float64)
        self.weights = np.cumsum(areas / areas.sum())

    def crop(self, rng: np.random.Generator) -> Tensor:
        """One pair, 2C x size x size."""
        pair = self.pairs[min(int(np.searchsorted(self.weights, rng.random())), len(self.pairs) - 1)]
        top = int(rng.integers(pair.shape[-2] - self.size + 1))
        left = int(rng.integers(pair.shape[-1] - self.size + 1))
        part = pair[:, top : top + self.size, left : left + self.size]
        part = torch.rot90(part, int(rng.integers(4)), (-2, -1))
        return part.flip(-1) if rng.random() < 0.5 else part

    def batches(self, count: int, *, seed: int, start: int = 0) -> Iterator[Tensor]:
        index = start
        while True:
            rng = np.random.default_rng([seed, index])
            yield torch.stack([self.crop(rng) for _ in range(count)])
            index += 1
