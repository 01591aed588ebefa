"""Is the spread of a sampler's draws honest? The standard deviation over draws against the error that was made.

    python -m benchmarks.studies.posterior_statistics --solvers resshift,resfusion,rddm-5,mrs-10,diffpir

Centre crops of some pictures are measured by a task and drawn several times by each solver. With S draws x_s of a
picture x, mean m and standard deviation s at each pixel, the table holds

    rank        Spearman's correlation of s and |m - x| over the pixels of a picture
    attainable  the same, were s right: errors and draws simulated from a normal law with standard deviation s
    error/std   rms(m - x) / (sqrt(1 + 1/S) rms(s)), 1 for draws from the posterior, more for too little spread
    50 %, 90 %  share of pixels whose truth is inside that interval of the draws (restore.metrics.posterior)
    draw, mean  PSNR of one draw and of the mean of the draws, in the convention of the task

all as means over pictures.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import restore
from benchmarks import suites
from operators import BadInput, RestoreError
from restore.metrics import coverages
from restore.problem import Problem

from ..cases import methods
from ..cases.pictures import centre_crop, method
from ..cases.planning import Context
from ..sets.datasets import find

FORMAT = "posterior-statistics-1"


@dataclass(frozen=True)
class Spread:
    """What the draws of one picture say; the fields are the columns of the table, `draw` and `mean` in dB."""

    rank: float
    attainable: float
    ratio: float
    coverage_50: float
    coverage_90: float
    draw: float
    mean: float
    nfe: float

    @classmethod
    def average(cls, spreads: Sequence[Spread]) -> Spread:
        """Mean over pictures."""
        rows = [asdict(one) for one in spreads]
        return cls(**{key: sum(row[key] for row in rows) / len(rows) for key in rows[0]})


def spearman(a: Tensor, b: Tensor) -> float:
    """Rank correlation of two tensors of the same shape; 0 where one of them is constant."""
    from scipy.stats import spearmanr

    first, second = (x.flatten().double().numpy() for x in (a, b))
    if not (np.ptp(first) > 0 and np.ptp(second) > 0):
        return 0.0
    return float(spearmanr(first, second).statistic)


def calibration(samples: Tensor, truth: Tensor) -> float:
    """rms of the error of the mean over what the spread of the draws (S x ...) announces; BadInput without spread."""
    count = len(samples)
    error = (samples.mean(0) - truth).square().mean().sqrt()
    announced = math.sqrt(1 + 1 / count) * samples.var(0).mean().sqrt()
    if not float(announced) > 0:
        raise BadInput("all draws are alike", wanted="a solver that draws")
    return float(error / announced)


def attainable(std: Tensor, draws: int, *, seed: int = 0) -> float:
    """The rank correlation that so many draws would show if `std` were the standard deviation of the truth."""
    generator = torch.Generator().manual_seed(seed)
    drawn = std * torch.randn(draws + 1, *std.shape, generator=generator, dtype=std.dtype)
    return spearman(drawn[1:].std(0), (drawn[1:].mean(0) - drawn[0]).abs())


def measure(task: restore.tasks.Task, problem: Problem, prior: str, solver: restore.Solver, draws: int) -> Spread:
    """The spread of `draws` samples for one measured picture, beside the error of their mean."""
    from restore.metrics import Evidence, appraise

    result = restore.solve(problem, prior or None, solver, samples=draws, seed=0)
    if problem.truth is None:
        raise AssertionError("a measured picture has a truth")
    samples, truth = result.samples.double(), problem.truth.double()

    def psnr(estimate: Tensor) -> float:
        value = appraise(Evidence(estimate, problem.truth), {"psnr": task.metrics["psnr"]})["psnr"].value
        return math.nan if value is None else float(value)

    covered = coverages(samples, truth)
    std = samples.std(0)
    return Spread(
        rank=spearman(std, (samples.mean(0) - truth).abs()),
        attainable=attainable(std, draws),
        ratio=calibration(samples, truth),
        coverage_50=covered["50"],
        coverage_90=covered["90"],
        draw=sum(psnr(one) for one in result.samples) / draws,
        mean=psnr(result.estimate),
        nfe=float(result.nfe),
    )


def table(rows: Iterable[tuple[str, Spread]]) -> str:
    """Names and what their draws say, as a Markdown table."""
    lines = [
        "| method | calls | rank | attainable | error/std | in the 50 % | in the 90 % | PSNR, draw | PSNR, mean |",
        "|---|" + "---|" * 8,
    ]
    lines += [
        f"| {name} | {one.nfe:.0f} | {one.rank:.2f} | {one.attainable:.2f} | {one.ratio:.2f} | {one.coverage_50:.0%} "
        f"| {one.coverage_90:.0%} | {one.draw:.2f} | {one.mean:.2f} |"
        for name, one in rows
    ]
    return "\n".join(lines)


def problems(task: restore.tasks.Task, options: argparse.Namespace) -> Iterator[Problem]:
    """The measured crops, chosen evenly from the set."""
    pictures = find(options.set).pictures(options.data)
    apart = max(len(pictures) // options.images, 1)
    for picture in pictures[::apart][: options.images]:
        yield task.problem(centre_crop(picture.read().data[None], options.crop), seed=0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, 2 for input that cannot be used, with the table on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--solvers", required=True, help="names or labels of the suite, with commas")
    parser.add_argument("--suite", default="residual", help="whose labelled solvers may be named")
    parser.add_argument("--task", default="sr4x")
    parser.add_argument("--set", default="bsd100")
    parser.add_argument("--images", type=int, default=10, help="pictures, spread evenly over the set")
    parser.add_argument("--crop", type=int, default=128, help="side of the centre crop")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--data", type=Path, help="the data root; default RESTORE_DATA")
    parser.add_argument("--out", type=Path, help="JSON file to write; rows of other solvers in it are kept")
    options = parser.parse_args(arguments)
    try:
        task = restore.tasks.load(options.task)
        context = Context(data_root=options.data, solvers=suites.load(options.suite).solvers)
        posed = list(problems(task, options))
        rows: dict[str, Spread] = {}
        for label in options.solvers.split(","):
            _, entry = method(task, label, 0, context)
            solver = methods.build(entry.solver, entry.parameters)
            if solver is None:
                raise BadInput(f"{label!r} is a plain function", wanted="a solver that draws")
            spreads = [measure(task, problem, entry.prior, solver, options.samples) for problem in posed]
            rows[label] = Spread.average(spreads)
            sys.stderr.write(f"{label}: rank {rows[label].rank:.2f}, error/std {rows[label].ratio:.2f}\n")
            if options.out is not None:
                setting = {key: getattr(options, key) for key in ("task", "set", "images", "crop", "samples")}
                store(options.out, {label: rows[label]}, setting)
    except RestoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(table(rows.items()) + "\n")
    return 0


def store(path: Path, rows: Mapping[str, Spread], setting: Mapping[str, str | int]) -> None:
    """The file of the rows; those that it has of other methods under the same setting stay."""
    kept = load(path)[1] if path.is_file() and load(path)[0] == dict(setting) else {}
    merged = {name: asdict(one) for name, one in {**kept, **rows}.items()}
    path.write_text(json.dumps({"format": FORMAT, "setting": dict(setting), "rows": merged}, indent=1) + "\n", "utf-8")


def load(path: Path) -> tuple[dict[str, str | int], dict[str, Spread]]:
    """Setting and rows of a file that `store` wrote."""
    content = json.loads(path.read_text("utf-8"))
    return content["setting"], {name: Spread(**row) for name, row in content["rows"].items()}


if __name__ == "__main__":
    raise SystemExit(main())
