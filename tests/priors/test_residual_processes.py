"""Laws of residual processes: marginals, targets and their readings, tiles, grids, and the exact Gaussian pair."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import operators
from operators import BadInput
from operators.common.randomness import NoiseSource
from priors import residual
from priors.analytic.gaussian import GaussianPrior
from priors.residual.analytic import GaussianPair
from priors.residual.grid import on_grid
from priors.residual.prior import NetworkPrior
from priors.tiling import tiled

OBJECTIVES = [
    (name, objective)
    for name, least in (("resshift", {}), ("rddm", {"clip": None}), ("resfusion", {}), ("ir-sde", {}))
    for objective in residual.build(name, **least).objectives
]


def triple(*shape: int) -> tuple[Tensor, Tensor, Tensor]:
    """A picture, a measurement and a noise, float64."""
    generator = torch.Generator().manual_seed(0)
    x0, y, eps = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
    return 0.3 * x0, 0.3 * y, eps


@pytest.mark.parametrize(("name", "objective"), OBJECTIVES)
def test_the_target_read_back_is_the_picture_and_the_noise(name, objective):
    clip = {} if name == "ir-sde" else {"clip": None}
    process = residual.build(name, objective=objective, **clip)
    x0, y, eps = triple(2, 3, 4, 4)
    for t in process.times()[:-1]:
        a, _, s = process.marginal(t)
        if a < 1e-9 and objective in ("noise", "eps"):
            continue  # the noise alone no longer tells the picture
        known = process.read(process.targets(x0, y, eps, t), process.diffuse(x0, y, eps, t), y, t)
        # Digits are lost where the picture is a small part of the state, or the noise is.
        tolerance = 1e-12 / min(max(a, 1e-3), s)
        torch.testing.assert_close(known.x0, x0, rtol=0, atol=tolerance)
        torch.testing.assert_close(known.eps, eps, rtol=0, atol=tolerance)
        torch.testing.assert_close(known.residual, y - x0, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("name", "objective"), OBJECTIVES)
def test_a_network_that_gives_its_target_has_no_loss(name, objective):
    process = residual.build(name, objective=objective)
    x0, y, eps = triple(1, 3, 4, 4)
    t = process.training_time(0.5)
    given = process.targets(x0, y, eps, t)
    # IR-SDE compares an Euler step with the exact one, which differ by the step's own error.
    floor = 1e-2 if name == "ir-sde" else 1e-24
    assert float(process.loss(given, x0, y, eps, t)) < floor
    assert float(process.loss([g + 1 for g in given], x0, y, eps, t)) > 10 * float(process.loss(given, x0, y, eps, t))


@pytest.mark.parametrize("name", ["resshift", "rddm", "i2sb"])
def test_weights_of_picture_and_measurement_add_to_one(name):
    process = residual.build(name)
    for t in process.times()[:-1]:
        a, b, _ = process.marginal(t)
        assert a + b == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", residual.REGISTRY)
def test_training_times_are_those_of_the_schedule(name):
    process = residual.build(name)
    drawn = {process.training_time(u) for u in torch.linspace(0, 1 - 1e-9, 4000, dtype=torch.float64).tolist()}
    first = 1 if name == "ir-sde" else 0
    assert drawn == set(range(first, first + process.length))


def test_a_mean_reverting_state_between_two_times_lies_on_the_process():
    process = residual.build("ir-sde", first_theta="keep")
    for t in (0.4, 17.3, 88.8):
        a, _, s = process.marginal(t)
        assert a**2 + (s / process.spread) ** 2 == pytest.approx(1.0, abs=1e-14)


def test_constants_out_of_range_and_too_many_steps_are_refused():
    for name, settings in (
        ("resshift", {"steps": 0}),
        ("resfusion", {"schedule_steps": 9}),
        ("rddm", {"objective": "velocity"}),
        ("ir-sde", {"max_sigma": 0.0}),
    ):
        with pytest.raises(BadInput):
            residual.build(name, **settings)
    for name in residual.REGISTRY:
        with pytest.raises(BadInput, match="steps is 5000"):
            residual.build(name).times(5000)


def test_the_exact_pair_agrees_with_weighing_drawn_pictures():
    """E[x0 | x_t, y] as an average of 200000 draws of x0 given y, weighted by the likelihood of x_t; about 1 %."""
    process = residual.build("resshift")
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    prior = GaussianPair(process, mean=0.1 * one, mean_y=0 * one, gain=0.7 * one[0], covariance=0.09 * one[0])
    y, x_t = torch.full((1, 1, 1, 1), 0.4, dtype=torch.float64), torch.full((1, 1, 1, 1), 0.9, dtype=torch.float64)
    draws = 0.1 + 0.7 * 0.4 + 0.3 * torch.randn(200_000, generator=torch.Generator().manual_seed(0)).double()
    for t in (0, 2):
        a, b, s = process.marginal(t)
        weights = torch.exp(-((0.9 - a * draws - b * 0.4) ** 2) / (2 * s**2))
        expected = float((weights * draws).sum() / weights.sum())
        assert float(prior.predict(x_t, y, t).x0) == pytest.approx(expected, abs=0.005)


def test_the_pair_of_a_problem_has_its_posterior():
    from operators.noise import Gaussian as GaussianNoise
    from restore.problem import Problem

    shape = (1, 6, 6)
    where = torch.cartesian_prod(torch.arange(6), torch.arange(6)).double()
    covariance = torch.exp(-(torch.cdist(where, where) ** 2) / 4) + 0.01 * torch.eye(36, dtype=torch.float64)
    pictures = GaussianPrior(torch.full(shape, 0.2, dtype=torch.float64), covariance=covariance)
    mask = operators.Mask(shape, mask=(torch.arange(36).reshape(6, 6) % 3 > 0).float())
    y = mask(pictures.sample(1, NoiseSource(0, ["a"])))
    pair = GaussianPair.measured(residual.build("rddm"), pictures, mask, sigma=0.1)
    exact = pictures.posterior(Problem(y, mask, GaussianNoise(sigma=0.1)))
    torch.testing.assert_close(pair.posterior_mean(y).flatten(), exact.mean.flatten(), rtol=0, atol=1e-8)
    torch.testing.assert_close(pair.posterior_std.flatten(), exact.std[0].flatten(), rtol=0, atol=1e-8)


class Pointwise(torch.nn.Module):
    """A network without neighbours: tiles change nothing."""

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        return 0.5 * torch.nn.functional.interpolate(x, size=x.shape[-2:]) + 0.25 * torch.nn.functional.interpolate(
            y, size=x.shape[-2:]
        )


@pytest.mark.parametrize("factor", [1, 2])
def test_tiles_with_blended_seams_give_the_whole_picture(factor):
    prior = NetworkPrior(Pointwise(), residual.build("resshift"))
    x_t, y, _ = triple(1, 3, 50, 70)
    seen = None if factor == 1 else y[..., ::2, ::2]
    whole = prior.predict(x_t, y, 2, condition=seen)
    parts = tiled(prior, tile=20, overlap=6).predict(x_t, y, 2, condition=seen)
    for a, b in ((whole.x0, parts.x0), (whole.residual, parts.residual), (whole.eps, parts.eps)):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_measurements_come_to_the_grid_as_documented():
    x = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shape = (3, 16, 20)
    small = operators.Downsample(shape, factor=4, filter="bicubic")
    flat = torch.full_like(x, 0.3)
    torch.testing.assert_close(on_grid(small, small(flat)), flat)
    blur = operators.Blur(shape)
    assert torch.equal(on_grid(blur, blur(x)), blur(x))
    sensing = operators.CompressedSensing(shape)
    y = sensing(x)
    torch.testing.assert_close(on_grid(sensing, y), sensing.direct(y))
    mosaic = operators.Mosaic(shape)
    torch.testing.assert_close(on_grid(mosaic, mosaic(x)), mosaic.direct(mosaic(x)))
    assert math.prod(on_grid(mosaic, mosaic(x)).shape) == x.numel()
