"""Noise schedules and the algebra between parametrisations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from operators import BadInput
from priors import schedules
from priors.analytic.gaussian import GaussianPrior
from priors.schedules import VE, VP, Flow


def _random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def test_vp_table_equals_the_recorded_one(reference):
    recorded = reference("dps")["alpha_bar"]
    np.testing.assert_allclose(VP().alpha_bars, recorded, rtol=1e-14)


def test_vp_ends_at_the_clean_picture():
    assert (VP().alpha(-1), VP().sigma(-1)) == (1.0, 0.0)


@pytest.mark.parametrize("t", [-2, 1000])
def test_vp_times_outside_the_table_are_refused(t):
    with pytest.raises(BadInput, match="outside the schedule"):
        VP().alpha(t)


@pytest.mark.parametrize("t", [0, 17, 500, 999])
def test_nearest_finds_the_time_of_a_noise_ratio(t):
    assert VP().nearest(VP().sigma(t) / VP().alpha(t)) == t


def test_karras_levels_fall_from_first_to_last_then_zero():
    levels = schedules.karras_sigmas(10, sigma_min=0.01, sigma_max=50.0)
    assert (levels[0], levels[-2], levels[-1]) == (pytest.approx(50.0), pytest.approx(0.01), 0.0)
    assert bool((np.diff(levels) < 0).all())
    middle = (0.5 * (50 ** (1 / 7) + 0.01 ** (1 / 7))) ** 7
    assert schedules.karras_sigmas(3, sigma_min=0.01, sigma_max=50.0)[1] == pytest.approx(middle)


def test_one_karras_level_is_the_first_and_two_are_both_ends():
    one, two = (schedules.karras_sigmas(steps, sigma_min=0.01, sigma_max=50.0) for steps in (1, 2))
    assert one == pytest.approx([50.0, 0.0]) and two == pytest.approx([50.0, 0.01, 0.0])


@pytest.mark.parametrize(("schedule", "t"), [(VP(), 300), (VE(), 0.7), (Flow(), 0.3)])
def test_conversions_recover_what_the_marginal_was_made_of(schedule, t):
    x0, n = _random(2, 1, 3, 3), _random(2, 1, 3, 3, seed=1)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    x_t = alpha * x0 + sigma * n
    torch.testing.assert_close(schedules.eps_from_x0(x_t, x0, alpha, sigma), n)
    torch.testing.assert_close(schedules.x0_from_eps(x_t, n, alpha, sigma), x0)
    torch.testing.assert_close(schedules.score_from_x0(x_t, x0, alpha, sigma), -n / sigma)


def test_velocities_are_inverted():
    x0, n = _random(1, 1, 2, 2), _random(1, 1, 2, 2, seed=1)
    alpha, sigma = VP().alpha(400), VP().sigma(400)
    x_t = alpha * x0 + sigma * n
    v = schedules.vp_velocity_from_x0(x_t, x0, alpha, sigma)
    torch.testing.assert_close(schedules.x0_from_vp_velocity(x_t, v, alpha, sigma), x0)
    x_t = 0.6 * x0 + 0.4 * n
    velocity = schedules.flow_velocity_from_x0(x_t, x0, 0.4)
    torch.testing.assert_close(velocity, n - x0)
    torch.testing.assert_close(schedules.x0_from_flow_velocity(x_t, velocity, 0.4), x0)


@pytest.mark.parametrize(("schedule", "t"), [(VP(), 500), (VE(), 0.7), (Flow(), 0.3)])
def test_one_prior_gives_the_exact_score_on_every_schedule(schedule, t):
    """x_t of a Gaussian prior is Gaussian with variance alpha^2 s^2 + sigma^2: its score is known."""
    mean, std, x_t = _random(1, 2, 2), 0.6, _random(3, 1, 2, 2, seed=1)
    prior = GaussianPrior(mean, std=std)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    score = schedules.score_from_x0(x_t, prior.x0(x_t, t, schedule), alpha, sigma)
    variance = alpha**2 * std**2 + sigma**2
    torch.testing.assert_close(score, -(x_t - alpha * mean) / variance, rtol=1e-10, atol=1e-10)


def test_flow_time_one_has_no_signal_and_is_refused():
    with pytest.raises(BadInput):
        Flow().alpha(1.0)
    assert math.isclose(Flow().alpha(0.25), 0.75)
