"""The numbers of a result, as `metrics.json` holds them: metrics, baseline, chi-square, coverage. None is made up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from operators import RestoreError

from ..problem import Problem
from ..reconstruction import Reconstruction
from ..tasks import Task
from ..tasks.units import data_range

if TYPE_CHECKING:
    from ..metrics.scores import Score

SCHEMA = 1
SCORES = ("psnr", "ssim", "lpips")
INTERVALS = {"50": "coverage[50]", "90": "coverage[90]"}


@dataclass(frozen=True)
class Baseline:
    """The simple estimate that a task names (None where it could not be made, with the reason), and its seconds."""

    name: str
    estimate: Tensor | None
    seconds: float
    reason: str | None = None


def make_baseline(task: Task, problem: Any) -> Baseline:
    """The baseline of the task, run; one that does not fit this problem is reported, not raised."""
    name = task.sections.baseline.name
    began = time.perf_counter()
    try:
        estimate, reason = task.baseline(problem), None
    except RestoreError as error:
        estimate, reason = None, str(error)
    return Baseline(name, estimate, time.perf_counter() - began, reason)


def no_baseline(task: Task) -> Baseline:
    """What stands in the baseline's place when it was not asked for."""
    return Baseline(task.sections.baseline.name, None, 0.0, "left out (--no-baseline)")


def judge(result: Reconstruction, task: Task, baseline: Baseline) -> dict[str, Any]:
    """The table of `metrics.json` (schema 1): plain data, finite numbers, null with a reason where there is none."""
    from ..metrics import Evidence, appraise, as_metrics_json, to_json

    problem, shown = result.problem, result.in_file_units()
    limits = data_range(problem)
    numbers = as_metrics_json(appraise(Evidence(shown.estimate, shown.problem.truth, data_range=limits), task.metrics))
    own = Evidence(result.estimate, problem.truth, result.samples, posed=(problem, result.estimate))
    inside = appraise(own, {"chi2": "chi2", **INTERVALS})
    chi2 = inside.pop("chi2")
    conventions, reasons, flags = numbers.pop("conventions"), numbers.pop("reasons"), numbers.pop("flags", {})
    for key, score in (("chi2", chi2), ("coverage", inside["50"])):
        if score.reason is not None:
            reasons[key] = score.reason
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
        **numbers,
        "conventions": conventions,
        "reasons": reasons,
        "chi2": to_json(chi2.value)[0],
        "coverage": _shares(inside),
        "verdict": list(result.verdict),
        "baseline": _baseline(baseline, problem, shown.problem.truth, task.metrics),
    }
    for key in SCORES:
        if key not in conventions:
            reasons[key] = f"task {task.name!r} names no convention for it"
    return {**table, **({"flags": flags} if flags else {})}


def _shares(covered: Mapping[str, Score]) -> dict[str, float] | None:
    """Coverage by level, None where there is none."""
    shares = {level: round(score.value, 6) for level, score in covered.items() if score.value is not None}
    return shares or None


def _baseline(
    baseline: Baseline, problem: Problem, truth: Tensor | None, conventions: Mapping[str, str]
) -> dict[str, Any]:
    """truth: in the unit of its file."""
    from ..metrics import Evidence, appraise, as_metrics_json

    table: dict[str, Any] = {"name": baseline.name, **dict.fromkeys(SCORES), "seconds": round(baseline.seconds, 3)}
    if baseline.reason is not None:
        return {**table, "reasons": dict.fromkeys(SCORES, baseline.reason)}
    if baseline.estimate is None or truth is None:
        return table
    estimate = problem.file_units.back(baseline.estimate)
    numbers = as_metrics_json(appraise(Evidence(estimate, truth, data_range=data_range(problem)), conventions))
    reasons = numbers.pop("reasons")
    numbers.pop("conventions")
    return {**table, **numbers, **({"reasons": reasons} if reasons else {})}
