"""How much too narrow, or too wide, are the draws of a sampler? One factor on their spread.

T with x_l' = mean + T (x_l - mean). What it cannot do: a bias stays, and so do modes that were never visited.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.common.errors import BadInput


@dataclass(frozen=True)
class SpreadFactor:
    """T, its standard error by the jackknife over pictures, and over how many pictures it was taken."""

    factor: float
    error: float
    pictures: int


def moments(draws: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Of one picture: sum over pixels of (truth - mean)^2, and of the draws' variance (divisor L - 1)."""
    draws, truth = np.asarray(draws, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if len(draws) < 2 or draws.shape[1:] != truth.shape:
        raise BadInput(f"draws {draws.shape} of a truth {truth.shape}", wanted="two draws or more of its shape")
    return float(((truth - draws.mean(0)) ** 2).sum()), float(draws.var(0, ddof=1).sum())


def spread_factor(errors: np.ndarray, variances: np.ndarray, draws: int, *, ensemble: bool = False) -> SpreadFactor:
    """T from the `moments` of pictures: T^2 = (sum error - V / L) / V, unbiased for the law of the draws.

    ensemble: T^2 = sum error / ((1 + 1 / L) V) in its place, that of an L-member ensemble. 0 where the mean errs by no
    more than its own sampling noise.
    """
    errors, variances = np.asarray(errors, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if errors.shape != variances.shape or errors.ndim != 1 or not len(errors):
        raise BadInput(f"moments of shapes {errors.shape} and {variances.shape}", wanted="two numbers a picture")

    def factor(error: float, variance: float) -> float:
        if variance <= 0:
            raise BadInput("the draws do not differ: no factor gives them a spread", do="Choose a solver that draws.")
        square = error / variance / (1 + 1 / draws) if ensemble else error / variance - 1 / draws
        return max(square, 0.0) ** 0.5

    whole = factor(errors.sum(), variances.sum())
    count = len(errors)
    if count == 1:
        return SpreadFactor(whole, float("nan"), 1)
    without = np.array([factor(errors.sum() - e, variances.sum() - v) for e, v in zip(errors, variances, strict=True)])
    error = float(np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum()))
    return SpreadFactor(whole, error, count)


def spread_skill(errors: np.ndarray, variances: np.ndarray, draws: int) -> float:
    """sum error / ((1 + 1 / L) V): 1 for exact draws, above it for draws that are too narrow."""
    return float(np.sum(errors) / ((1 + 1 / draws) * np.sum(variances)))
