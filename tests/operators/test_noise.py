"""Noise laws against scipy's, their moments, and their independence of the batch."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

import operators
from operators import BadInput, BadType, NoiseSource
from operators.noise import Gamma, Gaussian, NoiseModel, Poisson, PoissonGaussian

MODELS = [operators.noise.build(name) for name in operators.noise.REGISTRY]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_draws_have_the_stated_mean_and_variance(model: NoiseModel) -> None:
    clean = torch.linspace(0.1, 1.0, 5, dtype=torch.float64)[:, None].expand(5, 40_000)
    y = model.sample(clean, NoiseSource(0, list("abcde")))
    variance = model.variance(clean)[:, 0]
    # 40000 draws: the mean is known to 0.005 sigma, the variance to about 1 % (heavier tails: 2 %).
    assert torch.all((y.mean(1) - model.mean(clean)[:, 0]).abs() < 0.025 * variance.sqrt())
    assert torch.all((((y - clean) ** 2).mean(1) / variance - 1).abs() < 0.06)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_permuting_the_batch_permutes_the_noise(model: NoiseModel) -> None:
    clean = torch.rand(3, 1, 6, 5) + 0.1
    y = model.sample(clean, NoiseSource(1, ["a", "b", "c"]))
    other = model.sample(clean[[2, 0, 1]], NoiseSource(1, ["c", "a", "b"]))
    assert torch.equal(other, y[[2, 0, 1]])


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_the_gradient_of_the_likelihood_vanishes_near_the_measurement(model: NoiseModel) -> None:
    y = torch.linspace(0.2, 0.9, 8, dtype=torch.float64)[None]  # at 1 a quantiser is saturated and has no mode
    at = torch.linspace(0.02, 2.0, 4000, dtype=torch.float64)
    best = at[model.log_likelihood(y[..., None].expand(1, 8, 4000), at.expand(1, 8, 4000)).argmax(-1)]
    # The mode of the moment-matched law is a little under y; 1 / peak is its scale.
    assert torch.all((best - y).abs() < 0.04)


def test_gaussian_density_is_scipys() -> None:
    y, z = torch.rand(2, 7, dtype=torch.float64), torch.rand(2, 7, dtype=torch.float64)
    expected = scipy.stats.norm(z.numpy(), 0.3).logpdf(y.numpy())
    np.testing.assert_allclose(Gaussian(sigma=0.3).log_likelihood(y, z).numpy(), expected, rtol=1e-12)


def test_complex_gaussian_noise_has_sigma_in_each_part() -> None:
    clean = torch.zeros(1, 50_000, dtype=torch.complex128)
    y = Gaussian(sigma=0.2).sample(clean, NoiseSource(0, ["a"]))
    assert float(y.real.std()) == pytest.approx(0.2, rel=0.02)
    assert float(y.imag.std()) == pytest.approx(0.2, rel=0.02)
    expected = scipy.stats.norm(0, 0.2).logpdf(y.real.numpy()) + scipy.stats.norm(0, 0.2).logpdf(y.imag.numpy())
    np.testing.assert_allclose(Gaussian(sigma=0.2).log_likelihood(y, clean).numpy(), expected, rtol=1e-10)


def test_no_noise_is_legal_and_certain() -> None:
    clean = torch.rand(1, 5)
    model = Gaussian(sigma=0.0)
    y = model.sample(clean, NoiseSource(0, ["a"]))
    assert torch.equal(y, clean) and y is not clean
    assert torch.equal(model.log_likelihood(y, clean), torch.zeros_like(y))
    assert torch.all(model.log_likelihood(y + 1, clean) == -torch.inf)


def test_poisson_probability_is_scipys() -> None:
    z = torch.linspace(0.1, 1.0, 6, dtype=torch.float64)[None]
    counts = torch.tensor([[0.0, 3.0, 10.0, 20.0, 25.0, 40.0]], dtype=torch.float64)
    got = Poisson(peak=30.0).log_likelihood(counts / 30.0, z)
    expected = scipy.stats.poisson(30.0 * z.numpy()).logpmf(counts.numpy()) + np.log(30.0)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-10)


def test_poisson_gaussian_nears_the_exact_density_for_many_photons() -> None:
    model = PoissonGaussian(peak=2000.0, sigma=0.02)
    z, y = 0.5, np.array([0.45, 0.5, 0.53])
    counts = np.arange(700, 1300)
    exact = np.log(
        (scipy.stats.poisson(1000).pmf(counts) * scipy.stats.norm(counts / 2000, 0.02).pdf(y[:, None])).sum(1)
    )
    got = model.log_likelihood(torch.tensor(y)[None], torch.full((1, 3), z, dtype=torch.float64))
    np.testing.assert_allclose(got[0].numpy(), exact, atol=0.05)


def test_gamma_density_is_scipys() -> None:
    y, z = torch.rand(1, 9, dtype=torch.float64) + 0.1, torch.rand(1, 9, dtype=torch.float64) + 0.1
    expected = scipy.stats.gamma(a=4.0, scale=z.numpy() / 4.0).logpdf(y.numpy())
    np.testing.assert_allclose(Gamma(looks=4.0).log_likelihood(y, z).numpy(), expected, rtol=1e-10)


def test_a_dark_estimate_still_has_a_finite_likelihood_and_a_gradient_that_leads_out() -> None:
    z = torch.tensor([[-0.1, 0.0]], dtype=torch.float64, requires_grad=True)
    value = Poisson(peak=30.0).log_likelihood(torch.full((1, 2), 0.2, dtype=torch.float64), z)
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.all(z.grad > 0)


@pytest.mark.parametrize("model", [Poisson(peak=30.0), Gamma(looks=4.0)], ids=["poisson", "gamma"])
def test_a_negative_intensity_is_refused_with_its_value(model: NoiseModel) -> None:
    with pytest.raises(BadInput, match="-0.5"):
        model.sample(torch.tensor([[-0.5, 0.2]]), NoiseSource(0, ["a"]))


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf")])
def test_a_sigma_that_is_no_standard_deviation_is_refused(sigma: float) -> None:
    with pytest.raises(BadInput, match="sigma"):
        Gaussian(sigma=sigma)


def test_complex_variance_is_that_of_both_parts_and_the_equivalent_level_that_of_one() -> None:
    clean = torch.zeros(2, 3, dtype=torch.complex64)
    model = Gaussian(sigma=0.2)
    torch.testing.assert_close(model.variance(clean), torch.full((2, 3), 0.08))
    torch.testing.assert_close(model.sigma_equiv(clean), torch.full((2,), 0.2))


def test_the_equivalent_level_is_per_picture_and_counts_observed_entries_only() -> None:
    clean = torch.tensor([[0.2, 0.8, 100.0], [0.4, 0.4, 100.0]])
    seen = torch.tensor([True, True, False])
    torch.testing.assert_close(Poisson(peak=50.0).sigma_equiv(clean, observed=seen), torch.tensor([0.01, 0.008]).sqrt())
    assert torch.equal(Gaussian(sigma=0.3).sigma_equiv(clean, observed=seen), torch.tensor([0.3, 0.3]))


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_noise_does_not_depend_on_the_rest_of_the_batch_or_on_global_state(model: NoiseModel) -> None:
    clean = torch.rand(3, 1, 6, 5) + 0.1
    state = torch.get_rng_state()
    y = model.sample(clean, NoiseSource(1, ["a", "b", "c"]))
    assert torch.equal(model.sample(clean[1:2], NoiseSource(1, ["b"])), y[1:2])
    assert torch.equal(state, torch.get_rng_state())


def test_no_noise_has_a_gradient_of_zero_where_it_is_certain() -> None:
    z = torch.rand(1, 5, requires_grad=True)
    Gaussian(sigma=0.0).log_likelihood(z.detach().clone(), z).sum().backward()
    assert torch.equal(z.grad, torch.zeros(1, 5))


def test_a_dark_speckled_estimate_can_come_back() -> None:
    z = torch.tensor([[-0.1, 0.0]], dtype=torch.float64, requires_grad=True)
    value = Gamma(looks=4.0).log_likelihood(torch.full((1, 2), 0.2, dtype=torch.float64), z)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.all(z.grad > 0)


@pytest.mark.parametrize("model", MODELS[1:], ids=lambda m: type(m).__name__)
def test_rounding_below_zero_is_legal_and_nan_or_complex_intensities_are_not(model: NoiseModel) -> None:
    source = NoiseSource(0, ["a"])
    assert torch.isfinite(model.sample(torch.tensor([[-5e-7, 0.0]]), source)).all()
    with pytest.raises(BadInput, match="1 NaN"):
        model.sample(torch.tensor([[float("nan"), 0.2]]), source)
    with pytest.raises(BadType, match="complex"):
        model.sample(torch.ones(1, 2, dtype=torch.complex64), source)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("poisson", {"peak": 0.0}), ("poisson-gaussian", {"sigma": -1.0}), ("gamma", {"looks": True})],
)
def test_parameters_out_of_range_are_refused(name: str, parameters: dict) -> None:
    with pytest.raises((BadInput, BadType), match=next(iter(parameters))):
        operators.noise.build(name, **parameters)


def test_an_unknown_model_or_parameter_is_refused_with_the_closest_one() -> None:
    with pytest.raises(BadInput, match="poisson"):
        operators.noise.build("poison")
    with pytest.raises(BadType, match="sigma"):
        operators.noise.build("gaussian", sigm=0.1)
