"""Lines of the samplers that recorded runs do not reach: where a run begins, and how its guidance is scaled."""

from __future__ import annotations

import pytest
import torch

import restore
from operators import Mask
from operators.common.randomness import NoiseSource
from priors.analytic.gaussian import GaussianPrior
from restore import solvers
from restore.problem import Problem
from restore.solvers.diffusion.diffpir import DiffPIR
from restore.solvers.diffusion.dps import DPS
from restore.solvers.parts.start import start_picture

SHAPE = (1, 6, 5)


@pytest.fixture
def prior() -> GaussianPrior:
    return GaussianPrior(mean=torch.zeros(SHAPE, dtype=torch.float64), std=0.5)


@pytest.fixture
def problem() -> Problem:
    truth = torch.linspace(-0.5, 0.5, 30, dtype=torch.float64).reshape(1, *SHAPE)
    return restore.measure(truth, Mask(SHAPE, missing=0.5, seed=1), 0.1)


def test_diffpir_begins_at_the_start_picture_renoised_to_its_first_time(prior: GaussianPrior, problem: Problem) -> None:
    method = DiffPIR(steps=4)
    t = method.times()[0]
    first = start_picture(problem, method.start)
    drawn = NoiseSource(0, problem.image_ids).normal("start", like=first)
    expected = prior.alpha(t) * first + prior.sigma(t) * drawn
    seen: list[torch.Tensor] = []

    class Watching(GaussianPrior):
        def x0(self, x: torch.Tensor, t: float) -> torch.Tensor:
            seen.append(x.clone())
            return super().x0(x, t)

    watching = Watching(mean=torch.zeros(SHAPE, dtype=torch.float64), std=0.5)
    next(iter(method.iterate(problem, watching, NoiseSource(0, problem.image_ids))))
    assert torch.allclose(seen[0], expected)


def test_the_published_run_of_dps_visits_all_thousand_times() -> None:
    times = solvers.build("dps", preset="paper").times()
    assert (times[0], times[-1], len(times)) == (999, 0, 1000)


@pytest.mark.parametrize("sigma", [0.0, 0.3])
def test_the_guidance_of_dps_is_tweedies_over_the_assumed_variance(prior: GaussianPrior, sigma: float) -> None:
    method, t = DPS(prior_std=0.5), 300
    level = prior.sigma(t) / prior.alpha(t)
    open_variance = 1 / (1 / level**2 + 1 / 0.25)
    expected = prior.sigma(t) ** 2 / prior.alpha(t) / (sigma**2 + 0.7 * open_variance)
    assert method.confidence(prior, t, sigma, 0.7) == pytest.approx(expected)
