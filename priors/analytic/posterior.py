"""Exact posteriors of Gaussian and Gaussian-mixture priors, by dense algebra: the oracle that judges samplers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.randomness import Noise
from operators.core.base import LinearOperator

MAX_UNKNOWNS = 4096  # a dense covariance of this size is 128 MiB in float64


class LinearGaussianProblem(Protocol):
    """What an exact posterior needs of y = A x + sigma n (restore.Problem offers it)."""

    @property
    def y(self) -> Tensor: ...

    @property
    def linear(self) -> LinearOperator: ...

    @property
    def sigma(self) -> float: ...


@dataclass(frozen=True)
class Posterior:
    """p(x | y) = sum_k weights_k N(means_k, shared_covariance), for each picture of a batch.

    weights: B x K. means: B x K x C x H x W. shared_covariance: N x N, N = C H W. All float64.
    """

    weights: Tensor
    means: Tensor
    shared_covariance: Tensor

    @property
    def mean(self) -> Tensor:
        """E[x | y] (B x C x H x W)."""
        return (self.weights.reshape(*self.weights.shape, *[1] * (self.means.ndim - 2)) * self.means).sum(1)

    @property
    def covariance(self) -> Tensor:
        """Cov[x | y] (B x N x N): the shared part and the spread between components."""
        offsets = (self.means - self.mean[:, None]).flatten(2)
        between = torch.einsum("bk,bki,bkj->bij", self.weights, offsets, offsets)
        return self.shared_covariance + between

    @property
    def std(self) -> Tensor:
        """Standard deviation of each pixel (B x C x H x W)."""
        offsets = self.means - self.mean[:, None]
        between = torch.einsum("bk,bk...->b...", self.weights, offsets**2)
        own = self.shared_covariance.diagonal().reshape(self.means.shape[2:])
        return (own + between).clamp_min(0).sqrt()

    def sample(self, count: int, noise: Noise) -> Tensor:
        """count independent draws for each picture (count x B x C x H x W)."""
        root = covariance_root(self.shared_covariance)
        return torch.stack([self._draw(root, noise) for _ in range(count)])

    def _draw(self, root: Tensor, noise: Noise) -> Tensor:
        like = self.means[:, 0]
        component = choose(self.weights, noise.normal("component", like.flatten(1)[:, :1])[:, 0])
        centre = self.means[torch.arange(len(component)), component]
        return centre + (noise.normal("posterior", like).flatten(1) @ root.T).reshape(centre.shape)


def condition(means: Tensor, covariance: Tensor, log_weights: Tensor, problem: LinearGaussianProblem) -> Posterior:
    """The posterior of a mixture with means K x C x H x W, one covariance N x N and log weights (K), by Bayes' rule.

    With S = A C A^T + sigma^2 I and K = C A^T S^-1: mean_k = m_k + K (y - A m_k), covariance C - K A C, and weights
    proportional to w_k N(y; A m_k, S). Only observed entries of y count; sigma 0 conditions on A x = y exactly (S^-1 is
    then a pseudo-inverse). Complex measurements count as twice as many real ones of standard deviation sigma each.
    """
    matrix = dense_matrix(problem.linear)
    y = _rows(problem.linear, problem.y)
    cross = covariance @ matrix.T
    inverse, log_determinant = _inverse(matrix @ cross, problem.sigma)
    gain = cross @ inverse
    residual = y[:, None] - (means.flatten(1) @ matrix.T)[None]
    updated = means[None] + (residual @ gain.T).reshape(len(y), *means.shape)
    evidence = -0.5 * (torch.einsum("bki,ij,bkj->bk", residual, inverse, residual) + log_determinant)
    reduced = covariance - gain @ cross.T
    return Posterior(torch.softmax(log_weights + evidence, dim=1), updated, (reduced + reduced.T) / 2)


def dense_matrix(operator: LinearOperator) -> Tensor:
    """The operator as a matrix, observed rows only (M x N, float64); complex outputs: real parts, then imaginary."""
    unknowns = torch.Size(operator.input_shape).numel()
    if unknowns > MAX_UNKNOWNS or operator.complex_input:
        raise BadInput(
            f"a dense posterior of {unknowns} {'complex' if operator.complex_input else 'real'} unknowns",
            wanted=f"at most {MAX_UNKNOWNS} real ones",
            do="Crop the picture.",
        )
    basis = torch.eye(unknowns, dtype=torch.float64).reshape(unknowns, *operator.input_shape)
    with torch.no_grad():
        return _rows(operator, operator(basis)).T


def _rows(operator: LinearOperator, data: Tensor) -> Tensor:
    flat = data.flatten(1)
    if operator.observed is not None:
        flat = flat[:, operator.observed.expand(operator.output_shape).flatten()]
    parts = torch.cat([flat.real, flat.imag], 1) if flat.is_complex() else flat
    return parts.double()


def _inverse(signal: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """(signal + sigma^2 I)^-1, a pseudo-inverse where it is singular, and its log determinant over kept directions."""
    values, vectors = torch.linalg.eigh((signal + signal.T) / 2)
    values = values.clamp_min(0) + sigma**2
    largest = values.max() if values.numel() else torch.zeros((), dtype=values.dtype)
    kept = values > 1e-12 * largest
    inverse = torch.where(kept, 1 / torch.where(kept, values, 1.0), 0.0)
    return (vectors * inverse) @ vectors.T, values[kept].log().sum()


def covariance_root(covariance: Tensor) -> Tensor:
    """A square root of a covariance that may be singular."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp_min(0).sqrt()


def choose(weights: Tensor, normal: Tensor) -> Tensor:
    """One index per row of `weights` (B x K), by inverting the distribution at Phi(normal) (B)."""
    uniform = torch.special.ndtr(normal.double())
    below = weights.double().cumsum(1) < uniform[:, None]
    return below.sum(1).clamp_max(weights.shape[1] - 1)
