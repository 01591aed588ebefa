"""Levy-process priors: the lattice and the Gibbs samplers against recorded posteriors, brute force and one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

from operators import BadInput, NoiseSource
from priors.analytic.levy import LevyPrior, increments
from priors.analytic.levy_gibbs import Lengths, inverse_gaussian, levy_posterior
from priors.analytic.levy_lattice import marginals
from priors.analytic.levy_laws import LAWS, IncrementLaw

Reference = Callable[[str], Mapping[str, np.ndarray]]
RECORDED = {"laplace": "laplace", "bl": "bernoulli-laplace", "student": "student-3"}


@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.name)
def test_quantiles_density_and_characteristic_function_are_of_one_law(law: IncrementLaw) -> None:
    q = torch.linspace(1 - law.jump + 0.01 * law.jump, 1 - 0.01 * law.jump, 4001, dtype=torch.float64)
    u = law.quantile(q)
    middle = (u[1:] + u[:-1]) / 2
    assert torch.allclose(law.jump * law.density(middle) * torch.diff(u), torch.diff(q), rtol=1e-3)
    grid = torch.linspace(-4000, 4000, 800001, dtype=torch.float64)
    for omega in (0.3, 1.0, 2.5):
        found = float((law.density(grid) * torch.cos(omega * grid)).sum() * 0.01)
        assert found == pytest.approx(float(law.characteristic(np.array([omega]))[0]), abs=2e-4)
    assert float(law.characteristic(np.array([0.0]))[0]) == 1


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("signal", [0, 1])
def test_the_lattice_gives_the_recorded_posteriors(reference: Reference, name: str, signal: int) -> None:
    arrays = reference("calibration")
    at = f"levy__{name}__identity__s{signal}__"
    sigma = float(arrays[f"levy__{name}__identity__sigma2"]) ** 0.5
    found = LevyPrior(RECORDED[name]).moments(torch.from_numpy(arrays[at + "y"]).reshape(1, 1, 1, 64), sigma)
    assert np.abs(found.mean[0].numpy() - arrays[at + "exact_mean"]).max() < 1e-6
    assert np.abs(found.variance[0].numpy() - arrays[at + "exact_var"]).max() < 1e-6
    if name == "bl":
        assert np.abs(found.jump[0].numpy() - arrays[at + "exact_pjump"]).max() < 1e-6


@pytest.mark.parametrize("operator", ["identity", "sample", "convolution", "fourier"])
@pytest.mark.parametrize("name", RECORDED)
def test_gibbs_gives_the_recorded_posteriors(reference: Reference, name: str, operator: str) -> None:
    from benchmarks.cases.levy import levy_matrix

    arrays = reference("calibration")
    at = f"levy__{name}__{operator}__s0__"
    sigma = float(arrays[f"levy__{name}__{operator}__sigma2"]) ** 0.5
    y = torch.from_numpy(arrays[at + "y"])[None]
    short = Lengths(chains=20, burn=60, thin=12, moments=2) if name == "bl" else Lengths(20, 80, 30, 3)
    found = levy_posterior(LAWS[RECORDED[name]], levy_matrix(operator), y, sigma, draws=60, lengths=short)
    apart = found.mean[0].numpy() - arrays[at + "gibbs_mean"]
    error = np.hypot(found.mean_se[0].numpy(), arrays[at + "gibbs_mean_se"])
    assert np.sqrt(np.mean((apart / error) ** 2)) < 1.7 and np.abs(apart / error).max() < 5
    std = np.sqrt(arrays[at + "gibbs_var"])
    # Short runs of switches miss rare supports, which carry much of a variance.
    off = np.abs(found.covariance[0].diagonal().sqrt().numpy() / std - 1).mean()
    assert off < (0.2 if name == "bl" else 0.02)
    drawn = found.draws[:, 0].numpy()
    assert np.abs(drawn.mean(0) - arrays[at + "gibbs_mean"]).max() < 4.5 * std.max() / np.sqrt(60)
    if name == "bl":
        assert np.abs(found.jump[0].numpy() - arrays[at + "gibbs_pjump"]).max() < 0.1


def test_switches_agree_with_an_enumeration_of_all_supports() -> None:
    """Three increments: P(jump) by a sum over the eight supports, each integrated over its jumps on a grid."""
    law = IncrementLaw("toy", "laplace", jump=0.3)
    matrix = torch.tensor([[1.0, 0.4, -0.2], [0.3, -0.5, 0.8]], dtype=torch.float64)
    y, sigma = torch.tensor([[0.5, 0.9]], dtype=torch.float64), 0.3
    grid = torch.linspace(-7, 7, 113, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    total, jumps = 0.0, torch.zeros(3, dtype=torch.float64)
    for support in range(8):
        on = [bool(support >> k & 1) for k in range(3)]
        u = torch.cartesian_prod(*[grid if one else zero for one in on])
        weight = torch.ones(len(u), dtype=torch.float64)
        for k, one in enumerate(on):
            weight = weight * (0.3 * law.density(u[:, k]) * (grid[1] - grid[0]) if one else 0.7)
        misfit = (y - u.cumsum(1) @ matrix.T).square().sum(1) / (2 * sigma**2)
        mass = float((weight * torch.exp(-misfit)).sum())
        total += mass
        jumps += mass * torch.tensor(on, dtype=torch.float64)
    found = levy_posterior(law, matrix, y, sigma, draws=400, lengths=Lengths(chains=400, burn=30, thin=120, moments=1))
    assert torch.allclose(found.jump[0], jumps / total, atol=0.006)


def test_gaussian_increments_have_the_closed_form(reference: Reference) -> None:
    arrays = reference("calibration")
    at = "levy__gauss__identity__s0__"
    sigma = float(arrays["levy__gauss__identity__sigma2"]) ** 0.5
    y = torch.from_numpy(arrays[at + "y"])[None]
    exact = levy_posterior(LAWS["gauss"], torch.eye(64), y, sigma, draws=10)
    assert np.abs(exact.mean[0].numpy() - arrays[at + "mean"]).max() < 1e-10
    assert np.abs(exact.covariance[0].diagonal().numpy() - arrays[at + "var"]).max() < 1e-10
    assert torch.allclose(LevyPrior("gauss").denoise(y[:, None, None], sigma)[:, 0, 0], exact.mean, atol=1e-10)
    assert torch.allclose(marginals(LAWS["gauss"], y, sigma).mean, exact.mean, atol=1e-9)


@pytest.mark.parametrize("law", ["laplace", "bernoulli-laplace", "student-1"])
def test_slope_of_the_mean_is_symmetric_and_its_diagonal_the_variance(law: str) -> None:
    prior, sigma = LevyPrior(law, length=12), 0.4
    x = prior.sample(1, NoiseSource(0, ["one"])) + sigma * NoiseSource(0, ["one"]).normal("n", torch.zeros(1, 1, 1, 12))
    jacobian = torch.autograd.functional.jacobian(lambda z: prior.denoise(z, sigma), x).reshape(12, 12)
    assert torch.allclose(jacobian, jacobian.T, atol=1e-6)
    assert torch.allclose(sigma**2 * jacobian.diagonal(), prior.moments(x, sigma).variance[0], atol=1e-6)


@pytest.mark.parametrize("law", list(LAWS))
def test_the_denoiser_holds_at_every_level_unit_and_batch(law: str) -> None:
    """A finer lattice changes nothing, units and batches do not matter, and the answer is nearer than the input."""
    prior = LevyPrior(law)
    ids = [f"s{k}" for k in range(16)]
    x0 = prior.sample(16, NoiseSource(0, ids))
    for sigma in (0.05, 1.0, 20.0, 157.0):
        x = x0 + sigma * NoiseSource(1, ids).normal("n", x0)
        mean = prior.denoise(x, sigma)
        assert torch.allclose(mean[3:4], prior.denoise(x[3:4], sigma), atol=1e-9 * sigma)
        scaled = LevyPrior(law, scale=4.0)
        assert torch.allclose(scaled.native.denoise(x / 4, sigma / 4) * 4, mean, atol=1e-9 * sigma)
        assert torch.allclose(LevyPrior(law).denoise(x, torch.full((16,), sigma)), mean)
        if law != "gauss":
            from priors.analytic.levy_lattice import spacing

            finer = marginals(prior.law, x[:, 0, 0], sigma, h=spacing(prior.law, sigma) / 1.7).mean
            assert float((finer - mean[:, 0, 0]).abs().max()) < (5e-3 if law == "student-1" else 1e-3) * sigma
        assert float((mean - x0).square().mean()) < 1.1 * sigma**2


def test_an_input_that_no_signal_explains_has_a_finite_answer() -> None:
    for law in LAWS:
        wild = torch.zeros(2, 1, 1, 64)
        wild[0, 0, 0, ::2], wild[1] = 1e4, -1e6
        for sigma in (0.01, 1.0, 100.0):
            found = LevyPrior(law).denoise(wild, sigma)
            assert found.dtype == wild.dtype and bool(torch.isfinite(found).all())


def test_inverse_gaussian_has_its_mean_and_variance_for_large_means_too() -> None:
    drawn = inverse_gaussian(torch.full((200000,), 2.0, dtype=torch.float64), 1.5, np.random.default_rng(0))
    assert float(drawn.mean()) == pytest.approx(2, rel=0.02)
    assert float(drawn.var()) == pytest.approx(8 / 1.5, rel=0.1)
    assert float(1 / inverse_gaussian(torch.full((50000,), 1e12).double(), 1.0, np.random.default_rng(0)).min()) > 0


def test_wrong_arguments_name_the_remedy() -> None:
    with pytest.raises(BadInput, match="student-3"):
        LevyPrior("student-4")
    with pytest.raises(BadInput, match="64"):
        LevyPrior("laplace").denoise(torch.zeros(1, 1, 8, 8), 1.0)
    with pytest.raises(BadInput, match="no density"):
        LevyPrior("bernoulli-laplace").log_density(torch.zeros(1, 1, 1, 64))
    with pytest.raises(BadInput, match="multiple"):
        levy_posterior(LAWS["laplace"], torch.eye(64), torch.zeros(1, 64), 1.0, draws=7)
    assert torch.equal(increments(torch.tensor([1.0, 3.0])), torch.tensor([1.0, 2.0]))
