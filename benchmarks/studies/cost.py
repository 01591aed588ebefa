"""What a megapixel costs: seconds and memory of each solver, and where its time goes.

    python -m benchmarks.studies.cost --size 512

Every solver runs sr4x on the picture that ships with scikit-image, in a process of its own so that peak memory is its
own; seconds are for the task's step counts (fewer for solvers named in SHORT, scaled up), one picture at a time.
Solvers that call a network take one step before the clock runs, so that decompositions of the operator and first uses
are not counted as part of the loop.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SOLVERS = ("diffpir", "red-diff", "dps", "tikhonov", "tv", "wavelet")
SHORT = {"red-diff": 20, "dps": 10}  # steps run here; the rest of the default count is the same again


def measure(name: str, size: int) -> dict[str, Any]:
    """One solver on one picture of `size` x `size` pixels: seconds by part, network calls, peak memory in MB."""
    import skimage.data

    import restore
    from operators.resampling.matrices import resize
    from restore.runs.allocator import keep_freed_memory

    keep_freed_memory()  # as the command line does
    shipped = restore.read(Path(skimage.data.__file__).parent / "astronaut.png").data[None]
    picture = resize(shipped, size=(size, size)).clamp(0, 1)
    task = restore.tasks.load("sr4x")
    problem = task.problem(picture, seed=0)
    method = task.override({"solver.name": name}).solver_for()
    full = method.total
    if name in SHORT:
        method = task.override({"solver.name": name, "solver.steps": SHORT[name]}).solver_for()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if method.needs_prior:
        restore.solve(problem, None, task.override({"solver.name": name, "solver.steps": 1}).solver_for())
    timing = restore.solve(problem, None, method).timing
    scale = full / method.total
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "solver": name,
        "steps": full,
        "seconds": timing.total * scale,
        "network": timing.network / timing.total,
        "noise": timing.noise / timing.total,
        "other": timing.other / timing.total,
        "megabytes": (peak - before) / 1024,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, with the table of costs on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--solver", action="append", default=[], choices=SOLVERS)
    options = parser.parse_args(arguments)
    megapixels = options.size**2 / 1e6
    lines = [
        "| solver | states | seconds | seconds per megapixel | network | noise | other | memory, MB per megapixel |",
        "|" + "---|" * 8,
    ]
    for name in options.solver or SOLVERS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row = pool.apply(measure, (name, options.size))
        lines.append(
            f"| {name} | {row['steps']} | {row['seconds']:.1f} | {row['seconds'] / megapixels:.0f} | "
            f"{row['network']:.1%} | {row['noise']:.1%} | {row['other']:.1%} | {row['megabytes'] / megapixels:.0f} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
