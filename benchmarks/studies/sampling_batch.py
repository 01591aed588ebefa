"""What it saves to draw the samples of a picture in one batch, beside the loop that draws one after another.

    python -m benchmarks.studies.sampling_batch --samples 8 --size 96

The picture that ships with scikit-image, made small, is measured by a task and drawn by each solver with the settings
of that task, in one process: one after another (`--batch 1`), and as many together as the driver's rule allows. The two
take turns; the table holds the least seconds of each, their ratio, and how far the samples differ (root mean square,
relative). Solvers named in SHORT take fewer steps than they do for a user: what a step costs is what is compared.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

import restore
from operators import RestoreError
from restore.driver import Settings
from restore.problem import Problem

SOLVERS = ("diffpir", "red-diff", "dps", "dpir", "tikhonov", "tv", "wavelet")
SHORT = {"red-diff": 25}


@dataclass(frozen=True)
class BatchRow:
    """Seconds of the loop and of the batch, and the relative root mean square by which their samples differ."""

    solver: str
    loop: float
    batch: float
    difference: float


def measured(task: restore.tasks.Task, size: int) -> Problem:
    """The shipped picture, `size` pixels high and wide, as a measurement of the task."""
    import skimage.data

    from operators.resampling.matrices import resize

    shipped = restore.read(Path(skimage.data.__file__).parent / "astronaut.png").data[None]
    return task.problem(resize(shipped, size=(size, size)).clamp(0, 1), seed=0)


def compare(
    task: restore.tasks.Task, problem: Problem, name: str, *, steps: int | None, samples: int, rounds: int, dtype: str
) -> BatchRow:
    """Loop and batch of one solver, `rounds` times in turn, after a first run that is not counted."""
    count = SHORT.get(name) if steps is None else steps
    variant = task.override({"solver.name": name, **({} if count is None else {"solver.steps": count})})
    solver, prior = variant.solver_for(), variant.prior_for() or None
    ways = {batch: Settings(batch=batch, dtype=dtype) for batch in (1, None)}  # type: ignore[arg-type]
    seconds: dict[int | None, list[float]] = {1: [], None: []}
    drawn: dict[int | None, Tensor] = {}
    restore.solve(problem, prior, solver)
    for _ in range(rounds):
        for batch, settings in ways.items():
            began = time.perf_counter()
            drawn[batch] = restore.solve(problem, prior, solver, samples=samples, settings=settings).samples
            seconds[batch].append(time.perf_counter() - began)
    difference = float((drawn[None] - drawn[1]).norm() / drawn[1].norm())
    return BatchRow(name, min(seconds[1]), min(seconds[None]), difference)


def table(rows: Iterator[BatchRow]) -> Iterator[str]:
    """A Markdown table, line by line as its rows come."""
    yield "| solver | one by one, s | in a batch, s | ratio | samples differ by |"
    yield "|---|---|---|---|---|"
    for row in rows:
        yield f"| {row.solver} | {row.loop:.2f} | {row.batch:.2f} | {row.batch / row.loop:.2f} | {row.difference:.1e} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, 2 for input that cannot be used, with the table on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="sr4x")
    parser.add_argument("--solver", action="append", default=[], help="a solver of the table; repeatable")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--size", type=int, default=96, help="side of the picture in pixels")
    parser.add_argument("--steps", type=int, help="of every solver; default: the task's, fewer for those in SHORT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="auto", help="precision inside the network")
    options = parser.parse_args(arguments)
    from restore.runs.allocator import keep_freed_memory

    keep_freed_memory()  # as the command line does
    try:
        task = restore.tasks.load(options.task)
        problem = measured(task, options.size)
        rows = (
            compare(
                task,
                problem,
                name,
                steps=options.steps,
                samples=options.samples,
                rounds=options.rounds,
                dtype=options.dtype,
            )
            for name in options.solver or SOLVERS
        )
        for line in table(rows):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except RestoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
