"""The numbers of a result, as `metrics.json` holds them: metrics, baseline, chi-square, coverage. None is made up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from operators import BadInput, RestoreError

from ..problem import Problem
from ..reconstruction import Reconstruction
from ..tasks import Task
from ..tasks.units import data_range, presented, to_file_units

SCHEMA = 1
SCORES = ("psnr", "ssim", "lpips")
NO_TRUTH = "no ground truth: chi-square and the residual picture are the judge"


@dataclass(frozen=True)
class Baseline:
    """The simple estimate that a task names (None where it could not be made, with the reason), and its seconds."""

    name: str
    estimate: Tensor | None
    seconds: float
    reason: str | None = None


def make_baseline(task: Task, problem: Any) -> Baseline:
    """Run the task's baseline; one that does not fit this problem is reported, not raised."""
    name = task.table["baseline"]["name"]
    began = time.perf_counter()
    try:
        estimate, reason = task.baseline(problem), None
    except RestoreError as error:
        estimate, reason = None, str(error)
    return Baseline(name, estimate, time.perf_counter() - began, reason)


def no_baseline(task: Task) -> Baseline:
    """What stands in the baseline's place when it was not asked for."""
    return Baseline(task.table["baseline"]["name"], None, 0.0, "left out (--no-baseline)")


def judge(result: Reconstruction, task: Task, baseline: Baseline) -> dict[str, Any]:
    """The table of `metrics.json` (schema 1): plain data, finite numbers, null with a reason where there is none."""
    from ..metrics import as_metrics_json, to_json

    shown_result = presented(result)
    truth, limits = shown_result.problem.truth, data_range(result.problem)
    reasons: dict[str, str] = {}
    scores = score(shown_result.estimate, truth, task.metrics, limits)
    shown = as_metrics_json(scores) if scores is not None else _without_truth(task.metrics)
    reasons.update(shown.pop("reasons"))
    chi2, why = _chi2(result)
    if why is not None:
        reasons["chi2"] = why
    covered, why = _coverage(result)
    if why is not None:
        reasons["coverage"] = why
    conventions = shown.pop("conventions")
    flags = shown.pop("flags", {})
    prior = result.provenance["prior"]
    table = {
        "schema": SCHEMA,
        "task": task.name,
        "task_version": task.version,
        "solver": result.provenance["solver"]["name"],
        "prior": None if prior is None else prior["name"],
        "seed": result.provenance["seed"],
        "samples": result.provenance["samples"],
        "nfe": result.nfe,
        "seconds": round(result.seconds, 3),
        **dict.fromkeys(SCORES),
        **shown,
        "conventions": conventions,
        "reasons": reasons,
        "chi2": to_json(chi2)[0],
        "coverage": covered,
        "baseline": _baseline(baseline, result.problem, truth, task.metrics),
    }
    for key in SCORES:
        if key not in conventions:
            reasons[key] = f"task {task.name!r} names no convention for it"
    return {**table, **({"flags": flags} if flags else {})}


def score(
    estimate: Tensor | None,
    truth: Tensor | None,
    conventions: Mapping[str, str],
    limits: tuple[float, float] | None = (0.0, 1.0),
) -> Any:
    """Scores by key, or None where there is nothing to compare. limits: declared range of the pictures, or None.

    An estimate that no number can be right for (its mean far outside the range, say) has null scores with that reason:
    the run that made it is kept.
    """
    from ..metrics import Score, canonical, evaluate

    if estimate is None or truth is None:
        return None
    try:
        return evaluate(_single(estimate), _single(truth), conventions, data_range=limits)
    except BadInput as error:
        return {key: Score(canonical(name), None, str(error)) for key, name in conventions.items()}


def _single(x: Tensor) -> Tensor:
    return x.to(torch.complex64 if x.is_complex() else torch.float32)


def _without_truth(conventions: Mapping[str, str]) -> dict[str, Any]:
    from ..metrics import canonical

    return {
        **dict.fromkeys(conventions),
        "conventions": {key: canonical(name) for key, name in conventions.items()},
        "reasons": dict.fromkeys(conventions, NO_TRUTH),
    }


def _chi2(result: Reconstruction) -> tuple[float | None, str | None]:
    try:
        value = result.problem.chi2(result.estimate.to(result.problem.y.device))
    except BadInput as error:
        return None, str(error)
    return value, "the measurement has no noise" if value is None else None


def _coverage(result: Reconstruction) -> tuple[dict[str, float] | None, str | None]:
    from ..metrics import coverages

    if result.problem.truth is None:
        return None, NO_TRUTH
    if len(result.samples) < 2:
        return None, "it needs --samples 2 or more"
    return {level: round(share, 6) for level, share in coverages(result.samples, result.problem.truth).items()}, None


def _baseline(
    baseline: Baseline, problem: Problem, truth: Tensor | None, conventions: Mapping[str, str]
) -> dict[str, Any]:
    """truth: in the unit of its file."""
    from ..metrics import as_metrics_json

    table: dict[str, Any] = {"name": baseline.name, **dict.fromkeys(SCORES), "seconds": round(baseline.seconds, 3)}
    if baseline.reason is not None:
        return {**table, "reasons": dict.fromkeys(SCORES, baseline.reason)}
    estimate = None if baseline.estimate is None else to_file_units(baseline.estimate, problem)
    scores = score(estimate, truth, conventions, data_range(problem))
    if scores is None:
        return table
    numbers = as_metrics_json(scores)
    reasons = numbers.pop("reasons")
    numbers.pop("conventions")
    return {**table, **numbers, **({"reasons": reasons} if reasons else {})}
