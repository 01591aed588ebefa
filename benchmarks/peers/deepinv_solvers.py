"""Our DiffPIR and DPS beside deepinv's, on the same measurements with the same network as the denoiser.

    python -m benchmarks.peers.deepinv_solvers --limit 4 --size 256

For sr4x and inpaint-random: PSNR by the task's convention, seconds in all and per network call. Both sides run in this
process with the same number of threads, one picture at a time, deepinv with its own physics and its default settings,
and also with as many steps as ours. Needs the extra: pip install "restore[peers]".
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import restore
from benchmarks.comparison import centre_crop, score
from benchmarks.datasets import data_root, find
from operators import BadInput, RestoreError
from operators.errors import import_extra
from priors.base import DiffusionPrior
from restore.problem import Problem

TASKS = ("sr4x", "inpaint-random")


@dataclasses.dataclass
class Tally:
    """Sums over pictures of one method."""

    psnr: float = 0.0
    lpips: float = 0.0
    seconds: float = 0.0
    calls: int = 0
    images: int = 0


class Wrapped(torch.nn.Module):
    """A prior of ours as a deepinv denoiser on [0, 1], which counts its calls; sigma: a number or any tensor.

    deepinv runs its chains in float64; the network answers in the precision it is asked in.
    """

    def __init__(self, prior: DiffusionPrior) -> None:
        super().__init__()
        self.prior = prior
        self.calls = 0

    def forward(self, x: Tensor, sigma: Any, *unused: Any, **also_unused: Any) -> Tensor:
        self.calls += 1
        return self.prior.denoise(x, torch.as_tensor(sigma, dtype=x.dtype).reshape(-1))


def import_deepinv() -> Any:
    return import_extra("deepinv", do='pip install "restore[peers]"')


def physics_of(name: str, problem: Problem) -> Any:
    """deepinv's own operator for the task; it must give our measurement (checked)."""
    deepinv = import_deepinv()
    if name == "sr4x":
        physics = deepinv.physics.DownsamplingMatlab(factor=4)
    else:
        mask = problem.operator.observed
        if mask is None:
            raise BadInput(f"task {name!r} has no mask")
        physics = deepinv.physics.Inpainting(tuple(problem.operator.input_shape), mask=mask.float())
    physics.noise_model = deepinv.physics.GaussianNoise(sigma=max(problem.sigma, 1e-3))
    if problem.truth is None:
        raise BadInput("no truth to check the operator on")
    difference = float((physics.A(problem.truth) - problem.operator(problem.truth)).abs().max())
    if difference > 1e-5:
        raise RuntimeError(f"deepinv's operator for {name} differs from ours by {difference:.1e}")
    return physics


def deepinv_diffpir(steps: int) -> Callable[[str, Problem, Wrapped], Tensor]:
    def run(name: str, problem: Problem, model: Wrapped) -> Tensor:
        deepinv = import_deepinv()
        physics = physics_of(name, problem)
        sampler = deepinv.sampling.DiffPIR(
            model, deepinv.optim.data_fidelity.L2(), sigma=max(problem.sigma, 1e-3), max_iter=steps
        )
        with torch.no_grad():
            return sampler(problem.y, physics, x_init=physics.A_dagger(problem.y), seed=1)

    return run


def deepinv_dps(steps: int) -> Callable[[str, Problem, Wrapped], Tensor]:
    def run(name: str, problem: Problem, model: Wrapped) -> Tensor:
        deepinv = import_deepinv()
        sampler = deepinv.sampling.DPS(model, num_steps=steps)
        shape = (1, *problem.operator.input_shape)
        return sampler(problem.y, physics_of(name, problem), x_init=shape, seed=1, denoise_output=False).float()

    return run


def ours(solver: str, settings: Mapping[str, Any]) -> Callable[[str, Problem, Wrapped], Tensor]:
    def run(task_name: str, problem: Problem, model: Wrapped) -> Tensor:
        task = restore.tasks.load(task_name).override({"solver.name": solver, **settings})
        result = restore.solve(problem, model.prior, task.solver_for(), seed=0)
        model.calls += result.nfe
        return result.estimate

    return run


def methods(quick: bool) -> dict[str, Callable[[str, Problem, Wrapped], Tensor]]:
    """Label -> how to run it. Published or default counts, and equal counts."""
    table = {
        "restore diffpir, 20 steps": ours("diffpir", {"solver.steps": 20}),
        "deepinv DiffPIR, 20 steps": deepinv_diffpir(20),
        "restore dps, 50 steps": ours("dps", {"solver.steps": 50}),
        "deepinv DPS, 50 steps": deepinv_dps(50),
    }
    if not quick:
        table["deepinv DiffPIR, 100 steps (its default)"] = deepinv_diffpir(100)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="set14")
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--prior", default="natural")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--quick", action="store_true", help="leave out deepinv's default count of DiffPIR")
    options = parser.parse_args(arguments)
    try:
        paths = list(find(options.set).paths(data_root(options.data)))[: options.limit]
        model = Wrapped(restore.priors.load(options.prior))
        print("| task | method | images | PSNR | LPIPS | seconds | network calls | ms per call |")
        print("|" + "---|" * 8)
        for name in TASKS:
            task = restore.tasks.load(name)
            pictures = [centre_crop(restore.read(p).data[None], options.size) for p in paths]
            problems = [task.problem(p, seed=0) for p in pictures if p.shape[1] == 3]
            for label, run in methods(options.quick).items():
                tally = Tally()
                for problem in problems:
                    model.calls = 0
                    began = time.perf_counter()
                    estimate = run(name, problem, model)
                    tally.seconds += time.perf_counter() - began
                    scores = score(task, estimate, problem.truth)
                    tally.psnr += scores["psnr"] or 0.0
                    tally.lpips += scores["lpips"] or float("nan")
                    tally.calls += model.calls
                    tally.images += 1
                n = max(tally.images, 1)
                print(
                    f"| {name} | {label} | {tally.images} | {tally.psnr / n:.2f} | {tally.lpips / n:.4f} | "
                    f"{tally.seconds / n:.1f} | {tally.calls // n} | "
                    f"{1000 * tally.seconds / max(tally.calls, 1):.0f} |",
                    flush=True,
                )
    except RestoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
