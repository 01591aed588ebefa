"""Do the particle samplers converge? Error of mean and covariance against an exact posterior, by ensemble size.

    python -m benchmarks.studies.particles
    python -m benchmarks.studies.particles --solver afdps --sizes 64,256,1024,4096 --repeats 40 --steps 600

A mixture of three Gaussians in four dimensions, two of which are measured with noise 0.5. An ensemble of N particles
answers N draws; over `repeats` seeds, the root mean square error of their mean (in posterior standard deviations) and
of their covariance (relative) is printed with that of N exact draws. The slope on logarithms is -1/2 for a sampler
whose bias, which steps and not particles take away, is below the error shown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import operators
from operators import NoiseSource
from operators.noise import Gaussian
from priors.analytic.gaussian_mixture import GaussianMixture
from priors.analytic.posterior import Posterior
from restore import solvers
from restore.problem import Problem

from ..cases.oracle_scores import covariance_error

SOLVERS: dict[str, dict[str, Any]] = {
    "mcg-diff": {"steps": 200, "particles": 1},
    "afdps": {"steps": 300, "particles": 1, "first": 20.0, "last": 0.02, "gamma": 1.0},
}
SIZES = (64, 256, 1024)
SIGMA = 0.5


def pose() -> tuple[Problem, GaussianMixture, Posterior]:
    """The measurement, its prior, and the exact posterior."""
    means = torch.tensor([[1.0, -1.0, 0.5, 0.0], [-1.0, 0.5, 0.0, 1.0], [0.0, 1.0, -1.0, -0.5]], dtype=torch.float64)
    prior = GaussianMixture(means.reshape(3, 1, 1, 4), torch.tensor([0.5, 0.3, 0.2]), std=0.5)
    operator = operators.build("mask", (1, 1, 4), mask=[[True, False, True, False]])
    source = NoiseSource(0, ("particles",))
    truth = prior.sample(1, source)
    y = operator(truth + SIGMA * source.normal("noise", truth))
    problem = Problem(y, operator, Gaussian(sigma=SIGMA), image_ids=("particles",))
    return problem, prior, prior.posterior(problem)


def draws(name: str, size: int, seed: int, settings: dict[str, Any]) -> Tensor:
    """`size` draws of one ensemble of as many particles (size x 1 x 1 x 4); "exact": of the posterior."""
    problem, prior, posterior = pose()
    if name == "exact":
        return posterior.sample(size, NoiseSource(seed, problem.image_ids))[:, 0]
    many = problem.repeated(size)
    source = NoiseSource(seed, many.image_ids, sample=list(range(size)))
    return list(solvers.build(name, **settings).iterate(many, prior, source))[-1].estimate


def errors(name: str, size: int, repeats: int, settings: dict[str, Any]) -> tuple[float, float]:
    """Root mean square errors of mean (posterior standard deviations) and covariance (relative) over seeds."""
    _, _, posterior = pose()
    unit = float(posterior.std[0].square().mean().sqrt())
    found = []
    for seed in range(repeats):
        sample = draws(name, size, seed, settings)
        away = float((sample.mean(0) - posterior.mean[0]).square().mean().sqrt()) / unit
        found.append((away, covariance_error(sample, posterior.covariance[0])))
    of_mean, of_covariance = np.sqrt(np.mean(np.square(found), axis=0))
    return float(of_mean), float(of_covariance)


def slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The least-squares exponent of values ~ size^slope."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, with the table on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--solver", action="append", choices=list(SOLVERS), help="default: all")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="ensemble sizes")
    parser.add_argument("--repeats", type=int, default=20, help="seeds")
    parser.add_argument("--steps", type=int, help="default: the solver's own here")
    options = parser.parse_args(arguments)
    sizes = [int(v) for v in options.sizes.split(",")]
    for name in [*(options.solver or SOLVERS), "exact"]:
        settings = dict(SOLVERS.get(name, {}))
        if options.steps is not None and settings:
            settings["steps"] = options.steps
        rows = [errors(name, size, options.repeats, settings) for size in sizes]
        for size, (of_mean, of_covariance) in zip(sizes, rows, strict=True):
            sys.stdout.write(f"{name:9s} N {size:6d}  mean {of_mean:.4f}  covariance {of_covariance:.4f}\n")
        slopes = [slope(sizes, [row[k] for row in rows]) for k in (0, 1)]
        sys.stdout.write(f"{name:9s} slope     mean {slopes[0]:+.2f}    covariance {slopes[1]:+.2f}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
