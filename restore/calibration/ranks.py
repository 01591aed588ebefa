"""Do draws come from the posterior? Rank statistics, for which exact draws give a uniform law whatever the prior.

SBC: Talts et al. 2018, arXiv 1804.06788. TARP: Lemos et al. 2023, arXiv 2302.03026. Score-KSD: Qiu et al. 2026, arXiv
2602.04189, by its U-statistic.
"""

from __future__ import annotations

import math

import numpy as np

from operators.common.errors import BadInput


def ranks(truth: np.ndarray, draws: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """How many draws lie below the truth, 0 to L: uniform for exact draws. Ties are broken at random.

    truth: cases x statistics. draws: cases x L x statistics.
    """
    truth, draws = _cases(truth, draws)
    below = (draws < truth[:, None]).sum(1)
    tied = (draws == truth[:, None]).sum(1)
    return below + np.random.default_rng(seed).integers(0, tied + 1)


def uniformity(counts: np.ndarray, draws: int, *, bins: int = 16) -> tuple[float, float]:
    """Chi-square of ranks (one statistic, cases) against the uniform law on 0 .. L, and its p."""
    from scipy.stats import chi2

    if (draws + 1) % bins:
        raise BadInput(f"{bins} bins for ranks 0 to {draws}", wanted=f"a number of bins that divides {draws + 1}")
    found = np.bincount(np.asarray(counts) * bins // (draws + 1), minlength=bins)
    expected = len(counts) / bins
    statistic = float(((found - expected) ** 2).sum() / expected)
    return statistic, float(chi2.sf(statistic, bins - 1))


def tarp(truth: np.ndarray, draws: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Share of the draws that lie nearer to the reference than the truth does, one for each case: uniform if exact.

    truth, reference: cases x dimensions; draws: cases x L x dimensions. The reference may depend on the measurement,
    not on the truth and not on these draws: the mean of the same draws rejects an exact sampler. References far away
    see little; such as A^+ y plus prior-sized noise, or the mean of other draws, see most.
    """
    truth, draws = _cases(truth, draws)
    far = np.linalg.norm(truth - reference, axis=-1)
    distances = np.linalg.norm(draws - reference[:, None], axis=-1)
    return (distances < far[:, None]).mean(1)


def expected_coverage(shares: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Share of cases whose `tarp` value is below each level; the level itself for exact draws. 1 at level 1."""
    covered = (np.asarray(shares)[:, None] < np.asarray(levels)).mean(0)
    return np.where(np.asarray(levels) >= 1, 1.0, covered)


def distance_to_uniform(shares: np.ndarray, draws: int) -> float:
    """Kolmogorov-Smirnov distance of L * share to the uniform law on 0 .. L; `limit` says what is too much."""
    counts = np.rint(np.asarray(shares) * draws).astype(int)
    found = np.cumsum(np.bincount(counts, minlength=draws + 1)) / len(counts)
    return float(np.abs(found - np.arange(1, draws + 2) / (draws + 1)).max())


def limit(cases: int, *, level: float = 0.05) -> float:
    """The distance to the uniform law that exact draws exceed with probability `level` at most (asymptotic)."""
    from scipy.stats import kstwobign

    return float(kstwobign.isf(level)) / math.sqrt(cases)


def holm(p_values: np.ndarray) -> np.ndarray:
    """p of each of several tests, corrected for their number (Holm 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    by_size = np.argsort(p)
    scaled = np.maximum.accumulate(p[by_size] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[by_size] = np.minimum(scaled, 1.0)
    return corrected


def stein_matrix(draws: np.ndarray, scores: np.ndarray, scale: float) -> np.ndarray:
    """u_ij of the inverse multiquadric kernel (c^2 + r^2)^(-1/2): draws and scores L x dimensions, c = `scale`."""
    draws, scores = np.asarray(draws, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    apart = draws[:, None] - draws[None]
    square = (apart**2).sum(-1)
    q = scale**2 + square
    along = ((scores[:, None] - scores[None]) * apart).sum(-1)
    dimensions = draws.shape[1]
    return scores @ scores.T * q**-0.5 + along * q**-1.5 + dimensions * q**-1.5 - 3 * square * q**-2.5


def stein_discrepancy(draws: np.ndarray, scores: np.ndarray, scale: float) -> float:
    """Mean of u_ij over pairs i != j, divided by the dimension: 0 in the mean for exact draws; it may be negative.

    The published figure keeps i = j and so rewards draws that crowd at the mode; this one does not. No truth is needed.
    """
    u = stein_matrix(draws, scores, scale)
    count, dimensions = np.asarray(draws).shape
    return float((u.sum() - np.trace(u)) / (count * (count - 1)) / dimensions)


def _cases(truth: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, draws = np.asarray(truth, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    if draws.ndim != 3 or draws.shape[::2] != truth.shape:
        raise BadInput(
            f"truth {truth.shape} and draws {draws.shape}", wanted="cases x numbers, and cases x draws x numbers"
        )
    return truth, draws
