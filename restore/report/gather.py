"""From a problem and its answer, or from a stored result, to the pictures and the page that show it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from operators import BadInput, BadType
from operators.common import outside

from .page import Page

if TYPE_CHECKING:
    from ..calibration.origin import Origin
    from ..problem import Problem
    from ..reconstruction import StoredResult


def pictures(
    problem: Problem,
    estimate: Tensor,
    *,
    std: Tensor | None = None,
    baseline: Tensor | None = None,
    origin: Origin | None = None,
) -> tuple[dict[str, Tensor], list[str]]:
    """The pictures of a page, as they are (nothing clipped or scaled), and notes on what stands for what.

    problem, estimate, std, baseline: batches, of which the first entry is taken; estimate B x C x H x W in the units
    of the picture. Keys: measurement (y, or A^H y in the estimate's range where y is no picture), baseline, estimate,
    std; with an origin measured and filled-in, its two parts; with a truth truth and error (estimate - truth), without
    one residual (y - A(estimate), or A^H of it).
    """
    shown: dict[str, Tensor] = {"estimate": estimate[:1]}
    notes = []
    measured, note = _measurement(problem, estimate)
    if measured is not None:
        shown["measurement"] = measured
    if note:
        notes.append(note)
    if baseline is not None:
        shown["baseline"] = baseline[:1]
    if std is not None:
        shown["std"] = std[:1]
    if origin is not None:
        shown["measured"], shown["filled-in"] = origin.measured[:1], origin.filled_in[:1]
        notes.append(f"measured part: (A^H A + rho I)^-1 A^H A x, filled in: the rest of x; rho {origin.rho:.3g}")
    if problem.truth is not None:
        shown["truth"] = problem.truth[:1]
        shown["error"] = estimate[:1] - problem.truth[:1].to(estimate.device)
    else:
        with torch.no_grad():
            residual = problem.residual(estimate.to(problem.y))[:1]
        if is_picture(problem):
            shown["residual"] = residual
        elif _adjoint(problem, residual) is not None:
            shown["residual"] = torch.as_tensor(_adjoint(problem, residual))
            notes.append("residual: A^H (y - A(estimate)), since y is no picture")
    return {name: picture[0].detach().cpu() for name, picture in shown.items()}, notes


def is_picture(problem: Problem) -> bool:
    """Whether y itself can be looked at: real, with the channels and the shape (to scale) of the estimate."""
    y, x = tuple(problem.operator.output_shape), tuple(problem.operator.input_shape)
    if problem.y.is_complex() or len(y) != 3 or len(x) != 3 or y[0] != x[0] or min(y[1:]) < 2:
        return False
    return abs((y[2] / y[1]) / (x[2] / x[1]) - 1) < 0.1


def page_from_result(result_h5: Path, metrics: Mapping[str, Any] | Path, command: str | None = None) -> Page:
    """The page of a stored result.

    metrics: the table of metrics.json, or its path. command: as typed; None: the one in the result's provenance. The
    baseline's picture is not stored and is computed again; where the operator cannot be made again a note says what
    is missing.

    Raises BadInput where result or metrics are missing or damaged.
    """
    from ..io.own_arrays import reading
    from ..reconstruction import read_result

    stored = read_result(result_h5)
    table = _read_metrics(metrics) if isinstance(metrics, Path) else dict(metrics)
    with reading(result_h5, do="Run again: `restore run`."):
        return _page(result_h5, stored, table, command)


def _page(result_h5: Path, stored: StoredResult, table: Mapping[str, Any], command: str | None) -> Page:
    provenance = stored.attributes.get("provenance", {})
    recipe = stored.attributes.get("recipe", {})
    shown, notes = _stored_pictures(stored, recipe, table)
    source = provenance.get("input", {})
    name = Path(source.get("name") or result_h5).stem
    return Page(
        title=f"{table.get('task', 'restore')}: {name}",
        command=command if command is not None else str(provenance.get("command", "made in a script")),
        task=dict(recipe["task"]) if recipe.get("task") else str(table.get("task", "")),
        metrics=table,
        pictures=shown,
        trace=list(stored.attributes.get("trace", [])),
        provenance=provenance,
        notes=[*recipe.get("notes", ()), *source.get("notes", ()), *notes],
        timing=stored.attributes.get("timing"),
    )


def _stored_pictures(
    stored: StoredResult, recipe: Mapping[str, Any], metrics: Mapping[str, Any]
) -> tuple[dict[str, Tensor], list[str]]:
    from ..tasks import rebuild

    arrays = stored.arrays
    try:
        problem = rebuild(recipe, arrays["y"], stored.setup, truth=arrays.get("truth"))
    except (BadInput, BadType) as error:
        return _without_operator(arrays), [f"measurement and baseline are not drawn: {error}"]
    baseline, notes = _baseline(problem, recipe, metrics)
    std, units = arrays.get("std"), problem.file_units
    shown, more = pictures(
        problem.in_file_units(),
        units.back(arrays["estimate"]),
        std=None if std is None else std / units.scale,
        baseline=None if baseline is None else units.back(baseline),
    )
    return shown, [*notes, *more]


def _without_operator(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    shown = {name: arrays[name][0] for name in ("estimate", "std", "truth") if name in arrays}
    if "truth" in shown:
        shown["error"] = shown["estimate"] - shown["truth"]
    return shown


def _baseline(
    problem: Problem, recipe: Mapping[str, Any], metrics: Mapping[str, Any]
) -> tuple[Tensor | None, list[str]]:
    """The baseline's estimate computed again, unless the run left it out (its seconds are 0)."""
    from ..runs.judge import make_baseline
    from ..tasks import Task

    if not metrics.get("baseline", {}).get("seconds"):
        return None, []
    again = make_baseline(Task.from_table(recipe["task"]), problem)
    return again.estimate, [f"the baseline is not drawn: {again.reason}"] if again.reason else []


def _measurement(problem: Problem, estimate: Tensor) -> tuple[Tensor | None, str]:
    if is_picture(problem):
        return problem.y[:1], ""
    back = _adjoint(problem, problem.y[:1])
    if back is None:
        return None, "the measurement is no picture and its operator is not linear: it is not drawn"
    if back.is_complex():
        return back, "the measurement is no picture: A^H y is drawn in its place"
    # Its scale says nothing (A^H A is not the identity), so it takes that of the pictures it is compared with.
    black, white = _span(estimate)
    low, high = back.min(), back.max()
    stretched = black + (white - black) * (back - low) / (high - low).clamp_min(1e-12)
    return stretched, f"the measurement is no picture: A^H y is drawn, stretched to {black:.4g} ... {white:.4g}"


def _span(estimate: Tensor) -> tuple[float, float]:
    """[0, 1] for a picture in these units (an estimate may leave them a little), else from least to largest value."""
    low, high = float(estimate.min()), float(estimate.max())
    return (0.0, 1.0) if low > -1 and high < 2 else (low, high)


def _adjoint(problem: Problem, y: Tensor) -> Tensor | None:
    try:
        linear = problem.linear
    except BadType:
        return None
    with torch.no_grad():
        return linear.adjoint(y)


def _read_metrics(path: Path) -> dict[str, Any]:
    if not os.path.lexists(path):
        raise BadInput(f"no metrics.json at {path}", do="Keep it beside result.h5, as `restore run` wrote it.")
    table: dict[str, Any] = outside.json_value(outside.text(path), where=str(path), do="Run again: `restore run`.")
    return table
