"""The Gaussian mixture against automatic differentiation, sums over components and recorded posteriors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from operators import BadInput
from operators.common.randomness import NoiseSource
from operators.core.base import LinearOperator
from operators.noise import Gaussian as GaussianNoise
from priors.analytic.gaussian import GaussianPrior
from priors.analytic.gaussian_mixture import GaussianMixture
from restore.problem import Problem

SHAPE = (1, 2, 3)


class Matrix(LinearOperator):
    """A dense matrix on the flattened picture."""

    def __init__(self, matrix: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__(shape, (len(matrix),))
        self.matrix = matrix

    def _forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.T

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.matrix).reshape(-1, *self.input_shape)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def _mixture() -> GaussianMixture:
    weights = torch.tensor([0.2, 0.5, 0.3])
    return GaussianMixture(_random(3, *SHAPE), weights, std=0.3 + _random(*SHAPE, seed=1).abs())


def test_tweedie_holds_for_the_gradient_of_the_log_density():
    prior, x = _mixture(), _random(3, *SHAPE, seed=2).requires_grad_()
    sigma = torch.tensor([0.05, 0.6, 4.0], dtype=torch.float64)
    score = torch.autograd.grad(prior.log_density(x, sigma).sum(), x)[0]
    expected = x + sigma[:, None, None, None] ** 2 * score
    torch.testing.assert_close(prior.denoise(x, sigma), expected, rtol=1e-10, atol=1e-10)


def test_log_density_equals_that_of_torch_distributions():
    prior, x, sigma = _mixture(), _random(4, *SHAPE, seed=3), 0.4
    std = (prior.variance + sigma**2).sqrt().flatten()
    parts = torch.distributions.Independent(torch.distributions.Normal(prior.means.flatten(1), std), 1)
    choice = torch.distributions.Categorical(logits=prior.log_weights)
    peer = torch.distributions.MixtureSameFamily(choice, parts)
    torch.testing.assert_close(prior.log_density(x, sigma), peer.log_prob(x.flatten(1)), rtol=1e-10, atol=1e-10)


def test_one_component_is_the_gaussian_prior():
    mean, x = _random(1, *SHAPE), _random(2, *SHAPE, seed=4)
    mixture, single = GaussianMixture(mean, torch.ones(1), std=0.5), GaussianPrior(mean[0], std=0.5)
    torch.testing.assert_close(mixture.denoise(x, 0.3), single.denoise(x, 0.3), rtol=1e-12, atol=1e-12)
    problem = Problem(_random(2, 2, seed=5), Matrix(_random(2, 6, seed=6), SHAPE), GaussianNoise(sigma=0.1))
    ours, theirs = mixture.posterior(problem), single.posterior(problem)
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.covariance, theirs.covariance, rtol=1e-12, atol=1e-12)


def test_prior_samples_visit_components_in_proportion():
    prior = GaussianMixture(torch.tensor([-5.0, 0.0, 5.0]).reshape(3, 1, 1, 1), torch.tensor([0.2, 0.5, 0.3]), std=0.1)
    count = 2000
    drawn = prior.sample(count, NoiseSource(0, [str(i) for i in range(count)])).flatten()
    shares = [float((drawn.round() == centre).double().mean()) for centre in (-5, 0, 5)]
    assert shares == pytest.approx([0.2, 0.5, 0.3], abs=5 * (0.25 / count) ** 0.5)


def test_posterior_samples_have_its_moments():
    prior = _mixture()
    problem = Problem(_random(1, 2, seed=5), Matrix(_random(2, 6, seed=6), SHAPE), GaussianNoise(sigma=0.5))
    posterior, count = prior.posterior(problem), 2000
    drawn = posterior.sample(count, NoiseSource(1, ["a"]))[:, 0].flatten(1)
    bound = 5 / count**0.5
    assert bool(((drawn.mean(0) - posterior.mean.flatten()).abs() < bound * posterior.std.flatten()).all())
    torch.testing.assert_close(drawn.std(0), posterior.std.flatten(), rtol=0.1, atol=0.0)


@pytest.mark.parametrize("size", [8, 80, 800])
def test_posterior_equals_the_recorded_ones(reference, size):
    record = reference("gmm_instances")
    cases = sorted(key[: -len("__w")] for key in record if key.startswith(f"d{size}_") and key.endswith("__w"))
    assert cases
    for case in cases if size < 800 else cases[::3]:  # 800: a third of the cases keeps this under seconds
        pairs = [(-8.0 * i, -8.0 * j) for i in range(-2, 3) for j in range(-2, 3)]
        means = torch.tensor(pairs, dtype=torch.float64).repeat(1, size // 2).reshape(25, 1, 1, size)
        prior = GaussianMixture(means, torch.as_tensor(record[f"{case}__w"]), std=1.0)
        operator = Matrix(torch.as_tensor(record[f"{case}__A"]), (1, 1, size))
        y = torch.as_tensor(record[f"{case}__y"])[None]
        posterior = prior.posterior(Problem(y, operator, GaussianNoise(sigma=float(record[f"{case}__sigma"]))))
        np.testing.assert_allclose(posterior.weights[0], record[f"{case}__pw"], rtol=0, atol=1e-8)
        np.testing.assert_allclose(posterior.mean.flatten(), record[f"{case}__post_mean"], rtol=0, atol=1e-8)
        variance = float((posterior.std**2).sum())
        assert variance == pytest.approx(float(record[f"{case}__post_cov_trace"]), rel=1e-8)


def test_float64_pictures_stay_float64_and_float32_ones_float32():
    assert _mixture().denoise(_random(1, *SHAPE), 0.5).dtype == torch.float64
    assert _mixture().denoise(_random(1, *SHAPE).float(), 0.5).dtype == torch.float32


@pytest.mark.parametrize(
    ("weights", "std"), [(torch.ones(2), 1.0), (torch.tensor([1.0, -1.0, 1.0]), 1.0), (torch.ones(3), 0.0)]
)
def test_ill_posed_mixtures_are_refused(weights, std):
    with pytest.raises(BadInput):
        GaussianMixture(_random(3, *SHAPE), weights, std=std)
