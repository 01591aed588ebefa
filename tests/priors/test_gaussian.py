"""The Gaussian prior against dense algebra and automatic differentiation."""

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
from restore.problem import Problem

SHAPE = (2, 3, 4)
SIZE = 24


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def _spectrum() -> Tensor:
    """Eigenvalues of a real stationary covariance: the power of a real picture's transform."""
    return torch.fft.fft2(_random(*SHAPE, seed=3)).abs() ** 2 / 12 + 0.1


def _covariance() -> Tensor:
    root = _random(SIZE, SIZE, seed=1)
    return root @ root.T / SIZE


PRIORS = {
    "number": lambda: GaussianPrior(_random(*SHAPE), std=0.7),
    "pixels": lambda: GaussianPrior(_random(*SHAPE), std=_random(*SHAPE, seed=2).abs() + 0.1),
    "dense": lambda: GaussianPrior(_random(*SHAPE), covariance=_covariance()),
    "stationary": lambda: GaussianPrior(_random(*SHAPE), spectrum=_spectrum()),
}
every_prior = pytest.mark.parametrize("kind", PRIORS)


class Matrix(LinearOperator):
    """A dense matrix on the flattened picture, with some rows not observed."""

    def __init__(self, matrix: Tensor, keep: Tensor | None = None) -> None:
        super().__init__(SHAPE, (len(matrix),))
        self.matrix, self.keep = matrix, keep

    def _forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.to(x).T

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.matrix.to(y)).reshape(-1, *SHAPE)

    @property
    def observed(self) -> Tensor | None:
        return self.keep


@every_prior
def test_denoiser_is_the_wiener_filter_of_the_dense_covariance(kind):
    prior, x, sigma = PRIORS[kind](), _random(3, *SHAPE, seed=5), 0.4
    dense = prior.covariance
    wiener = dense @ torch.linalg.inv(dense + sigma**2 * torch.eye(SIZE, dtype=torch.float64))
    expected = prior.mean + ((x - prior.mean).flatten(1) @ wiener.T).reshape(x.shape)
    torch.testing.assert_close(prior.denoise(x, sigma), expected, rtol=1e-10, atol=1e-10)


@every_prior
def test_tweedie_holds_for_the_gradient_of_the_log_density(kind):
    prior, x, sigma = PRIORS[kind](), _random(3, *SHAPE, seed=6), torch.tensor([0.1, 0.5, 3.0], dtype=torch.float64)
    x.requires_grad_()
    score = torch.autograd.grad(prior.log_density(x, sigma).sum(), x)[0]
    expected = x + sigma[:, None, None, None] ** 2 * score
    torch.testing.assert_close(prior.denoise(x, sigma), expected, rtol=1e-10, atol=1e-10)


@every_prior
def test_log_density_equals_that_of_torch_distributions(kind):
    prior, x, sigma = PRIORS[kind](), _random(2, *SHAPE, seed=7), 0.3
    total = prior.covariance + sigma**2 * torch.eye(SIZE, dtype=torch.float64)
    peer = torch.distributions.MultivariateNormal(prior.mean.flatten(), covariance_matrix=total)
    torch.testing.assert_close(prior.log_density(x, sigma), peer.log_prob(x.flatten(1)), rtol=1e-9, atol=1e-9)


@every_prior
def test_samples_have_the_mean_and_covariance(kind):
    prior, count = PRIORS[kind](), 4000
    drawn = prior.sample(count, NoiseSource(0, [str(i) for i in range(count)])).flatten(1)
    dense = prior.covariance
    bound = 5 / count**0.5  # five standard errors
    assert bool(((drawn.mean(0) - prior.mean.flatten()).abs() < bound * dense.diagonal().sqrt()).all())
    scale = dense.diagonal().sqrt()[:, None] * dense.diagonal().sqrt()
    assert bool(((torch.cov(drawn.T) - dense).abs() < 2 * bound * scale).all())


@every_prior
@pytest.mark.parametrize("sigma", [0.2, 0.0])
def test_posterior_equals_conditioning_of_the_joint_distribution(kind, sigma):
    prior, matrix = PRIORS[kind](), _random(5, SIZE, seed=8)
    keep = torch.tensor([True, True, False, True, True])
    y = torch.where(keep, _random(2, 5, seed=9), 0.0)
    posterior = prior.posterior(Problem(y, Matrix(matrix, keep), GaussianNoise(sigma=sigma)))
    rows = matrix[keep]
    joint = rows @ prior.covariance @ rows.T + sigma**2 * torch.eye(4, dtype=torch.float64)
    gain = prior.covariance @ rows.T @ torch.linalg.inv(joint)
    mean = prior.mean.flatten() + (y[:, keep] - prior.mean.flatten() @ rows.T) @ gain.T
    covariance = prior.covariance - gain @ rows @ prior.covariance
    torch.testing.assert_close(posterior.mean.flatten(1), mean, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(posterior.covariance[1], covariance, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(
        posterior.std[0].flatten(), covariance.diagonal().clamp_min(0).sqrt(), rtol=1e-6, atol=1e-6
    )


def test_posterior_samples_have_its_moments():
    prior = PRIORS["dense"]()
    problem = Problem(_random(1, 5, seed=9), Matrix(_random(5, SIZE, seed=8)), GaussianNoise(sigma=0.3))
    posterior, count = prior.posterior(problem), 2000
    drawn = posterior.sample(count, NoiseSource(1, ["a"]))[:, 0].flatten(1)
    bound = 5 / count**0.5
    assert bool(((drawn.mean(0) - posterior.mean.flatten()).abs() < bound * posterior.std.flatten()).all())
    torch.testing.assert_close(drawn.std(0), posterior.std.flatten(), rtol=0.1, atol=0.0)  # 6 standard errors


@every_prior
def test_float64_pictures_stay_float64_and_float32_ones_float32(kind):
    prior = PRIORS[kind]()
    assert prior.denoise(_random(1, *SHAPE), 0.5).dtype == torch.float64
    assert prior.denoise(_random(1, *SHAPE).float(), 0.5).dtype == torch.float32


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"std": 1.0, "covariance": torch.eye(SIZE)},
        {"covariance": torch.eye(3)},
        {"covariance": -torch.eye(SIZE)},
        {"covariance": torch.ones(SIZE, SIZE).tril()},
        {"spectrum": torch.arange(24.0).reshape(SHAPE)},
        {"std": float("nan")},
    ],
)
def test_ill_posed_covariances_are_refused(settings):
    with pytest.raises(BadInput):
        GaussianPrior(_random(*SHAPE), **settings)


def test_pictures_of_another_size_are_refused():
    with pytest.raises(BadInput, match="as the mean"):
        PRIORS["number"]().denoise(_random(1, 2, 4, 4), 0.1)
