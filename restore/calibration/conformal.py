"""Conformal bounds: what holds for a new picture that is exchangeable with the calibration pictures.

Split conformal prediction (Vovk, Gammerman, Shafer 2005; Lei et al. 2018): with n scores of calibration pictures the
k-th smallest, k = ceil((n + 1) (1 - alpha)), is not exceeded by that of a new one with probability 1 - alpha at least,
on average over calibration sets and pictures; never for a given picture, and never for each of its pixels.

Risk control: pixel intervals scaled by a factor lambda, so that the share of pixels outside is at most alpha in the
mean (CRC: Angelopoulos et al. 2022, arXiv 2208.02814), or with probability 1 - delta over calibration sets (RCPS: Bates
et al. 2021, arXiv 2101.02703, with the bound of Hoeffding and Bentkus).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np

from operators.common.errors import BadInput
from operators.common.settings import Range, check

Share = Annotated[float, Range(above=0, below=1)]
ROUNDING = 1e-9  # (n + 1) (1 - alpha) may be a whole number that binary fractions miss


def order(count: int, alpha: float) -> int:
    """k = ceil((n + 1) (1 - alpha)), the rank from below of the score that bounds a new one; above n: nothing does."""
    check("alpha", alpha, Share)
    return math.ceil((count + 1) * (1 - alpha) - ROUNDING)


def smallest_count(alpha: float) -> int:
    """The fewest calibration pictures with which a bound at 1 - alpha exists."""
    check("alpha", alpha, Share)
    return math.ceil(1 / alpha - 1 - ROUNDING)


def upper_bound(scores: Sequence[float] | np.ndarray, alpha: float) -> float:
    """What the score of a new picture does not exceed, with probability 1 - alpha; infinite with too few pictures."""
    values = _finite(scores)
    rank = order(len(values), alpha)
    return math.inf if rank > len(values) else float(np.sort(values)[rank - 1])


def lower_bound(scores: Sequence[float] | np.ndarray, alpha: float) -> float:
    """What the score of a new picture does not fall below, with probability 1 - alpha."""
    return -upper_bound(-_finite(scores), alpha)


def realised(count: int, alpha: float, *, level: float = 0.9) -> tuple[float, float]:
    """Between which values the coverage of one calibration set lies, at `level`: quantiles of Beta(k, n + 1 - k)."""
    from scipy.stats import beta

    rank = order(count, alpha)
    if rank > count:
        return 1.0, 1.0
    law = beta(rank, count + 1 - rank)
    return float(law.ppf((1 - level) / 2)), float(law.ppf((1 + level) / 2))


def wilson(hits: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """The interval of a share that was seen `hits` times in `trials` (Wilson 1927)."""
    from scipy.stats import norm

    if not 0 <= hits <= trials or trials == 0:
        raise BadInput(f"{hits} of {trials}", wanted="a count out of one or more trials")
    z = float(norm.ppf((1 + level) / 2))
    share, weight = hits / trials, z * z / trials
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    return max(middle - half, 0.0), min(middle + half, 1.0)


# -- risk control ------------------------------------------------------------------------------------------------------


def controlled_in_the_mean(losses: np.ndarray, factors: np.ndarray, alpha: float) -> float:
    """The least factor whose mean loss on a new picture is at most alpha (CRC); infinite where none is.

    losses: pictures x factors, in [0, 1], falling along the factors (rising).
    """
    table = _losses(losses, factors)
    count = len(table)
    mean = (count * table.mean(0) + 1) / (count + 1)
    good = np.flatnonzero(mean <= check("alpha", alpha, Share))
    return math.inf if good.size == 0 else float(factors[good[0]])


def controlled_surely(losses: np.ndarray, factors: np.ndarray, alpha: float, *, delta: float = 0.1) -> float:
    """The least factor whose mean loss is at most alpha with probability 1 - delta over calibration sets (RCPS).

    From the largest factor down to the first whose risk is not shown to be at most alpha; a search that jumps would
    lose the guarantee. losses and factors as in `controlled_in_the_mean`.
    """
    table = _losses(losses, factors)
    shown = risk_p_value(table, alpha) <= check("delta", delta, Share)
    best = math.inf
    for factor, good in zip(factors[::-1], shown[::-1], strict=True):
        if not good:
            break
        best = float(factor)
    return best


def risk_p_value(losses: np.ndarray, alpha: float) -> np.ndarray:
    """p of "the risk is above alpha" for each column of losses in [0, 1]: Hoeffding and Bentkus.

    exp(-n h(R, alpha)) and e P(Bin(n, alpha) <= ceil(n R)), R the mean of n losses, h the relative entropy.
    """
    from scipy.special import rel_entr
    from scipy.stats import binom

    count, risk = len(losses), np.minimum(losses.mean(0), check("alpha", alpha, Share))
    hoeffding = np.exp(-count * (rel_entr(risk, alpha) + rel_entr(1 - risk, 1 - alpha)))
    bentkus = math.e * binom.cdf(np.ceil(count * losses.mean(0) - ROUNDING), count, alpha)
    return np.minimum(np.minimum(hoeffding, bentkus), 1.0)


# -- the quality of one picture ----------------------------------------------------------------------------------------


def quality_features(predicted: np.ndarray, alpha: float, *, higher_is_better: bool = True) -> np.ndarray:
    """What the draws say of a score: its alpha-quantile over the draws (1 - alpha where lower is better).

    predicted: pictures x draws, the score of the estimate against each posterior draw in the truth's place (Wen, Ahmad,
    Schniter 2025, arXiv 2505.09528).
    """
    return np.quantile(np.asarray(predicted, dtype=np.float64), alpha if higher_is_better else 1 - alpha, axis=1)


def quality_margin(
    features: np.ndarray, scores: Sequence[float] | np.ndarray, alpha: float, *, higher_is_better: bool = True
) -> float:
    """lambda of the bound: score >= feature - lambda with probability 1 - alpha (<= feature + lambda otherwise).

    features, scores: of the calibration pictures; features of 0 give the bound that does not look at the picture.
    """
    difference = np.asarray(features, dtype=np.float64) - np.asarray(scores, dtype=np.float64)
    return upper_bound(difference if higher_is_better else -difference, alpha)


def _finite(scores: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(scores, dtype=np.float64).ravel()
    if values.size == 0 or np.isnan(values).any():
        raise BadInput(
            f"{values.size} scores, {int(np.isnan(values).sum())} of them NaN", wanted="one number a picture"
        )
    return values


def _losses(losses: np.ndarray, factors: np.ndarray) -> np.ndarray:
    table = np.asarray(losses, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(factors) or not len(table):
        raise BadInput(f"losses have shape {table.shape}", wanted=f"pictures x {len(factors)} factors")
    if not (table.min() >= 0 and table.max() <= 1) or (np.diff(factors) <= 0).any():
        raise BadInput("losses outside [0, 1], or factors that do not rise", wanted="shares, and rising factors")
    return table
