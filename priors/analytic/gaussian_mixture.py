"""A mixture of Gaussians over whole pictures: a multi-modal prior with closed forms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Positive

from ..base import DiffusionPrior, Sigma, check_sigma
from .posterior import LinearGaussianProblem, Posterior, choose, condition


class GaussianMixture(DiffusionPrior):
    """x0 ~ sum_k w_k N(mu_k, diag(std^2)), in image units.

    means: K x C x H x W. weights: K positive numbers, normalised here. std: a number, or C x H x W, shared by the
    components. native_clip: legal range, or None.

    With v = std^2 + sigma^2 and r_k = softmax_k(log w_k - sum (x - mu_k)^2 / (2 v)):
    E[x0 | x] = (std^2 / v) x + (sigma^2 / v) sum_k r_k mu_k. Computed with the precision of x.
    """

    means: Tensor
    log_weights: Tensor
    variance: Tensor

    def __init__(
        self,
        means: Tensor,
        weights: Tensor,
        *,
        std: Positive | Tensor,
        native_clip: tuple[float, float] | None = None,
    ) -> None:
        if means.ndim != 4:
            raise BadInput(f"means have shape {tuple(means.shape)}", wanted="K x C x H x W")
        super().__init__(native_clip=native_clip, channels=(means.shape[1],))
        weights = torch.as_tensor(weights, dtype=torch.float64)
        if weights.shape != means.shape[:1] or not bool((weights > 0).all()):
            raise BadInput(f"weights of shape {tuple(weights.shape)}", wanted=f"{means.shape[0]} positive numbers")
        variance = torch.as_tensor(std, dtype=torch.float64).square()
        if not bool((variance > 0).all() & torch.isfinite(variance).all()):
            raise BadInput("std is zero or not finite", wanted="positive numbers")
        self.register_buffer("means", means.double().clone())
        self.register_buffer("log_weights", (weights / weights.sum()).log())
        self.register_buffer("variance", variance.broadcast_to(means.shape[1:]).clone())

    takes_maps = True

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        noise, total = self._variances(z, sigma)
        shares = torch.softmax(self._log_joint(z, total), dim=1)
        centre = torch.einsum("bk,k...->b...", shares, self.means.to(z))
        return (self.variance.to(z) * z + noise * centre) / total

    def log_density(self, x: Tensor, sigma: Sigma) -> Tensor:
        """log p(x) of x = x0 + sigma n (B), normalised."""
        _, total = self._variances(x, check_sigma(sigma, x))
        normaliser = torch.log(2 * math.pi * total).flatten(1).sum(1)
        return torch.logsumexp(self._log_joint(x, total), dim=1) - 0.5 * normaliser

    def sample(self, count: int, noise: Noise) -> Tensor:
        """count draws (count x C x H x W, float64); a NoiseSource must be made for `count` images."""
        like = self.means[:1].expand(count, *self.means.shape[1:])
        weights = self.log_weights.exp().expand(count, -1)
        component = choose(weights, noise.normal("component", like.flatten(1)[:, :1])[:, 0])
        return self.means[component] + self.variance.sqrt() * noise.normal("prior", like)

    def posterior(self, problem: LinearGaussianProblem) -> Posterior:
        """p(x0 | y) for a linear operator and Gaussian noise, in image units: K components of one covariance."""
        return condition(self.means, torch.diag(self.variance.flatten()), self.log_weights, problem)

    def _variances(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """sigma^2 (B x 1 x 1 x 1, or a map) and sigma^2 + std^2 (B x C x H x W)."""
        if x.shape[1:] != self.means.shape[1:]:
            raise BadInput(
                f"pictures of shape {tuple(x.shape[1:])}", wanted=f"{tuple(self.means.shape[1:])}, as the means"
            )
        levels = sigma if sigma.ndim > 1 else sigma[:, None, None, None]
        noise = levels.to(x).square()
        return noise, noise + self.variance.to(x)

    def _log_joint(self, x: Tensor, total: Tensor) -> Tensor:
        """log w_k - sum (x - mu_k)^2 / (2 v), without the normaliser that components share (B x K)."""
        square = (x[:, None] - self.means.to(x)).square() / (2 * total[:, None])
        return self.log_weights.to(x) - square.flatten(2).sum(2)
