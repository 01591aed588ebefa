"""Tune a solver's settings for a task, on pictures that no table reports on.

    python -m benchmarks.studies.tune --task sr4x --solver diffpir --grid lambda_=2,4,8 --grid zeta=0.1,0.3,1

Every combination is run on centre crops of some pictures of photos-val; means are printed, best first, after that of
the task's simple baseline. What is found good goes into the solver's own file, `restore/solvers/tuned/NAME.toml`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

import restore
from operators import BadInput, RestoreError

from ..cases.pictures import centre_crop
from ..sets.datasets import data_root, find

TUNING_SET = "photos-val"


def grid(specifications: Sequence[str]) -> list[dict[str, Any]]:
    """["a=1,2", "b=x"] -> every combination of settings; values are TOML scalars, or words."""
    axes = []
    for specification in specifications:
        name, equals, values = specification.partition("=")
        if not equals:
            raise BadInput(f"--grid {specification!r}", wanted="NAME=VALUE,VALUE,...")
        axes.append([(name, _scalar(v)) for v in values.split(",")])
    return [dict(combination) for combination in itertools.product(*axes)]


def score(task: restore.tasks.Task, estimate: Tensor, problem: Any) -> dict[str, float | None]:
    """The scores of the task's conventions, by short name."""
    from restore.metrics import Evidence, appraise
    from restore.tasks.units import data_range

    own, truth = problem.file_units.back(estimate), problem.file_units.back(problem.truth)
    values = appraise(Evidence(own, truth, data_range=data_range(problem)), task.metrics)
    return {"psnr": None, "lpips": None, **{key: one.value for key, one in values.items()}}


def _scalar(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, 2 for input that cannot be used, with the scores of each setting on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True)
    parser.add_argument("--solver", help="default: the task's own")
    parser.add_argument("--grid", action="append", default=[], help="NAME=VALUE,VALUE,...; may be repeated")
    parser.add_argument("--limit", type=int, default=6, help="pictures: every (100 / limit)-th of the tuning set")
    parser.add_argument("--size", type=int, default=192, help="side of the centre crop")
    parser.add_argument("--prior", default=None, help="name or file; default: the task's own")
    parser.add_argument("--data", type=Path, help="the data root; default RESTORE_DATA")
    options = parser.parse_args(arguments)
    try:
        paths = find(TUNING_SET).paths(data_root(options.data))
        sample = paths[:: max(len(paths) // options.limit, 1)][: options.limit]
        task = restore.tasks.load(options.task)
        method = options.solver or task.sections.solver.name
        prior = restore.priors.load(options.prior or task.prior_for(method))
        problems = [task.problem(centre_crop(restore.read(p).data[None], options.size), seed=0) for p in sample]
        lines = []
        plain = [score(task, task.baseline(problem), problem) for problem in problems]
        mean = {k: sum(s[k] or float("nan") for s in plain) / len(plain) for k in ("psnr", "lpips")}
        sys.stdout.write(f"{mean['psnr']:.3f} dB  {mean['lpips']:.4f} LPIPS  the baseline\n")
        for settings in grid(options.grid):
            solver = task.override(
                {"solver.name": method, **{f"solver.{k}": v for k, v in settings.items()}}
            ).solver_for()
            totals = {"psnr": 0.0, "lpips": 0.0, "seconds": 0.0}
            for problem in problems:
                result = restore.solve(problem, prior, solver, seed=0)
                scores = score(task, result.estimate, problem)
                totals["psnr"] += (scores["psnr"] or 0.0) / len(problems)
                totals["lpips"] += (scores["lpips"] or float("nan")) / len(problems)
                totals["seconds"] += result.seconds / len(problems)
            lines.append((totals, settings))
            sys.stderr.write(f"{totals['psnr']:.3f} {totals['lpips']:.4f} {totals['seconds']:.1f} s {settings}\n")
    except RestoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for totals, settings in sorted(lines, key=lambda line: -line[0]["psnr"]):
        shown = " ".join(f"{k}={v}" for k, v in settings.items())
        sys.stdout.write(f"{totals['psnr']:.3f} dB  {totals['lpips']:.4f} LPIPS  {totals['seconds']:.1f} s  {shown}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
