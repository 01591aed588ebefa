"""Residual samplers where the answer is known: their bias and spread against the number of steps.

    python -m benchmarks.studies.residual_oracle --out docs

Given the measurement, a pixel is Gaussian: x0 ~ N(y - gap, std^2) in [-1, 1] units. Every process is given its exact
E[x0 | x_t, y], so that what is left is the sampler's own error: how it starts, how it steps, how few steps it has.
The samplers are linear in their noise, so the law of their answer is Gaussian too and is computed, not sampled: one run
without noise gives its mean, one run for each draw the weight of that draw.

Printed for each method and number of network calls: the bias of the mean and the ratio of the standard deviations, both
relative to the posterior's; and the distance of the two laws (2-Wasserstein, in posterior standard deviations), which
is plotted. A second table and plot: the error of the MR Sampler's ODE end point by order and formulas.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.core.identity import Identity
from operators.noise import Gaussian
from priors.residual.analytic import GaussianPair
from priors.residual.i2sb import I2SBProcess
from priors.residual.ir_sde import IRSDEProcess
from priors.residual.process import Process
from priors.residual.rddm import RDDMProcess
from priors.residual.resfusion import ResfusionProcess
from priors.residual.resshift import ResShiftProcess
from restore import solvers
from restore.problem import Problem
from restore.solvers import Solver

from ..tables.loglog import loglog_svg

CALLS = (1, 2, 4, 5, 10, 20, 50, 100)
ODE_STEPS = (5, 10, 20, 40, 80, 160)
Pixel = tuple[float, float]  # (gap, std) of the posterior in [-1, 1] units


@dataclass(frozen=True)
class Law:
    """Mean and standard deviation of a sampler's answer, relative to the posterior: (0, 1) is right."""

    bias: float
    spread: float

    @property
    def distance(self) -> float:
        """2-Wasserstein distance to the posterior, in its standard deviations."""
        return math.hypot(self.bias, self.spread - 1)


@dataclass(frozen=True)
class Contestant:
    """A row: the process and the solver for a number of network calls, or None where there is none."""

    name: str
    at: Callable[[int], tuple[Process, Solver] | None]


class Impulses:
    """Noise whose k-th draw is 1 in batch entry k + 1 and 0 elsewhere; entry 0 sees no noise at all."""

    def __init__(self) -> None:
        self.drawn = 0

    def normal(self, stream: str, like: Tensor) -> Tensor:
        self.drawn += 1
        out = torch.zeros_like(like)
        if self.drawn < len(out):
            out[self.drawn] = 1
        return out

    def uniform(self, stream: str, like: Tensor) -> Tensor:
        raise BadInput(f"stream {stream!r} is not normal", wanted="a method that is linear in normal draws")

    def categorical(self, stream: str, logits: Tensor) -> Tensor:
        raise BadInput(f"stream {stream!r} is not normal", wanted="a method that is linear in normal draws")

    def skip(self, stream: str, like: Tensor) -> None:
        """Draws that are thrown away weigh nothing."""


def answers(process: Process, solver: Solver, pixel: Pixel, draws: int) -> Tensor:
    """Answers of a run without noise, and with each draw alone (draws + 1), in the process's units; y is 0."""
    gap, std = (value * 0.5 / process.scale for value in pixel)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    prior = GaussianPair(process, mean=-gap * one, mean_y=0 * one, gain=one[0], covariance=std**2 * one[0])
    y = torch.zeros(draws + 1, 1, 1, 1, dtype=torch.float64)
    problem = Problem(y, Identity((1, 1, 1)), Gaussian(sigma=0.0), image_ids=tuple(map(str, range(draws + 1))))
    noise = Impulses()
    final = list(solver.iterate(problem, prior, noise))[-1]
    if noise.drawn > draws:
        raise AssertionError(f"{noise.drawn} draws were made where {draws} were provided for")
    return final.estimate.flatten()


def law(process: Process, solver: Solver, pixel: Pixel, *, draws: int) -> Law:
    """The exact law of the sampler's answer."""
    response = answers(process, solver, pixel, draws)
    gap, std = (value * 0.5 / process.scale for value in pixel)
    weights = response[1:] - response[0]
    return Law(float(response[0] + gap) / std, float(weights.norm()) / std)


def contestants() -> list[Contestant]:
    """The rows of the table."""
    shift = {count: ResShiftProcess(steps=count, min_noise_level=0.2 if count < 10 else 0.04) for count in CALLS}
    cut = {process.length: process for process in (ResfusionProcess(schedule_steps=t) for t in range(10, 400))}
    residual = {scale: RDDMProcess(sum_scale=scale) for scale in (0.01, 1.0)}
    reverting = IRSDEProcess(first_theta="keep")

    def of(process: Process, name: str, **settings: object) -> Callable[[int], tuple[Process, Solver]]:
        return lambda count: (process, solvers.build(name, steps=count, **settings))

    return [
        Contestant("ResShift", lambda n: (shift[n], solvers.build("resshift"))),
        Contestant("ResShift, deterministic", lambda n: (shift[n], solvers.build("resshift", sampler="deterministic"))),
        Contestant("RDDM, noise 0.01", of(residual[0.01], "rddm")),
        Contestant("RDDM, noise 1", of(residual[1.0], "rddm")),
        Contestant("RDDM, noise 1, ancestral", of(residual[1.0], "rddm", sampler="ancestral")),
        Contestant("Resfusion", lambda n: (cut[n], solvers.build("resfusion")) if n in cut else None),
        Contestant("IR-SDE, posterior", of(reverting, "ir-sde")),
        Contestant("IR-SDE, Euler SDE", of(reverting, "ir-sde", sampler="sde")),
        Contestant("IR-SDE, Euler ODE", of(reverting, "ir-sde", sampler="ode")),
        Contestant("MRS, SDE, order 1", of(reverting, "mrs", order=1)),
        Contestant("MRS, SDE, order 2", of(reverting, "mrs")),
        Contestant("MRS, ODE, order 1", of(reverting, "mrs", equation="ode", order=1)),
        Contestant("MRS, ODE, order 2", of(reverting, "mrs", equation="ode")),
        Contestant("MRS, ODE, order 2, released", of(reverting, "mrs", equation="ode", formulas="released")),
        Contestant("MRS, ODE, order 3", of(reverting, "mrs", equation="ode", order=3)),
        Contestant("I2SB", of(I2SBProcess(), "i2sb")),
    ]


def table(pixel: Pixel, calls: Sequence[int] = CALLS) -> dict[str, dict[int, Law]]:
    """Laws by row and number of calls."""
    laws: dict[str, dict[int, Law]] = {}
    for contestant in contestants():
        row = {}
        for count in calls:
            pair = contestant.at(count)
            if pair is not None:
                row[count] = law(*pair, pixel, draws=count + 2)
        laws[contestant.name] = row
    return laws


def ode_errors(*, formulas: str, order: int, steps: Sequence[int] = ODE_STEPS) -> dict[int, float]:
    """Largest error of the MR Sampler's end point against the closed form.

    The universal model's process (max_sigma 50), x0 ~ N(0.45, 0.2^2) whatever y is, started at 64 x_T between -3 and 3
    standard deviations around y = 0.3 .. 0.7.
    """
    process = IRSDEProcess(max_sigma=50, first_theta="keep", between="tables" if formulas == "released" else "theta")
    y = torch.linspace(0.3, 0.7, 64, dtype=torch.float64).reshape(1, 1, 8, 8)
    z = torch.linspace(-3, 3, 64, dtype=torch.float64)[torch.arange(64) * 37 % 64].reshape(1, 1, 8, 8)
    mean = torch.full((1, 8, 8), 0.45, dtype=torch.float64)
    unit = torch.eye(64, dtype=torch.float64)
    prior = GaussianPair(process, mean=mean, mean_y=y[0], gain=0 * unit, covariance=0.2**2 * unit)

    def moments(t: float) -> tuple[Tensor, float]:
        a, b, s = process.marginal(t)
        return a * 0.45 + b * y, math.hypot(a * 0.2, s)

    (first, wide), (last, narrow) = moments(process.steps), moments(0)
    exact = last + narrow / wide * (y + process.spread * z - first)

    class Start(Impulses):
        def normal(self, stream: str, like: Tensor) -> Tensor:
            return z

    problem = Problem(y, Identity((1, 8, 8)), Gaussian(sigma=0.0))
    errors = {}
    for count in steps:
        solver = solvers.build("mrs", steps=count, order=order, equation="ode", formulas=formulas)
        errors[count] = float((list(solver.iterate(problem, prior, Start()))[-1].x - exact).abs().max())
    return errors


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, with bias and spread by steps on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gap", type=float, default=0.2, help="y minus the posterior mean, [-1, 1] units")
    parser.add_argument("--std", type=float, default=0.1, help="posterior standard deviation, [-1, 1] units")
    parser.add_argument("--out", type=Path, help="folder for the two SVG plots")
    options = parser.parse_args(arguments)
    laws = table((options.gap, options.std))
    errors = {
        f"order {order}, {formulas}": ode_errors(formulas=formulas, order=order)
        for formulas in ("released", "consistent")
        for order in (1, 2, 3)
    }
    sys.stdout.write(f"{_laws_text(laws)}\n\n{_errors_text(errors)}\n")
    if options.out is not None:
        distances = {name: [(n, law.distance) for n, law in row.items()] for name, row in laws.items()}
        shown = {name: distances[name] for name in distances if name not in LEFT_OUT}
        (options.out / "residual-oracle.svg").write_text(
            loglog_svg(
                shown,
                title="Distance of sampled law and posterior, exact predictions",
                across="network calls",
                up="2-Wasserstein, posterior standard deviations",
            )
        )
        (options.out / "mrs-order.svg").write_text(
            loglog_svg(
                {f"{k} (dashed)" if "released" in k else k: list(v.items()) for k, v in errors.items()},
                title="MR Sampler, ODE end point against the closed form",
                across="steps",
                up="largest error",
            )
        )
    return 0


LEFT_OUT = ("RDDM, noise 1, ancestral", "MRS, ODE, order 1", "MRS, SDE, order 1", "IR-SDE, Euler ODE", "I2SB")
"""Rows of the table that would crowd the plot."""


def _laws_text(laws: dict[str, dict[int, Law]]) -> str:
    lines = [
        "| bias / spread at calls | " + " | ".join(map(str, CALLS)) + " |",
        "|---|" + "---|" * len(CALLS),
    ]
    for name, row in laws.items():
        cells = [f"{row[n].bias:+.3f} / {row[n].spread:.2f}" if n in row else "-" for n in CALLS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _errors_text(errors: dict[str, dict[int, float]]) -> str:
    lines = ["| error at steps | " + " | ".join(map(str, ODE_STEPS)) + " | slope |", "|---|" + "---|" * 7]
    for name, row in errors.items():
        slope = math.log2(row[ODE_STEPS[-3]] / row[ODE_STEPS[-2]])
        lines.append(f"| {name} | " + " | ".join(f"{row[n]:.2g}" for n in ODE_STEPS) + f" | {slope:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
