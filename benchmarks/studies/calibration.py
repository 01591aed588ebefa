"""Do calibrated bounds hold as often as they say? Many crops, split at random again and again.

    python -m benchmarks.studies.calibration --folder photos --count 600 --task denoise --solver tv
    python -m benchmarks.studies.calibration --folder photos --count 600 --solver diffpir --samples 4 --crop 64

Crops of the pictures of a folder are measured and restored; in each of `--splits` random splits one half calibrates and
the other is judged. Printed for each bound: the mean coverage over splits, Wilson's interval for such a share in one
judged half, and the spread over splits. The bound on the measured part is made twice, from true errors and from
SURE, and judged by true errors both times. Crops of one picture are not independent: they are enough to see that the
arithmetic holds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import restore
from operators.noise import Gaussian
from restore import io
from restore.calibration import collect, conformal
from restore.calibration.record import identity
from restore.problem import Problem
from restore.reconstruction import Reconstruction
from restore.runs.matching import choose_prior


def crops(folder: Path, count: int, side: int, seed: int) -> list[torch.Tensor]:
    """So many crops (1 x 3 x side x side), as many from each picture as from any other."""
    pictures = [io.read(path).data for path in io.expand(folder)[0]]
    pictures = [picture for picture in pictures if picture.shape[0] == 3 and min(picture.shape[1:]) >= side]
    rng = np.random.default_rng(seed)
    found = []
    for k in range(count):
        picture = pictures[k % len(pictures)]
        top, left = (int(rng.integers(length - side + 1)) for length in picture.shape[1:])
        found.append(picture[None, :, top : top + side, left : left + side])
    return found


def scored(
    task: restore.tasks.Task, solver: str, pictures: Sequence[torch.Tensor], *, samples: int
) -> list[collect.Scores]:
    """Scores of every crop with its truth, and by SURE (`measured` of the second) where the noise is Gaussian."""
    method = task.solver_for(solver)
    prior = choose_prior(None, method, task.problem(pictures[0])) if method.needs_prior else None
    conventions = {key: name for key, name in task.metrics.items() if key != "lpips"}

    def solved(problem: Problem) -> Reconstruction:
        return restore.solve(problem, prior, method, samples=samples)

    rows = []
    for k, picture in enumerate(pictures):
        problem = task.problem(picture)
        result = solved(problem)
        who = identity(problem, method, prior, samples=samples)
        rows.append(collect.with_truth(result, conventions, identity=who))
        if isinstance(problem.noise, Gaussian) and problem.sigma > 0:
            rows.append(collect.without_truth(result, solved, seed=k, identity=who))
    return rows


def coverages(
    true: Sequence[collect.Scores], blind: Sequence[collect.Scores], *, level: float, splits: int, seed: int
) -> dict[str, np.ndarray]:
    """By bound, the share of judged crops for which it held, in every split."""
    rng, alpha, half = np.random.default_rng(seed), 1 - level, len(true) // 2
    higher = dict.fromkeys(true[0].quality, True)
    found: dict[str, list[float]] = {}
    errors = np.array([row.measured for row in true])
    for _ in range(splits):
        order = rng.permutation(len(true))
        fit, rest = order[:half], order[half:]
        made = collect.calibrate([true[k] for k in fit], level=level, metrics=higher)
        for bound in made.quality:
            values = np.array([true[k].quality[bound.metric] for k in rest])
            if bound.fixed is not None:
                found.setdefault(f"{bound.metric} (any picture)", []).append(float((values >= bound.fixed).mean()))
            if bound.margin is not None:
                drawn = np.array([true[k].predicted[bound.metric] for k in rest])
                own = conformal.quality_features(drawn, alpha) - bound.margin
                found.setdefault(f"{bound.metric} (from the draws)", []).append(float((values >= own).mean()))
        if made.pixels is not None:
            column = int(np.searchsorted(collect.FACTORS, made.pixels * (1 - 1e-9)))
            outside = np.mean([np.asarray(true[k].outside)[column] for k in rest])
            found.setdefault("pixels inside", []).append(1 - float(outside))
        found.setdefault("measured part", []).append(float((errors[rest] <= made.measured).mean()))
        if blind:
            sure = conformal.upper_bound([blind[k].measured for k in fit], alpha)
            found.setdefault("measured part, by SURE", []).append(float((errors[rest] <= sure).mean()))
    return {name: np.array(values) for name, values in found.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """0, after a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="pictures")
    parser.add_argument("--task", default="denoise")
    parser.add_argument("--solver", default="tv")
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--crop", type=int, default=48)
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--level", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    task = restore.tasks.load(options.task)
    pictures = crops(options.folder, options.count, options.crop, options.seed)
    rows = scored(task, options.solver, pictures, samples=options.samples)
    true, blind = [row for row in rows if row.outside is not None], [row for row in rows if row.outside is None]
    table = coverages(true, blind, level=options.level, splits=options.splits, seed=options.seed)
    half = len(true) - len(true) // 2
    sys.stdout.write(
        f"{options.task}, {options.solver}, {len(true)} crops of {options.crop} pixels, {options.splits} splits, "
        f"bounds at {100 * options.level:g} %\n"
    )
    for name, shares in table.items():
        low, high = conformal.wilson(round(float(shares.mean()) * half), half)
        sys.stdout.write(
            f"{name:28}  {100 * shares.mean():5.1f} %  (Wilson {100 * low:.1f} to {100 * high:.1f}; a split "
            f"+-{100 * shares.std():.1f})\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
