"""One large picture, or a stack of pictures, restored piece by piece through the executors of the benchmarks.

`request` makes items of it, the runner has them done and commits each as it comes, `canvas` puts them together, and
`restore_file` does all of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operators.common.atomic import claimed
from operators.common.errors import BadInput

if TYPE_CHECKING:
    from ...cases.planning import Context
    from ...records.store import Store
    from ..executors import Executor
    from ..runner import Tally, Tell
    from .request import Mapped, Request

__all__ = ["Finished", "restore_file", "work_folder"]


@dataclass(frozen=True)
class FinishedMap:
    """path: the file, None where pieces failed. progress: what the run did; None where the file was there already.

    scores: mean of each score over the pieces that have it, by its short name.
    """

    path: Path | None
    progress: Tally | None
    scores: dict[str, float]


def work_folder(out: Path) -> Path:
    """Where finished pieces wait beside the file that they will be."""
    return out.with_name(out.name + ".work")


def restore_file(
    request: Request,
    out: Path,
    *,
    context: Context,
    executor: Executor,
    command: str = "",
    overwrite: bool = False,
    retry_failed: bool = False,
    tell: Tell | None = None,
    said: Callable[[Mapped], None] | None = None,
) -> FinishedMap:
    """Restore a large file into `out` (HDF5); the same call goes on where an earlier one was stopped.

    BadInput before any work for what cannot run, and where `out` exists and is no result of this request.
    """
    from ...records.item import digest
    from ...records.store import Store
    from .. import runner
    from . import canvas
    from .request import prepare

    if out.is_symlink():
        raise BadInput(f"{out} is a symbolic link", do="Name the file that it leads to, or choose another --out.")
    if out.suffix.lower() not in (".h5", ".hdf5"):
        raise BadInput(f"--out {out}", wanted="a name that ends in .h5", do="Name an HDF5 file.")
    work = work_folder(out)
    with claimed(out):
        idle = not work.exists()  # nothing in it that somebody could want
        store = Store(work)
        try:
            context.hashed = store.pixels
            mapped = prepare(request, context, work)
            key = digest([mapped.plan.keys, mapped.tiling.blend])
            if out.exists() and (facts := canvas.facts(out)) is not None and facts.get("key") == key:
                return FinishedMap(out, None, dict(facts["scores"]))
            if out.exists() and not overwrite:
                raise BadInput(f"{out} exists", do="Choose another --out, or add --overwrite to replace it.")
            if said is not None:
                said(mapped)
            idle = False
            _measure(mapped, store)
            store.drop(key for key in store.keys() & set(mapped.plan.keys) if _lost(store, key))
            progress = runner.run(mapped.plan, store, executor, command=command, retry_failed=retry_failed, tell=tell)
            if store.failures() & set(mapped.plan.keys):
                return FinishedMap(None, progress, {})
            scores = _scores(mapped, store)
            canvas.write(out, mapped, store, {"key": key, "scores": scores, **_facts(mapped, command)})
            idle = True
            return FinishedMap(out, progress, scores)
        finally:
            store.close()
            if idle:
                shutil.rmtree(work, ignore_errors=True)


def _measure(mapped: Mapped, store: Store) -> None:
    """Make the measurements that pieces still to be done are cut from, here and once, before any of them begins."""
    from restore.tasks import Task

    from . import streaming

    there = store.keys()
    for item in mapped.plan.items:
        if item.where["y"] and item.key not in there:
            task = Task.from_table(item.where["table"], item.task, frozenset(item.where["chosen"]))
            streaming.ensure(task, item.where, seed=item.seed)


def _lost(store: Any, key: str) -> bool:
    """Whether the answer of a finished piece cannot be read any more."""
    if key in store.failures():
        return False
    try:
        return store.estimate(key) is None
    except BadInput:
        return True


def _scores(mapped: Mapped, store: Any) -> dict[str, float]:
    table: dict[str, list[float]] = {}
    short = {name: key for item in mapped.plan.items for key, name in item.metrics.items()}
    for row in store.rows(mapped.plan.keys):
        for name, score in row.scores.items():
            if score.value is not None:
                table.setdefault(short.get(name, name), []).append(score.value)
    return {name: sum(values) / len(values) for name, values in table.items()}


def _facts(mapped: Mapped, command: str) -> dict[str, Any]:
    """Where the file comes from, as plain data without paths of this machine."""
    from restore import __version__

    item = mapped.plan.items[0]
    return {
        "restore": __version__,
        "command": command,
        "task": item.identity["task"],
        "physics": item.identity["physics"],
        "solver": {"name": item.solver, **item.parameters},
        "prior": item.identity["prior"],
        "samples": item.samples,
        "seed": item.seed,
        "input": item.where["picture"],
        "pieces": len(mapped.places),
        "tile": mapped.tiling.tile,
        "halo": list(mapped.tiling.halo),
        "blend": mapped.tiling.blend,
    }
