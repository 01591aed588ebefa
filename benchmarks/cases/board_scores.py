"""What draws of a sampler say of an exact posterior: numbers of one signal, and their mean over signals.

Every figure has the value that exact draws would have, as many of them: the mean of L draws is off by tr C / L, plain
quantiles do not cover what they say, and a rank test of few signals sees little. So exact draws stand in the board as
a sampler like another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operators.common.errors import BadInput
from restore.calibration.ranks import distance_to_uniform, holm, ranks, tarp

from .oracle_scores import covariance_error

DIRECTIONS = 256
PROJECTIONS = 8
Values = dict[str, Any]
Figure = Callable[[Sequence[Values]], float]


def order_statistics(draws: int, level: int) -> int:
    """a, for which x_(a) to x_(L + 1 - a) of L exact draws hold the truth with probability `level` percent exactly."""
    a = (draws + 1) * (100 - level) / 200
    if a < 1 or a != int(a):
        raise BadInput(
            f"a {level} % interval from {draws} draws", wanted="a number such as 19, 39, 59, 79, 99 or 199 of draws"
        )
    return int(a)


def interval_coverage(draws: Tensor, targets: Tensor, level: int) -> float:
    """Share of numbers of the targets (T x d) inside the order-statistic interval of the draws (L x d).

    A target that equals draws (an atom) has its rank drawn among theirs; what counts is the chance of being inside.
    """
    a, count = order_statistics(len(draws), level), len(draws)
    below = (draws[None] < targets[:, None]).sum(1)
    tied = (draws[None] == targets[:, None]).sum(1)
    inside = (torch.minimum(below + tied, torch.tensor(count - a)) - below.clamp_min(a) + 1).clamp_min(0)
    return float((inside / (tied + 1)).mean())


def region_coverage(draws: Tensor, targets: Tensor, level: float = 0.9) -> float:
    """Share of targets whose log posterior (T) reaches that of the ceil(level L)-th best draw (L)."""
    best = draws.sort(descending=True).values
    return float((targets >= best[math.ceil(level * len(draws)) - 1]).double().mean())


def sliced_distance(one: Tensor, other: Tensor) -> float:
    """Mean over fixed random directions of the 1-Wasserstein distance of two sets of as many draws (L x d)."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.randn(DIRECTIONS, one.shape[1], generator=generator, dtype=torch.float64)
    axes = axes / axes.norm(dim=1, keepdim=True)
    a, b = ((x.double() @ axes.T).sort(0).values for x in (one, other))
    return float((a - b).abs().mean())


def directions(length: int) -> Tensor:
    """Unit vectors of the rank statistics (PROJECTIONS x length)."""
    generator = torch.Generator().manual_seed(1)
    axes = torch.randn(PROJECTIONS, length, generator=generator, dtype=torch.float64)
    return axes / axes.norm(dim=1, keepdim=True)


@dataclass(frozen=True)
class Known:
    """Of one signal: exact mean (d), covariance (d x d), draws (L x d), truth (d), a reference that y gives."""

    mean: Tensor
    covariance: Tensor
    draws: Tensor
    truth: Tensor
    reference: Tensor


def values(draws: Tensor, known: Known, *, regions: tuple[Tensor, Tensor] | None, seed: int) -> Values:
    """Numbers of one signal. draws: L x d of a sampler. regions: log posterior of draws and targets, where it exists.

    Targets of intervals and regions are the truth and the exact draws, which are as good as truths of the same y.
    """
    mmse = float(known.covariance.trace())
    mean = draws.mean(0)
    point = len(draws) == 1
    found: Values = {
        "bias": float((mean - known.mean).square().sum()),
        "mmse": mmse,
        "own": 0.0 if point else float(draws.var(0).sum()) / len(draws),
    }
    if point:
        return found
    targets = torch.cat([known.truth[None], known.draws])
    half = len(draws) // 2
    axes = directions(draws.shape[1])
    truth, projected = (known.truth @ axes.T)[None].numpy(), (draws @ axes.T)[None].numpy()
    near = tarp(known.truth[None].numpy(), draws[None, :half].numpy(), draws[half:].mean(0)[None].numpy())
    far = tarp(known.truth[None].numpy(), draws[None].numpy(), known.reference[None].numpy())
    return {
        **found,
        "covariance": covariance_error(draws, known.covariance),
        "cover50": interval_coverage(draws, targets, 50),
        "cover90": interval_coverage(draws, targets, 90),
        "region90": None if regions is None else region_coverage(*regions),
        "ranks": [int(r) for r in ranks(truth, projected, seed=seed)[0]],
        "near": float(near[0]),
        "far": float(far[0]),
        "distance": sliced_distance(draws, known.draws),
        "unit": math.sqrt(mmse / draws.shape[1]),
        "spread": float(draws.var(0).sum()) / mmse,
    }


@dataclass(frozen=True)
class Column:
    """A figure of the board over signals, with the interval of 90 % of bootstrap samples of signals."""

    value: float
    low: float
    high: float


def gap(rows: Sequence[Values]) -> float:
    """dB by which the mean of infinitely many draws is worse than the exact mean, from few draws (debiased)."""
    bias, mmse, own = (sum(float(row[key]) for row in rows) for key in ("bias", "mmse", "own"))
    return 10 * math.log10(max((bias - own + mmse) / mmse, 1e-9))


def average(name: str, *, unit: str | None = None) -> Figure:
    """The mean of a number over signals, in units of another one."""

    def of(rows: Sequence[Values]) -> float:
        return float(np.mean([float(r[name]) / (1 if unit is None else float(r[unit])) for r in rows]))

    return of


FIGURES: Mapping[str, Figure] = {
    "gap": gap,
    "covariance": average("covariance"),
    "cover50": average("cover50"),
    "cover90": average("cover90"),
    "region90": average("region90"),
    "distance": average("distance"),
    "relative": average("distance", unit="unit"),
    "spread": average("spread"),
}


def column(name: str, rows: Sequence[Values], *, resamples: int = 400) -> Column | None:
    """A figure over the signals of a cell; None where a signal has none."""
    figure = FIGURES[name]
    needed = "bias" if name == "gap" else "distance" if name == "relative" else name
    if any(row.get(needed) is None for row in rows):
        return None
    rng = np.random.default_rng(0)
    again = [figure([rows[i] for i in rng.integers(0, len(rows), len(rows))]) for _ in range(resamples)]
    low, high = np.quantile(again, [0.05, 0.95])
    return Column(figure(rows), float(low), float(high))


def rank_test(rows: Sequence[Values], draws: int) -> tuple[float, float] | None:
    """Largest distance of projected ranks to the uniform law (SBC), and its p, corrected for the projections."""
    if any(row.get("ranks") is None for row in rows):
        return None
    table = np.array([row["ranks"] for row in rows])
    found = [distance_to_uniform(one / draws, draws) for one in table.T]
    return max(found), _least(found, len(rows))


def ball_test(rows: Sequence[Values], draws: int) -> tuple[float, float] | None:
    """The same of TARP, by its two references."""
    if any(row.get("near") is None for row in rows):
        return None
    counts = {"near": draws // 2, "far": draws}
    found = [distance_to_uniform(np.array([row[key] for row in rows]), count) for key, count in counts.items()]
    return max(found), _least(found, len(rows))


def _least(distances: Sequence[float], cases: int) -> float:
    from scipy.stats import kstwo

    return float(holm(kstwo.sf(np.array(distances), cases)).min())
