"""What is promised, by closed forms and by repetition: coverage, unbiased risks, exact surrogates, exact splits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from operators import Blur, Downsample, Mask, Mri
from operators.common.errors import BadInput
from operators.core.base import LinearOperator
from restore.calibration import conformal, origin, spread, tweedie, unbiased


@pytest.mark.parametrize(("count", "alpha"), [(57, 0.1), (20, 0.1), (30, 0.05)])
def test_a_bound_holds_as_often_as_it_says(count: int, alpha: float) -> None:
    """k / (n + 1) exactly, over calibration sets and new pictures."""
    draws = np.random.default_rng(0).exponential(size=(4000, count + 1))
    held = np.mean([d[-1] <= conformal.upper_bound(d[:-1], alpha) for d in draws])
    assert held == pytest.approx(conformal.order(count, alpha) / (count + 1), abs=0.015)


def test_risk_control_keeps_its_two_promises() -> None:
    """CRC in the mean, RCPS with probability; the second is the more cautious."""
    rng, factors = np.random.default_rng(1), np.geomspace(0.05, 10, 120)
    means, sure = [], []
    for _ in range(150):
        scale = rng.gamma(4.0, 0.25, size=(200, 1))
        errors = np.abs(rng.standard_normal((200, 40))) * scale
        losses = (errors[:, None] > factors[:, None]).mean(2)
        chosen = [conformal.controlled_in_the_mean(losses[:100], factors, 0.2),
                  conformal.controlled_surely(losses[:100], factors, 0.2, delta=0.1)]  # fmt: skip
        risks = [losses[100:, np.searchsorted(factors, factor)].mean() for factor in chosen]
        means.append(risks[0])
        sure.append(risks[1])
    assert np.mean(means) == pytest.approx(0.19, abs=0.02)
    assert np.mean(np.array(sure) > 0.2) <= 0.1 and np.mean(sure) < np.mean(means)


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert conformal.wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert conformal.wilson(90, 100) == pytest.approx((0.8256, 0.9448), abs=1e-3)
    with pytest.raises(BadInput):
        conformal.wilson(3, 2)


def test_pure_is_unbiased_for_counts() -> None:
    rng = np.random.default_rng(2)
    clean, gain = torch.from_numpy(rng.uniform(2.0, 6.0, size=(1, 400))), 0.5
    mean = torch.full((400, 400), 1 / 400, dtype=torch.float64)
    shrink = 0.7 * torch.eye(400, dtype=torch.float64) + 0.3 * mean  # a linear smoother
    found, true = [], []
    for k in range(300):
        y = torch.from_numpy(gain * rng.poisson(clean.numpy() / gain))
        signs = torch.where(torch.rand(1, 1, 400, generator=torch.Generator().manual_seed(k)) < 0.5, -1.0, 1.0)
        found.append(float(unbiased.pure(lambda v: v @ shrink, y, gain, signs.double())))
        true.append(float(((clean - y @ shrink) ** 2).mean()))
    apart = np.array(found) - np.array(true)
    assert abs(apart.mean()) < 3 * apart.std() / math.sqrt(len(apart))


@pytest.mark.parametrize("level", [0.3, 2.0])
def test_the_gaussian_surrogate_is_exact_for_gaussians_at_every_level(level: float) -> None:
    rng = np.random.default_rng(3)
    root = torch.from_numpy(rng.standard_normal((6, 6)))
    prior = root @ root.T
    forward, sigma = torch.from_numpy(rng.standard_normal((3, 6))), 0.4
    jacobian = prior @ torch.linalg.inv(prior + level**2 * torch.eye(6))
    found = tweedie.surrogate_covariance(jacobian, level, forward, sigma)
    exact = torch.linalg.inv(torch.linalg.inv(prior) + forward.T @ forward / sigma**2)
    assert torch.allclose(found, exact, atol=1e-8)


def test_the_variance_of_denoising_is_exact_for_a_stationary_gaussian() -> None:
    """J is a circular convolution whose kernel is shorter than the stride: combs err by nothing."""
    kernel = torch.tensor([[0.05, 0.1, 0.05], [0.1, 0.3, 0.1], [0.05, 0.1, 0.05]], dtype=torch.float64)

    def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="circular")
        return torch.nn.functional.conv2d(padded, kernel.expand(2, 1, 3, 3), groups=2)

    x = torch.rand(2, 2, 12, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    variance = tweedie.denoised_variance(denoise, x, 0.5, stride=6)
    assert torch.allclose(variance.values, torch.full_like(x, 0.25 * 0.3), atol=1e-9) and variance.negative == 0
    crooked = tweedie.differential(lambda v: v.roll(1, -1), x, 0.5)
    assert tweedie.asymmetry(crooked, x) > 1  # of a shift: sqrt(2)


def test_combs_cover_every_pixel_once() -> None:
    like = torch.zeros(1, 2, 7, 5)
    assert torch.equal(sum(probe.abs() for probe in tweedie.combs(like, 3)), torch.ones_like(like))


def test_of_a_masked_picture_the_seen_pixels_were_measured_and_the_hidden_ones_filled_in() -> None:
    operator = Mask((1, 12, 10), missing=0.4, seed=3)
    share = origin.measured_share(operator, rho=0.25)
    assert torch.allclose(share, torch.where(operator.observed, 1 / 1.25, 0.0).double().expand_as(share))
    samples = torch.randn(5, 1, 1, 12, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    prior_word = origin.filled_in_share(operator, samples, rho=1e-6)
    assert torch.allclose(
        prior_word, torch.where(operator.observed, 0.0, 1.0).double().expand_as(prior_word), atol=1e-5
    )


@pytest.mark.parametrize(
    "operator",
    [Blur((1, 12, 16), size=5), Downsample((1, 12, 16), factor=4), Mri((1, 12, 16), acceleration=4)],
    ids=lambda operator: type(operator).__name__,
)
def test_the_parts_add_up_to_the_picture(operator: LinearOperator) -> None:
    like = torch.complex128 if operator.complex_input else torch.float64
    x = torch.randn(2, *operator.input_shape, generator=torch.Generator().manual_seed(2), dtype=like)
    parts = origin.split(operator, x, rho=0.01)
    assert torch.allclose(parts.measured + parts.filled_in, x)
    assert torch.allclose(sum(parts.energies()), x.abs().square().flatten(1).sum(1))
    assert float(parts.energies()[2].min()) >= -1e-9
    again = operator.solve(operator.gram(x), 0.01)
    assert torch.allclose(parts.measured, again)


def test_the_spread_factor_finds_the_spread_that_is_missing() -> None:
    rng = np.random.default_rng(4)
    pairs = []
    for _ in range(50):
        mean = rng.standard_normal(300)
        truth, draws = mean + rng.standard_normal(300), mean + 0.5 * rng.standard_normal((6, 300))
        pairs.append(spread.moments(draws, truth))
    errors, variances = np.array(pairs).T
    found = spread.spread_factor(errors, variances, 6)
    assert abs(found.factor - 2) < 3 * found.error and found.error < 0.05
    assert spread.spread_skill(errors, variances, 6) == pytest.approx((1 + 0.25 / 6) / (0.25 * (1 + 1 / 6)), rel=0.05)
