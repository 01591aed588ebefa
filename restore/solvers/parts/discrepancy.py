"""The discrepancy principle: the regularisation at which the misfit is as large as the noise (Morozov 1966)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ...problem import Problem

LOWEST, HIGHEST = math.log(1e-8), math.log(1e4)
STRIDE = math.log(10)
CLOSE = 0.02  # a misfit within 2 % of the noise changes the estimate far less than the noise does


class Search:
    """Strengths to try, one per picture; `tell` reports the solution each of them gave.

    The misfit grows with the strength, nearly as a power of it: false position on logarithms (the Illinois variant,
    Dowell and Jarratt 1971), from a bracket found by steps of ten. Pictures are searched each for itself and keep
    their strength once it fits. first: where to begin; fixed: try nothing else; steps: most tries.
    """

    def __init__(self, problem: Problem, *, first: float, fixed: bool = False, steps: int = 12) -> None:
        self.problem, self.steps, self.fixed = problem, steps, fixed
        self._brackets = [Bracket(math.log(first), done=fixed) for _ in range(problem.y.shape[0])]

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(self.steps):
            yield torch.tensor([b.here for b in self._brackets], dtype=torch.float64).exp()
            if self.done:
                return

    @property
    def done(self) -> bool:
        """Whether every picture has its strength."""
        return all(b.done for b in self._brackets)

    @property
    def searching(self) -> Tensor:
        """Which pictures still look for their strength (B, boolean): the answers of the others are to stay."""
        return torch.tensor([not b.done or self.fixed for b in self._brackets], dtype=torch.bool)

    def tell(self, x: Tensor) -> None:
        """Move each strength towards the one whose misfit equals the noise."""
        if self.fixed:
            return
        ratios = (misfit(self.problem, x) / noise_energy(self.problem)).clamp_min(1e-300).log().tolist()
        for bracket, ratio in zip(self._brackets, ratios, strict=True):
            bracket.tell(ratio)


@dataclass
class Bracket:
    """Where the search for one picture stands: log strength `here`, and the nearest known (log strength, log ratio)."""

    here: float
    done: bool = False
    low: tuple[float, float] | None = None
    high: tuple[float, float] | None = None
    last_was_low: bool | None = None

    def tell(self, ratio: float) -> None:
        """ratio: log of misfit over noise at `here`."""
        if self.done:
            return
        if abs(ratio) <= CLOSE:
            self.done = True
            return
        is_low = ratio < 0
        repeated = is_low == self.last_was_low
        if is_low:
            self.low = (self.here, ratio)
            self.high = self.high and (self.high[0], self.high[1] / (2 if repeated else 1))
        else:
            self.high = (self.here, ratio)
            self.low = self.low and (self.low[0], self.low[1] / (2 if repeated else 1))
        self.last_was_low = is_low
        if self.low and self.high:
            following = self.low[0] + (self.high[0] - self.low[0]) * self.low[1] / (self.low[1] - self.high[1])
        else:
            following = self.here + (STRIDE if is_low else -STRIDE)
        following = min(max(following, LOWEST), HIGHEST)
        self.done = following == self.here
        self.here = following


def noise_energy(problem: Problem) -> float:
    """The mean of |noise|^2 over observed entries; a complex entry has noise in both parts."""
    parts = 2 if problem.y.is_complex() else 1
    return float(max(problem.observed_count, 1) * parts * problem.sigma**2)


def misfit(problem: Problem, x: Tensor) -> Tensor:
    """|y - A x|^2 over observed entries (B), in float64."""
    return (problem.residual(x).abs().double() ** 2).flatten(1).sum(1).cpu()


def per_picture(values: Tensor, like: Tensor) -> Tensor:
    """B numbers shaped to broadcast over `like`, with its precision."""
    dtype = like.dtype if values.is_complex() or not like.is_complex() else like.real.dtype
    return over_pixels(values.to(device=like.device, dtype=dtype), like)


def over_pixels(values: Tensor, like: Tensor) -> Tensor:
    """B numbers of any type shaped to broadcast over `like`."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
