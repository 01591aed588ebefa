"""Plan a suite, skip what is done, do the rest, commit each row as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operators.common.errors import BadInput, RestoreError

from .. import cases
from ..cases.planning import Context
from ..records import machine
from ..records.item import FAILED, Item, Outcome
from ..records.rescoring import rescore_row
from ..records.store import FILE, Store
from ..suites import Suite
from . import executors
from .executors import Executor
from .work import metric_version, perform

Tell = Callable[[Item, Outcome], None]


@dataclass(frozen=True)
class SuitePlan:
    """All items of a suite, in order, and what the user should know about them."""

    suite: Suite
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(item.key for item in self.items)


@dataclass
class Tally:
    """What a run did. other: rows of other versions in the store, kept and not shown."""

    planned: int = 0
    skipped: int = 0
    done: int = 0
    failed: int = 0
    other: int = 0
    reasons: dict[str, str] = field(default_factory=dict)


def plan(suite: Suite, context: Context) -> SuitePlan:
    """The items of a suite. BadInput or Unavailable, before any work, for what cannot run."""
    context.solvers = {**suite.solvers, **context.solvers}
    context.timeout = suite.timeout
    items: dict[str, Item] = {}
    for part in suite.parts:
        for item in cases.planner(part.kind).plan(part, context):
            if item.key not in items:
                items[item.key] = item
    if not items:
        reason = "; ".join(context.notes) or "it names no tasks"
        raise BadInput(f"suite {suite.name!r} has nothing to run ({reason})")
    return SuitePlan(suite, tuple(items.values()), tuple(dict.fromkeys(context.notes)))


def run(
    plan: SuitePlan,
    store: Store,
    executor: Executor,
    *,
    command: str = "",
    retry_failed: bool = False,
    tell: Tell | None = None,
) -> Tally:
    """Do what is not done yet, and commit it row by row: stopping at any moment loses at most what is in work.

    retry_failed: compute failed rows again. tell: called after every commit. Calling again goes on where it stopped.
    """
    if retry_failed:
        store.drop(store.failures() & set(plan.keys))
    before = store.keys()
    # A row whose scores are of an older metric stays until its successor is there: a stopped run loses nothing.
    outdated = set(_incomplete(plan, store))
    present = store.keys() - outdated
    pending = [item for item in plan.items if item.key not in present]
    progress = Tally(len(plan.items), len(plan.items) - len(pending), other=len(before - set(plan.keys)))
    store.begin(command=command, suite=plan.suite.name, plan=plan.keys, notes=plan.notes, machine=machine.describe())
    if not pending:
        return progress
    # Another process may work on the same store: what it has finished meanwhile is not taken up.
    fresh: Iterator[Item] = (i for i in pending if i.key in outdated or i.key not in store)
    try:
        for item, outcome in executor.run(fresh, perform):
            store.put(item, outcome, replace=item.key in outdated)
            progress.done += 1
            if outcome.status == FAILED:
                progress.failed += 1
                progress.reasons.setdefault(
                    f"{item.method} on {item.task} {item.data_set}/{item.image}", outcome.reason
                )
            if tell is not None:
                tell(item, outcome)
    finally:
        executor.close()
    return progress


def _incomplete(plan: SuitePlan, store: Store) -> list[str]:
    """Rows that lack a score the plan asks for, and whose estimate was not kept; those with one are scored in place."""
    missing = []
    items = {item.key: item for item in plan.items}
    for row in store.rows(items):
        item = items[row.key]
        wanted = [name for name in item.metrics.values() if not _scored(row, name)]
        if row.ok and wanted and not (store.estimate_path(row.key).is_file() and rescore_row(store, item, row, wanted)):
            missing.append(row.key)
    return missing


def _scored(row: Any, name: str) -> bool:
    return name in row.scores and row.scores[name].version == metric_version(name)


def bench(
    suite: Suite,
    out: Path,
    *,
    context: Context | None = None,
    executor: Executor | None = None,
    command: str = "",
    retry_failed: bool = False,
    tell: Tell | None = None,
    said: Callable[[SuitePlan], None] | None = None,
) -> tuple[SuitePlan, Tally]:
    """The plan of a suite and the tally of its run into a folder; `restore bench` without its tables."""
    context = context if context is not None else Context()
    fresh = not (Path(out) / FILE).exists()
    store = Store(out)
    try:
        context.hashed = store.pixels
        try:
            suite_plan = plan(suite, context)
        except RestoreError:
            if fresh:
                store.discard()  # a command that cannot work leaves nothing behind
            raise
        if said is not None:
            said(suite_plan)
        used = executor if executor is not None else executors.make("serial")
        return suite_plan, run(suite_plan, store, used, command=command, retry_failed=retry_failed, tell=tell)
    finally:
        store.close()
