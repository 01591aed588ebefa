"""Rician, Laplace, quantised and salt-and-pepper laws against scipy's densities and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from operators import BadInput, BadType
from operators.noise import Laplace, Quantised, Rician, SaltAndPepper


def _pairs() -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.random((1, 60))), torch.from_numpy(random.random((1, 60)))


def test_rician_density_is_scipys() -> None:
    y, z = _pairs()
    expected = scipy.stats.rice(z.numpy() / 0.2, scale=0.2).logpdf(y.numpy())
    np.testing.assert_allclose(Rician(sigma=0.2).log_likelihood(y, z).numpy(), expected, rtol=1e-10, atol=1e-10)


def test_rician_moments_are_scipys() -> None:
    z = torch.linspace(0.0, 1.0, 7, dtype=torch.float64)[None]
    law = scipy.stats.rice(z.numpy() / 0.1, scale=0.1)
    np.testing.assert_allclose(Rician(sigma=0.1).mean(z).numpy(), law.mean(), rtol=1e-10)
    np.testing.assert_allclose(
        Rician(sigma=0.1).variance(z).numpy(), law.var() + (law.mean() - z.numpy()) ** 2, rtol=1e-8
    )


def test_rician_likelihood_stays_finite_far_from_the_measurement() -> None:
    y, z = torch.tensor([[0.0, 1.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0]], requires_grad=True)
    value = Rician(sigma=1e-3).log_likelihood(y, z)
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(z.grad).all()


def test_laplace_density_is_scipys() -> None:
    y, z = _pairs()
    expected = scipy.stats.laplace(z.numpy(), 0.3 / 2**0.5).logpdf(y.numpy())
    np.testing.assert_allclose(Laplace(sigma=0.3).log_likelihood(y, z).numpy(), expected, rtol=1e-12)


def test_probabilities_of_all_levels_sum_to_one() -> None:
    model = Quantised(bits=3, sigma=0.07)
    levels = torch.arange(8, dtype=torch.float64) / 7
    for z in (-0.1, 0.3, 0.999):
        total = model.log_likelihood(levels[None], torch.full((1, 8), z, dtype=torch.float64)).exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-12)


def test_a_saturated_level_pulls_an_estimate_from_one_side_only() -> None:
    z = torch.tensor([[0.8, 1.0, 1.5]], dtype=torch.float64, requires_grad=True)
    Quantised(bits=8, sigma=0.01).log_likelihood(torch.ones(1, 3, dtype=torch.float64), z).sum().backward()
    assert z.grad[0, 0] > 1 and abs(float(z.grad[0, 2])) < 1e-12


def test_cells_in_the_far_tail_keep_their_slope() -> None:
    """log p is near -t^2 / 2 there, t the distance to the nearer end of the cell, so its slope is t / sigma."""
    z = torch.tensor([[0.9, 0.1]], requires_grad=True)
    y = torch.tensor([[51 / 255, 204 / 255]])
    Quantised(bits=8, sigma=0.005).log_likelihood(y, z).sum().backward()
    t = (0.7 - 0.5 / 255) / 0.005
    np.testing.assert_allclose(z.grad.numpy() * 0.005, [[-t, t]], rtol=2e-3)


def test_a_replaced_pixel_does_not_pull() -> None:
    z = torch.tensor([[0.5, 0.5]], dtype=torch.float64, requires_grad=True)
    SaltAndPepper(share=0.1, sigma=0.02).log_likelihood(torch.tensor([[1.0, 0.52]]).double(), z).sum().backward()
    assert abs(float(z.grad[0, 0])) < 1e-12 < float(z.grad[0, 1])


def test_salt_and_pepper_density_is_the_mixture() -> None:
    y, z = _pairs()
    expected = 0.7 * scipy.stats.norm(z, 0.1).pdf(y) + 0.15 * (
        scipy.stats.norm(0, 0.1).pdf(y) + scipy.stats.norm(1, 0.1).pdf(y)
    )
    got = SaltAndPepper(share=0.3, sigma=0.1).log_likelihood(y, z)
    np.testing.assert_allclose(got.numpy(), np.log(expected), rtol=1e-10)


@pytest.mark.parametrize(
    ("model", "settings"),
    [(Rician, {"sigma": 0.0}), (Laplace, {"sigma": -1.0}), (Quantised, {"bits": 0}), (Quantised, {"bits": 40}),
     (Quantised, {"bits": 2.5}), (SaltAndPepper, {"share": 1.5})],
)  # fmt: skip
def test_impossible_parameters_are_refused_by_name(model: type, settings: dict) -> None:
    with pytest.raises((BadInput, BadType), match=f"{next(iter(settings))} is {next(iter(settings.values()))}"):
        model(**settings)
