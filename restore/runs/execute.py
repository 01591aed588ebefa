"""A plan carried out: solve, judge and write each picture; keep what is finished when the user stops."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from operators import BadInput, RestoreError
from operators.common import outside
from operators.common.atomic import claimed
from priors.base import Prior
from priors.selfsupervised.files import keep

from .. import io
from ..calibration.applied import apply
from ..driver import solve
from ..problem import Problem
from ..reconstruction import Reconstruction, read_result
from ..tasks.units import shown_unit
from . import outputs, partial
from .judge import SCORES, judge, make_baseline, no_baseline
from .plan import Plan, RunItem, check_new, nothing_to_do
from .progress import Bar, bar
from .sampling import Finished, Interrupted


class Stopped(Exception):
    """Ctrl-C: what was finished is kept, and the text says how to go on."""


@dataclass
class RunOutcome:
    """What a run left: metrics by picture, results in memory for the closing table, and what failed or was skipped."""

    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    timing: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    summary: dict[str, Any] | None = None


def execute(plan: Plan, *, quiet: bool, say: Callable[[str], None] = lambda _: None) -> RunOutcome:
    """What a run of the plan left, pictures that are done left alone. `say` is told of choices, skips and failures.

    Raises Stopped after Ctrl-C, with finished samples kept beside the output folder. In a folder run a picture that
    fails is named and the run goes on; a single picture's error is raised.
    """
    with claimed(plan.out):
        if not plan.folder:  # another run may have filled it since the plan was made
            check_new(plan.out, overwrite=plan.options.overwrite)
        return _all(plan, quiet=quiet, say=say)


def _all(plan: Plan, *, quiet: bool, say: Callable[[str], None]) -> RunOutcome:
    outcome = RunOutcome(skipped=dict(plan.skipped))
    for note in plan.notes:
        say(note)
    for name, reason in plan.skipped.items():
        say(f"skipped {name}: {reason}")
    waiting = _waiting(plan, outcome, say)
    with bar(len(waiting), quiet=quiet) as display:
        for item in waiting:
            try:
                _one(plan, item, display, outcome, say)
            except KeyboardInterrupt:
                raise Stopped(_how_to_resume(plan, item, outcome)) from None
            except RestoreError as error:
                if not plan.folder:
                    raise
                outcome.failed[item.name] = str(error)
                say(f"failed {item.name}: {error}")
            display.finished()
            if plan.folder and (outcome.metrics or outcome.failed):
                _write_summary(plan, outcome)
    if plan.folder:
        if not outcome.metrics and not outcome.failed:
            raise nothing_to_do(plan.options, outcome.skipped)
        _write_summary(plan, outcome)
    return outcome


def _one(plan: Plan, item: RunItem, display: Bar, outcome: RunOutcome, say: Callable[[str], None]) -> None:
    try:
        image, problem = plan.open(item)
    except BadInput as error:
        if not plan.folder:
            raise
        outcome.skipped[item.name] = str(error)
        say(f"skipped {item.name}: {error}")
        return
    for note in [*image.meta.notes, *problem.notes]:
        say(f"{item.name}: {note}" if plan.folder else note)
    if plan.calibration is not None:
        plan.calibration.check(plan.identity(problem))
    key = plan.key(problem)
    result = _solve(plan, item, problem, image, key, display, say)
    try:
        task = plan.task
        baseline = make_baseline(task, problem) if plan.options.baseline else no_baseline(task)
        metrics = judge(result, task, baseline)
        if plan.calibration is not None:
            metrics["calibration"] = apply(plan.calibration, result, task.metrics)
        title = f"{task.name}: {item.name}"
        outputs.write_all(item.out, result, baseline, image, metrics, title, origin=plan.options.origin)
    except KeyboardInterrupt:
        partial.keep(item.out, Finished(result.samples, tuple(result.trace)), key=key)
        raise
    partial.drop(item.out)
    outcome.metrics[item.name] = metrics
    outcome.timing[item.name] = {**result.timing.as_dict(), "other": result.timing.other}


def _solve(
    plan: Plan, item: RunItem, problem: Problem, image: io.Image, key: str, display: Bar, say: Callable[[str], None]
) -> Reconstruction:
    finished = partial.take(item.out, key=key)
    if finished is not None:
        finished = dataclasses.replace(finished, samples=finished.samples[: plan.samples])
        say(f"continuing after {len(finished.samples)} of {plan.samples} samples of an earlier run")
    continued = 0 if finished is None else len(finished.samples)
    display.picture(item.name, plan.samples, continued)
    try:
        result = solve(
            problem,
            prior=plan.prior,
            solver=plan.solver,
            samples=plan.samples,
            seed=plan.options.seed,
            settings=plan.options.settings,
            watch=display.watch,
            watch_fit=display.watch_fit,
            fitted=_keeper(plan, item, say),
            finished=finished,
            keep=partial.SampleKeeper(item.out, key=key),
        )
    except Interrupted as stop:
        if stop.finished is not None:
            partial.keep(item.out, stop.finished, key=key)
        raise
    except RestoreError:  # the same command would end here again
        partial.drop(item.out)
        raise
    extra = {
        "command": plan.options.command,
        "key": key,
        "input": image.meta.as_dict(),
        "shown_unit": shown_unit(problem, image.meta.unit),
        "prior_given": plan.task.prior_for(),
        "settings_from": plan.task.settings_from,
        "continued_after": continued,
    }
    return dataclasses.replace(result, provenance={**result.provenance, **extra})


def _keeper(plan: Plan, item: RunItem, say: Callable[[str], None]) -> Callable[[Prior], None] | None:
    """What writes the prior that learned from a picture; None where the user did not ask for it."""
    path = plan.kept_prior(item)
    if path is None:
        return None

    def keep_it(prior: Prior) -> None:
        keep(path, prior, trained_on=item.name)
        say(f"kept the prior: --prior {path}")

    return keep_it


def _waiting(plan: Plan, outcome: RunOutcome, say: Callable[[str], None]) -> list[RunItem]:
    """Items still to be done. In a folder, results of the same settings are kept and others are refused."""
    if not plan.folder:
        return list(plan.items)
    waiting = []
    for item in plan.items:
        metrics = None if plan.options.overwrite else _done(plan, item)
        if metrics is None:
            waiting.append(item)
        else:
            outcome.metrics[item.name] = metrics
    if len(waiting) < len(plan.items):
        say(f"{len(plan.items) - len(waiting)} of {len(plan.items)} pictures are done already with these settings")
    return waiting


def _done(plan: Plan, item: RunItem) -> dict[str, Any] | None:
    if not item.out.is_dir() or not any(item.out.iterdir()):
        return None
    provenance = read_result(item.out / "result.h5").attributes["provenance"]
    _, problem = plan.open(item)
    if provenance.get("key") != plan.key(problem) or provenance.get("samples") != plan.samples:
        raise BadInput(
            f"{item.out} holds a result of other settings", do="Choose another --out, or add --overwrite to replace it."
        )
    path = item.out / "metrics.json"
    metrics: dict[str, Any] = outside.json_value(outside.text(path), where=str(path))
    return metrics


def _how_to_resume(plan: Plan, item: RunItem, outcome: RunOutcome) -> str:
    kept = []
    if plan.folder and outcome.metrics:
        kept.append(f"{len(outcome.metrics)} pictures are in {plan.out}")
    if partial.partial_path(item.out).is_file():
        kept.append(f"finished samples are in {partial.partial_path(item.out)}")
    state = " and ".join(kept) if kept else "nothing was finished yet"
    return f"stopped; {state}. The same command continues: {plan.options.command}"


def _write_summary(plan: Plan, outcome: RunOutcome) -> None:
    outcome.summary = summarise(plan, outcome)
    plan.out.mkdir(parents=True, exist_ok=True)
    outputs.write_json(plan.out / "summary.json", outcome.summary)


def summarise(plan: Plan, outcome: RunOutcome) -> dict[str, Any]:
    """Means that say over how many pictures they were taken, and every picture's own metrics under `images`."""
    from ..metrics import summarize

    rows = outcome.metrics
    first = next(iter(rows.values()), {})
    means = {key: summarize([row.get(key) for row in rows.values()]) for key in SCORES}
    shared = ("schema", "task", "task_version", "solver", "prior", "seed", "samples", "conventions")
    return {
        **{key: first.get(key) for key in shared},
        **{key: mean.mean for key, mean in means.items()},
        "counts": {key: {"ok": mean.ok, "failed": mean.failed + len(outcome.failed)} for key, mean in means.items()},
        "images": [{"name": name, **row} for name, row in rows.items()],
        "failed": dict(outcome.failed),
        "skipped": dict(outcome.skipped),
        "complete": len(rows) + len(outcome.failed) == len(plan.items),
    }
