"""What the runner costs, and what a second worker brings.

    python -m benchmarks.studies.scaling

Eight pictures of 256 x 256 pixels (four that ship with scikit-image, two seeds) under sr4x by diffpir run through each
executor with 1 and 2 workers of one thread. The first item of a process loads the prior and is left out. Then: items
that cost nothing, rows committed to the store, and bytes of an item on its way. About two minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .. import suites
from ..cases.planning import Context
from ..records import machine
from ..records.item import SOLVER, Item, Outcome, ScoreRow
from ..records.store import Store
from ..runs import executors, runner
from ..runs.executors import trial

WAYS = (("", 1), ("", 2), ("local", 1), ("local", 2))  # scheduler ("" for processes, "local" for dask) and workers
NAMES = {"": "processes", "local": "dask"}
SUITE = """
version = 1
summary = "one solver, one task"
[[part]]
tasks = ["sr4x"]
sets = ["shipped"]
crop = 256
seeds = 2
calls = {calls}
solvers = ["diffpir"]
"""


@dataclasses.dataclass(frozen=True)
class Way:
    """One executor.

    solver, opening: median seconds per item in the solver, and around it (reading, measuring, scores, hashes). between:
    median seconds from the end of an item to the beginning of the next in the same process (sending,
    committing). rate: items per second of all workers together. idle: items per second where an item costs nothing.
    """

    name: str
    workers: int
    items: int
    solver: float
    opening: float
    between: float
    rate: float
    idle: float


def planned(calls: int) -> list[Item]:
    """The items, without the baseline's."""
    suite = suites.parse(SUITE.format(calls=calls), name="scaling")
    suite_plan = runner.plan(suite, Context(settings={"device": "cpu", "dtype": "float32"}, keep_first=0))
    return [item for item in suite_plan.items if item.role == SOLVER]


def way(scheduler: str, workers: int, items: Sequence[Item], *, empty: int, folder: Path) -> Way:
    """The items, and then empty ones, run through one executor, with every row committed as the runner does."""
    store = Store(folder)
    done: list[Outcome] = []
    executor = executors.make(scheduler, workers=workers, threads=1)
    try:
        for item, outcome in executor.run(items, trial.clocked):
            store.put(item, outcome)
            if outcome.reason:
                raise RuntimeError(f"{item.image}: {outcome.reason}")
            done.append(outcome)
        free = [o for _, o in executor.run(numbered(items[0], empty), trial.nothing)]
    finally:
        executor.close()
        store.close()
    later = [outcome for chain in chains(done) for outcome in chain[1:]]
    gaps = [two.machine["began"] - one.machine["ended"] for chain in chains(done) for one, two in neighbours(chain)]
    return Way(
        NAMES[scheduler],
        workers,
        len(done),
        statistics.median(o.seconds for o in later),
        statistics.median(o.machine["ended"] - o.machine["began"] - o.seconds for o in later),
        statistics.median(gaps),
        sum(rate(chain) for chain in chains(done)),
        sum(rate(chain) for chain in chains(free)),
    )


def chains(outcomes: Iterable[Outcome]) -> list[list[Outcome]]:
    """The outcomes of each process, in time; processes that did fewer than three tell nothing."""
    processes: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        processes.setdefault(int(outcome.machine["process"]), []).append(outcome)
    ordered = [sorted(chain, key=lambda o: float(o.machine["began"])) for chain in processes.values()]
    return [chain for chain in ordered if len(chain) > 2]


def neighbours(chain: Sequence[Outcome]) -> list[tuple[Outcome, Outcome]]:
    """Pairs of items that followed one another, the first item left out."""
    return list(pairwise(chain[1:]))


def rate(chain: Sequence[Outcome]) -> float:
    """Items per second of one process, from the end of its first item to the end of its last."""
    taken = chain[-1].machine["ended"] - chain[0].machine["ended"]
    return (len(chain) - 1) / taken if taken > 0 else 0.0


def numbered(item: Item, count: int) -> list[Item]:
    """Items that differ by their seed alone."""
    return [dataclasses.replace(item, seed=k, identity={**item.identity, "seed": k}) for k in range(count)]


def commits(item: Item, folder: Path, count: int) -> tuple[float, float]:
    """Rows per second the store commits, with four scores each; and megabytes per second of kept estimates."""
    scores = tuple(ScoreRow(name, 1.0) for name in ("psnr", "ssim", "lpips", "chi2"))
    store = Store(folder)
    try:
        seconds = []
        for arrays, number in (({}, count), ({"estimate": np.zeros((3, 256, 256), np.float32)}, max(count // 20, 1))):
            items = numbered(item, number)
            begun = time.perf_counter()
            for one in items:
                store.put(one, Outcome(one.key, "ok", scores=scores, arrays=arrays), replace=True)
            seconds.append((time.perf_counter() - begun) / number)
    finally:
        store.close()
    return 1 / seconds[0], 3 * 256 * 256 * 4 / 1e6 / seconds[1]


def sizes(item: Item, outcome: Outcome) -> dict[str, int]:
    """Bytes of an item, of its outcome, and of an outcome whose estimate (3 x 256 x 256) is kept."""
    kept = dataclasses.replace(outcome, arrays={"estimate": np.zeros((3, 256, 256), np.float32)})
    return {name: len(pickle.dumps(one)) for name, one in (("item", item), ("outcome", outcome), ("kept", kept))}


def saturation(ways: Sequence[Way], rows: float, seconds: float) -> float:
    """Workers whose items, of so many seconds each, the client can just send out, take back and commit by itself."""
    dispatch = max(one.idle for one in ways if one.name == NAMES["local"])
    return seconds / (1 / rows + 1 / dispatch)


def report(ways: Sequence[Way], rows: float, megabytes: float, size: dict[str, int]) -> str:
    """Tables, in Markdown."""
    lines = [
        "| executor | workers | items/s | against one worker | solver, s | around it, s | between items, ms | runner |",
        "|" + "---|" * 8,
    ]
    for one in ways:
        alone = next(other.rate for other in ways if (other.name, other.workers) == (one.name, 1))
        lines.append(
            f"| {one.name} | {one.workers} | {one.rate:.3f} | {one.rate / alone:.2f} | {one.solver:.2f} | "
            f"{one.opening:.3f} | {1e3 * one.between:.1f} | {one.between / one.solver:.2%} |"
        )
    lines += ["", "| what the client can do | measured |", "|---|---|"]
    lines += [f"| empty items a second through {one.name}, {one.workers} workers | {one.idle:.0f} |" for one in ways]
    lines += [
        f"| rows committed a second, four scores each | {rows:.0f} |",
        f"| kept estimates, MB a second | {megabytes:.0f} |",
        f"| bytes of an item | {size['item']} |",
        f"| bytes of an outcome | {size['outcome']} |",
        f"| bytes of an outcome with its estimate | {size['kept']} |",
    ]
    lines += [
        f"| workers that keep the client busy, items of {seconds} s | {saturation(ways, rows, seconds):.0f} |"
        for seconds in (1, 10, 60)
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, with the figures on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=8, help="network calls per item")
    parser.add_argument("--empty", type=int, default=400, help="items that cost nothing")
    parser.add_argument("--rows", type=int, default=1000, help="rows committed")
    parser.add_argument("--folder", type=Path, default=Path(), help="where stores are made: the disk that is measured")
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    options = parser.parse_args(arguments)
    items = planned(options.calls)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        ways = []
        for number, (scheduler, workers) in enumerate(WAYS):
            ways.append(way(scheduler, workers, items, empty=options.empty, folder=folder / str(number)))
            sys.stderr.write(f"{ways[-1]}\n")
        rows, megabytes = commits(items[0], folder / "rows", options.rows)
        store = Store(folder / "0", create=False)
        row = store.rows()[0]
        store.close()
    scores = tuple(row.scores.values())
    size = sizes(items[0], Outcome(items[0].key, "ok", scores=scores, machine=machine.describe()))
    sys.stdout.write(report(ways, rows, megabytes, size) + "\n")
    if options.out is not None:
        content: dict[str, Any] = {
            "command": "python -m benchmarks.studies.scaling "
            + " ".join(sys.argv[1:] if arguments is None else arguments),
            "machine": machine.describe(),
            "ways": [dataclasses.asdict(one) for one in ways],
            "rows_per_second": rows,
            "megabytes_per_second": megabytes,
            "bytes": size,
        }
        options.out.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
