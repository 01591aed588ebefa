"""Scores of calibration pictures, one picture at a time, and the calibration that they give together."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.randomness import NoiseSource
from operators.noise import Gaussian

from ..metrics import Evidence, appraise
from ..problem import Problem
from ..reconstruction import Reconstruction
from ..tasks.units import data_range
from . import conformal, spread, unbiased
from .record import Calibration, QualityBound

FACTORS = np.geomspace(1e-3, 1e3, 601)  # of the pixels' widths, from which one is chosen
Solve = Callable[[Problem], Reconstruction]


@dataclass(frozen=True)
class Scores:
    """What one picture says. outside: share of its pixels outside of width * FACTORS. quality: score by metric.

    predicted: by metric, the score of the estimate against each draw. measured: |A xhat - A x|^2 / m, or its unbiased
    estimate. moments: see `spread.moments`.
    """

    identity: Mapping[str, Any]
    size: str
    measured: float
    outside: np.ndarray | None = None
    quality: Mapping[str, float] = field(default_factory=dict)
    predicted: Mapping[str, list[float]] = field(default_factory=dict)
    moments: tuple[float, float] | None = None


def with_truth(result: Reconstruction, metrics: Mapping[str, str], *, identity: Mapping[str, Any]) -> Scores:
    """Scores of a result of one picture whose truth is known.

    metrics: key -> convention; those without a value drop out.
    """
    problem = result.problem
    truth = problem.truth
    if truth is None:
        raise BadInput("the picture has no truth", do="Calibrate without a truth: --measured.")
    error = (result.estimate - truth).abs()
    width = torch.ones_like(error) if result.std is None else result.std.abs()
    fitted = problem.operator(result.estimate) - problem.operator(truth)
    quality, predicted = _quality(result, metrics)
    drawn = len(result.samples) > 1
    return Scores(
        identity=identity,
        size="x".join(str(n) for n in result.estimate.shape[1:]),
        measured=_mean_square(problem, fitted),
        outside=_outside(error, width),
        quality=quality,
        predicted=predicted,
        moments=spread.moments(result.samples[:, 0].abs().numpy(), truth[0].abs().numpy()) if drawn else None,
    )


def without_truth(result: Reconstruction, solve: Solve, *, seed: int, identity: Mapping[str, Any]) -> Scores:
    """Scores of a result whose truth nobody knows, by SURE: one more solve. Gaussian noise of known level only.

    solve: the same solver, prior, seed and samples on another measurement.
    """
    problem = result.problem
    if not isinstance(problem.noise, Gaussian) or problem.sigma == 0:
        raise BadInput(
            f"without a truth the noise must be Gaussian with a positive level, and it is {problem.noise!r}",
            do="Calibrate on pictures whose truth is known.",
        )
    source = NoiseSource(seed, ["calibration"])
    probe = torch.where(source.normal("probe", like=problem.y) < 0, -1.0, 1.0).to(problem.y)

    def predict(y: Tensor) -> Tensor:
        return problem.operator(solve(replace(problem, y=y, image_ids=problem.image_ids)).estimate)

    fitted = problem.operator(result.estimate)
    score = unbiased.sure(predict, problem.y, problem.sigma, probe[None], fitted=fitted)
    size = "x".join(str(n) for n in result.estimate.shape[1:])
    return Scores(identity, size, float(score.mean()))


def calibrate(scores: Sequence[Scores], *, level: float, metrics: Mapping[str, bool]) -> Calibration:
    """The calibration of the pictures' scores. metrics: key -> whether higher is better.

    BadInput where the pictures are too few for the level, or were not restored alike.
    """
    alpha = 1 - level
    least = conformal.smallest_count(alpha)
    if len(scores) < least:
        raise BadInput(
            f"{len(scores)} calibration pictures",
            wanted=f"{least} or more for bounds at {100 * level:g} %",
            do="Give more pictures, or a lower --level.",
        )
    first = scores[0].identity
    for score in scores:
        if score.identity != first:
            raise BadInput("the pictures were not restored alike", do="Calibrate one way of measuring at a time.")
    outside = [score.outside for score in scores if score.outside is not None]
    moments = np.array([score.moments for score in scores if score.moments is not None])
    draws = int(first["samples"])
    factor = conformal.controlled_in_the_mean(np.stack(outside), FACTORS, alpha) if outside else None
    wide = spread.spread_factor(moments[:, 0], moments[:, 1], draws) if len(moments) and moments[:, 1].sum() else None
    return Calibration(
        identity=first,
        level=level,
        pictures=len(scores),
        with_truth=bool(outside),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        width="std" if draws > 1 else "constant",
        pixels=factor if factor is None or math.isfinite(factor) else None,
        quality=tuple(_bound(scores, key, higher, alpha) for key, higher in metrics.items() if _all_have(scores, key)),
        measured=conformal.upper_bound([score.measured for score in scores], alpha),
        spread=None if wide is None else (wide.factor, wide.error),
        sizes=tuple(sorted({score.size for score in scores})),
    )


def _bound(scores: Sequence[Scores], key: str, higher: bool, alpha: float) -> QualityBound:
    values = np.array([score.quality[key] for score in scores])
    fixed = conformal.lower_bound(values, alpha) if higher else conformal.upper_bound(values, alpha)
    if not all(score.predicted.get(key) for score in scores):
        return QualityBound(key, higher, fixed)
    features = conformal.quality_features(
        np.array([score.predicted[key] for score in scores]), alpha, higher_is_better=higher
    )
    margin = conformal.quality_margin(features, values, alpha, higher_is_better=higher)
    spread_out = float(np.std(features)) > 0 and float(np.std(values)) > 0
    correlation = float(np.corrcoef(features, values)[0, 1]) if spread_out else None
    return QualityBound(key, higher, fixed, margin, correlation)


def _all_have(scores: Sequence[Scores], key: str) -> bool:
    return all(math.isfinite(score.quality.get(key, math.nan)) for score in scores)


def predicted_quality(result: Reconstruction, metrics: Mapping[str, str]) -> dict[str, list[float]]:
    """By metric, the score of the estimate with each draw in the truth's place; nothing for one draw."""
    shown = result.in_file_units()
    limits = data_range(result.problem)
    if len(shown.samples) < 2:
        return {}
    found: dict[str, list[float]] = {}
    for draw in shown.samples:
        target = draw if limits is None or draw.is_complex() else draw.clamp(*limits)
        for key, score in appraise(Evidence(shown.estimate, target, data_range=limits), metrics).items():
            if score.value is not None:
                found.setdefault(key, []).append(float(score.value))
    return {key: values for key, values in found.items() if len(values) == len(shown.samples)}


def _quality(result: Reconstruction, metrics: Mapping[str, str]) -> tuple[dict[str, float], dict[str, list[float]]]:
    shown = result.in_file_units()
    evidence = Evidence(shown.estimate, shown.problem.truth, data_range=data_range(result.problem))
    quality = {key: float(s.value) for key, s in appraise(evidence, metrics).items() if s.value is not None}
    return quality, predicted_quality(result, metrics)


def _outside(error: Tensor, width: Tensor) -> np.ndarray:
    """Share of pixels whose error exceeds width * factor, for every factor."""
    ratio = torch.where(error > 0, error.double() / width.double(), torch.zeros_like(error, dtype=torch.float64))
    found = np.sort(ratio.flatten().numpy())
    return 1 - np.searchsorted(found, FACTORS, side="right") / len(found)


def _mean_square(problem: Problem, fitted: Tensor) -> float:
    observed = problem.operator.observed
    kept = fitted if observed is None else torch.where(observed, fitted, torch.zeros_like(fitted))
    return float(kept.abs().square().flatten(1).sum(1).mean()) / problem.observed_count
