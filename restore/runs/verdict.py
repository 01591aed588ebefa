"""What the data say of an answer, in words: whether it explains the measurement, and whether its values are legal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..tasks.units import data_range

if TYPE_CHECKING:
    from ..problem import Problem

UNEXPLAINED = 2.0  # chi-square; the right level gives 1, and every solver here stays under 1.3 with it
FOLLOWED = 0.5  # chi-square, where there are no fewer measurements than unknowns; denoisers leave 0.9 and more
CORRELATED = 0.3  # of neighbouring residuals; noise has 0, a denoiser's residual under 0.1 in magnitude
STANDARD_ERRORS = 10  # by which chance must be excluded besides: small pictures vary
OUTSIDE = 0.1  # of the legal range: further out is no overshoot at an edge
SHARE = 0.001  # of the values


def findings(problem: Problem, estimate: Tensor, samples: Tensor) -> tuple[str, ...]:
    """One sentence for each thing that does not fit; none where nothing speaks against the answer.

    problem: in the picture's units. estimate: B x C x ... . samples: S x B x C x ... . No truth is used: chi-square of
    the measurement, correlation of neighbouring residuals, range of the values, spread of the samples.
    """
    if not len(estimate):
        return ()
    y_side = estimate.to(problem.y.device)
    found = [_level(problem, y_side), _structure(problem, y_side), _range(problem, estimate), _spread(samples)]
    return tuple(sentence for sentence in found if sentence is not None)


def _level(problem: Problem, estimate: Tensor) -> str | None:
    chi2 = problem.chi2(estimate)
    if chi2 is None or not math.isfinite(chi2):
        return None
    count = problem.observed_count
    chance = STANDARD_ERRORS * math.sqrt(2 / max(count * len(estimate), 1))
    if chi2 > max(UNEXPLAINED, 1 + chance):
        return (
            f"The estimate does not explain the measurement: the residual is {math.sqrt(chi2):.3g} times the noise "
            f"(chi-square {chi2:.3g}). The noise level is larger than was given, the operator is another one, or the "
            "solver stopped early."
        )
    unknowns = estimate[0].numel()
    if chi2 < min(FOLLOWED, 1 - chance) and count >= unknowns:
        return (
            f"The level does not fit the measurement: the residual is {math.sqrt(chi2):.2g} times the noise that was "
            f"given (chi-square {chi2:.2g}), so the noise is smaller, or the estimate follows it."
        )
    return None


def _structure(problem: Problem, estimate: Tensor) -> str | None:
    """Correlation of neighbouring residuals, where the measurement is picture-like and complete."""
    if len(problem.operator.output_shape) < 3 or problem.operator.observed is not None or problem.sigma == 0:
        return None
    if problem.prior_level is not None:  # the noise itself is correlated
        return None
    residual = problem.residual(estimate)
    residual = residual - residual.mean((-2, -1), keepdim=True)
    power = float((residual.abs() ** 2).mean())
    if power == 0:
        return None
    for axis, name in ((-1, "columns"), (-2, "rows")):
        length = residual.shape[axis]
        if length < 2:
            continue
        one, other = residual.narrow(axis, 1, length - 1), residual.narrow(axis, 0, length - 1)
        correlation = float((one * other.conj()).real.mean()) / power
        if abs(correlation) > max(CORRELATED, STANDARD_ERRORS / math.sqrt(one.numel())):
            return (
                f"The residual is not noise: neighbouring {name} correlate by {correlation:.2f}. Part of the picture "
                "is left in it, or the noise itself is correlated."
            )
    return None


def _range(problem: Problem, estimate: Tensor) -> str | None:
    limits = None if problem.recipe is None else data_range(problem)  # a script's pictures may be anything
    if limits is None or estimate.is_complex():
        return None
    low, high = (problem.file_units.to(torch.tensor(limit, dtype=torch.float64)) for limit in limits)
    margin = OUTSIDE * float(high - low)
    outside = float(((estimate < float(low) - margin) | (estimate > float(high) + margin)).double().mean())
    if outside <= SHARE:
        return None
    ends = problem.file_units.back(torch.stack([estimate.min(), estimate.max()]).double())
    return (
        f"{100 * outside:.2g} % of the values are far outside the legal range {limits[0]:g} to {limits[1]:g} "
        f"(they reach {float(ends[0]):.3g} and {float(ends[1]):.3g}): the prior was asked for pictures it "
        "does not know, or the level does not fit."
    )


def _spread(samples: Tensor) -> str | None:
    if len(samples) < 2 or bool((samples != samples[:1]).any()):
        return None
    return f"All {len(samples)} samples are equal: the solver drew nothing, so they carry no uncertainty."
