"""Solvers on non-linear problems: the L-BFGS engine, penalised likelihoods, lost phases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import operators
import restore
from operators import BadInput, NoiseSource
from operators.noise import Gaussian, Poisson, Quantised
from operators.optics.fienup import agreeing
from restore import solvers
from restore.problem import Problem
from restore.solvers.classical.gradient import smooth_variation
from restore.solvers.parts.lbfgs import minimise


def _blocks(*, channels: int = 1) -> torch.Tensor:
    """A small picture of flat patches on a dark ground (1 x channels x 24 x 20)."""
    x = torch.full((1, channels, 24, 20), 0.1, dtype=torch.float64)
    x[..., 3:11, 4:9] = 0.8
    x[..., 14:20, 6:17] = 0.5
    x[..., 6:9, 12:18] = 0.3
    return x * torch.linspace(1, 0.6, channels, dtype=torch.float64)[:, None, None]


def _final(problem: Problem, name: str, **settings: object) -> torch.Tensor:
    return restore.solve(problem, solver=solvers.build(name, **settings), seed=0).estimate


def test_quadratics_of_a_batch_are_minimised_each_for_itself():
    random = np.random.default_rng(0)
    roots = torch.from_numpy(random.standard_normal((3, 12, 12))) * torch.tensor([1.0, 10.0, 0.1])[:, None, None]
    matrix = roots @ roots.mT + 0.1 * torch.eye(12)
    goal = torch.from_numpy(random.standard_normal((3, 12)))

    def objective(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gap = (matrix @ (x - goal)[..., None])[..., 0]
        return ((x - goal) * gap).sum(1) / 2, gap

    *_, last = minimise(objective, torch.zeros(3, 12, dtype=torch.float64), iterations=200, memory=12)
    torch.testing.assert_close(last.x, goal, rtol=0, atol=1e-4)


def test_the_banana_valley_is_walked_to_its_end():
    def objective(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = x[:, 0], x[:, 1]
        value = (1 - a) ** 2 + 100 * (b - a**2) ** 2
        return value, torch.stack([-2 * (1 - a) - 400 * a * (b - a**2), 200 * (b - a**2)], dim=1)

    values = [p.value for p in minimise(objective, torch.tensor([[-1.2, 1.0]]).double(), iterations=100)]
    assert float(values[-1]) < 1e-12
    assert all(float(b) <= float(a) for a, b in itertools.pairwise(values))


def test_smoothed_variation_nears_total_variation():
    from priors.regularisers.tv import TotalVariation

    x = _blocks(channels=3)
    exact = TotalVariation("vectorial").value(x)
    assert float(smooth_variation(x, 1e-6)) == pytest.approx(float(exact), rel=1e-3)


def test_gradient_equals_tikhonov_where_both_are_least_squares():
    a = operators.build("blur", (1, 24, 20), sigma=0.8)
    y = a(_blocks())
    estimate = _final(Problem(y, a, Gaussian(sigma=0.0)), "gradient", weight=0.0, steps=400, start="zero")
    torch.testing.assert_close(a(estimate), y, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("operator", "noise"),
    [
        ("gamma-blur", Gaussian(sigma=0.02)),
        ("identity", Poisson(peak=50.0)),
        ("identity", Quantised(bits=2, sigma=0.1)),
    ],
)
def test_penalised_likelihood_is_nearer_than_the_measurement(operator, noise):
    a = operators.build(operator, (1, 24, 20))
    truth = _blocks()
    y = noise.sample(a(truth), NoiseSource(0, ["a"]))
    estimate = _final(Problem(y, a, noise), "gradient")
    assert float((estimate - truth).square().mean()) < 0.6 * float((y - truth).square().mean())


def _either_way(estimate: torch.Tensor, truth: torch.Tensor) -> float:
    """Root mean square error of the picture or of its turned copy, whichever is less."""
    return min(float((e - truth).square().mean().sqrt()) for e in (estimate, estimate.flip((-2, -1))))


@pytest.mark.parametrize("measure", ["amplitude", "intensity"])
def test_lost_phases_are_found_up_to_a_half_turn(measure):
    a = operators.build("phase-retrieval", (1, 24, 20), pad=12, measure=measure)
    truth = _blocks()
    problem = Problem(a(truth), a, Gaussian(sigma=0.0), image_ids=("blocks",))
    estimate = _final(problem, "hio", steps=800, starts=8)
    # The best flat picture is at 0.24; what is left is the slow end of the alternation.
    assert _either_way(estimate, truth) < 0.1


def test_coded_patterns_leave_nothing_open():
    a = operators.build("phase-retrieval", (1, 24, 20), kind="coded")
    truth = _blocks()
    estimate = _final(Problem(a(truth), a, Gaussian(sigma=0.0)), "hio", steps=200)
    assert float((estimate - truth).abs().max()) < 1e-3


def test_channels_are_turned_to_agree():
    x = _blocks(channels=3)
    mixed = x.clone()
    mixed[:, 1] = x[:, 1].flip((-2, -1))
    mixed[:, 2] = x[:, 2].roll((2, 1), (-2, -1))
    torch.testing.assert_close(agreeing(mixed), x, rtol=0, atol=1e-12)


def test_hio_is_refused_where_no_phase_was_lost():
    a = operators.build("blur", (1, 24, 20))
    with pytest.raises(BadInput, match="loses none"):
        restore.solve(Problem(a(_blocks()), a, Gaussian(sigma=0.1)), solver="hio")


def test_a_linear_solver_is_refused_with_those_that_fit():
    a = operators.build("jpeg", (1, 24, 20))
    with pytest.raises(BadInput, match=r"dps.*gradient") as caught:
        restore.solve(Problem(a(_blocks()), a, Gaussian(sigma=0.1)), solver="tv")
    assert "hio" not in str(caught.value)
