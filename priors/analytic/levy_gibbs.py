"""Exact posteriors of Levy processes under y = A x + sigma n: Gibbs samplers; a closed form for Gaussian increments.

Laplace and Student increments are Gaussians of random variance: variances given increments, then x given variances.
Bernoulli-Laplace increments carry a switch besides, drawn one after another with the increments integrated out, by one
heat-bath draw each (a proposal for 0 -> 1 followed by one for 1 -> 0 with the old numbers, as in a public
implementation, is not exact). Means and covariances are averages of conditional ones (Rao-Blackwell), which are far
quieter than those of draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from operators.common.errors import BadInput

from .levy_laws import IncrementLaw

SMALLEST = 1e-10  # of |u|, where a variance is drawn


@dataclass(frozen=True)
class LevyPosterior:
    """What is known of p(x | y) for each of B signals of d numbers, float64.

    mean: B x d. covariance: B x d x d. draws: L x B x d. jump: P(u_k is not 0), B x d. mean_se, variance_se: standard
    errors of mean and of the diagonal of the covariance, by comparison of chains; 0 in closed form.
    """

    mean: Tensor
    covariance: Tensor
    draws: Tensor
    jump: Tensor
    mean_se: Tensor
    variance_se: Tensor


@dataclass(frozen=True)
class Lengths:
    """chains: for each signal. burn: sweeps thrown away. thin: sweeps between draws. moments: between means."""

    chains: int = 10
    burn: int = 300
    thin: int = 30
    moments: int = 3


def levy_posterior(
    law: IncrementLaw,
    matrix: Tensor,
    y: Tensor,
    sigma: float,
    *,
    draws: int,
    seed: int = 0,
    lengths: Lengths | None = None,
) -> LevyPosterior:
    """The posterior of B signals. matrix: A, m x d. y: B x m. draws: L, a multiple of the chains."""
    lengths = Lengths() if lengths is None else lengths
    if matrix.ndim != 2 or y.ndim != 2 or y.shape[1] != len(matrix):
        raise BadInput(f"A {tuple(matrix.shape)} and y {tuple(y.shape)}", wanted="m x d and B x m")
    matrix, y = matrix.double(), y.double()
    rng = np.random.default_rng(seed)
    if law.kind == "gauss":
        return _closed_form(law, matrix, y, sigma, draws, rng)
    if draws % lengths.chains:
        raise BadInput(f"{draws} draws of {lengths.chains} chains", wanted="a multiple of the chains")
    chain = (_Switched if law.jump < 1 else _Mixed)(law, matrix, y.repeat(lengths.chains, 1), sigma, rng)
    return _run(chain, len(y), draws, lengths)


def _run(chain: _Mixed | _Switched, signals: int, draws: int, lengths: Lengths) -> LevyPosterior:
    kept, length = [], chain.x.shape[1]
    first, jump = (torch.zeros(lengths.chains, signals, length, dtype=torch.float64) for _ in range(2))
    second = torch.zeros(lengths.chains, signals, length, length, dtype=torch.float64)
    rounds = draws // lengths.chains
    count = 0
    for sweep in range(lengths.burn + rounds * lengths.thin):
        chain.sweep()
        past = sweep - lengths.burn + 1
        if past > 0 and past % lengths.moments == 0:
            mean, covariance = chain.conditional()
            first += mean.reshape(first.shape)
            second += (covariance + mean[:, :, None] * mean[:, None]).reshape(second.shape)
            jump += chain.jumps().reshape(jump.shape)
            count += 1
        if past > 0 and past % lengths.thin == 0:
            kept.append(chain.x.reshape(lengths.chains, signals, length).clone())
    first, second, jump = first / count, second / count, jump / count
    variance = second.diagonal(dim1=-2, dim2=-1) - first.square()
    mean, root = first.mean(0), lengths.chains**0.5
    covariance = second.mean(0) - mean[:, :, None] * mean[:, None]
    spread = [t.std(0) / root if lengths.chains > 1 else torch.zeros_like(mean) for t in (first, variance)]
    return LevyPosterior(mean, covariance, torch.cat(kept), jump.mean(0), spread[0], spread[1])


def _closed_form(
    law: IncrementLaw, matrix: Tensor, y: Tensor, sigma: float, draws: int, rng: np.random.Generator
) -> LevyPosterior:
    length = matrix.shape[1]
    precision = matrix.T @ matrix / sigma**2 + _walk_precision(torch.full((1, length), law.scale**-2).double())[0]
    factor = torch.linalg.cholesky(precision)
    mean = torch.cholesky_solve(matrix.T @ y.T / sigma**2, factor).T
    noise = torch.from_numpy(rng.standard_normal((draws * len(y), length)))
    spread = torch.linalg.solve_triangular(factor.T, noise.T, upper=True).T.reshape(draws, len(y), length)
    covariance = torch.cholesky_inverse(factor).expand(len(y), length, length)
    still = torch.zeros_like(mean)
    return LevyPosterior(mean, covariance, mean + spread, torch.ones_like(mean), still, still)


class _Mixed:
    """Increments u_k ~ N(0, v_k) with random v: Laplace (v exponential), Student (1 / v Gamma)."""

    def __init__(self, law: IncrementLaw, matrix: Tensor, y: Tensor, sigma: float, rng: np.random.Generator) -> None:
        self.law, self.rng = law, rng
        self.gram, self.right = matrix.T @ matrix / sigma**2, y @ matrix / sigma**2
        self.x = y @ matrix  # A^T y; chains part from there by their randomness

    def sweep(self) -> None:
        u = torch.diff(self.x, dim=1, prepend=torch.zeros_like(self.x[:, :1]))
        self.factor, self.centre = self._given(_inverse_variances(self.law, u, self.rng))
        noise = torch.from_numpy(self.rng.standard_normal(self.x.shape))
        spread = torch.linalg.solve_triangular(self.factor.mT, noise[..., None], upper=True)[..., 0]
        self.x = self.centre + spread

    def _given(self, inverse: Tensor) -> tuple[Tensor, Tensor]:
        factor = torch.linalg.cholesky(self.gram + _walk_precision(inverse))
        return factor, torch.cholesky_solve(self.right[..., None], factor)[..., 0]

    def conditional(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance of x given the variances."""
        return self.centre, torch.cholesky_inverse(self.factor)

    def jumps(self) -> Tensor:
        return torch.ones_like(self.x)


class _Switched:
    """Increments u_k = switch_k sqrt(w_k) n, w exponential: Bernoulli-Laplace. H = A D^-1, columns h_k.

    B = sigma^2 I + sum of w_k h_k h_k^T over switches that are on; its inverse follows each switch by a rank-one step.
    """

    def __init__(self, law: IncrementLaw, matrix: Tensor, y: Tensor, sigma: float, rng: np.random.Generator) -> None:
        self.law, self.rng, self.sigma, self.y = law, rng, sigma, y
        self.columns = matrix.flip(1).cumsum(1).flip(1)  # h_k = sum of the columns of A from k on
        shape = (len(y), matrix.shape[1])
        self.on = torch.from_numpy(rng.random(shape)) < law.jump
        self.w = torch.from_numpy(rng.exponential(2 * law.scale**2, shape))
        self.x = self.u = torch.zeros(shape, dtype=torch.float64)
        self._rebuild()
        self._draw()

    def sweep(self) -> None:
        fresh = torch.from_numpy(self.rng.exponential(2 * self.law.scale**2, self.u.shape))
        self.w = torch.where(self.on, 1 / _inverse_variances(self.law, self.u, self.rng), fresh)
        self._rebuild()
        odds = np.log(self.law.jump / (1 - self.law.jump))
        for k in range(self.u.shape[1]):
            self._switch(k, float(odds))
        self._draw()

    def _rebuild(self) -> None:
        self.spread = self.w * self.on
        b = torch.einsum("ik,nk,jk->nij", self.columns, self.spread, self.columns)
        b.diagonal(dim1=-2, dim2=-1).add_(self.sigma**2)
        self.inverse = torch.cholesky_inverse(torch.linalg.cholesky(b))

    def _switch(self, k: int, odds: float) -> None:
        """One heat-bath draw of switch k given all others, y and w, with u integrated out."""
        h, w, was = self.columns[:, k], self.w[:, k], self.on[:, k]
        c = self.inverse @ h
        tau, beta = c @ h, (c * self.y).sum(1)
        without = torch.where(was, 1 - w * tau, 1.0)  # what k itself contributes is taken out
        tau, beta, c = tau / without, beta / without, c / without[:, None]
        gain = 1 + w * tau
        logit = odds - 0.5 * torch.log(gain) + 0.5 * w * beta.square() / gain
        now = torch.from_numpy(self.rng.random(len(w))) < torch.sigmoid(logit)
        step = torch.where(now, -w / gain, w / gain)
        changed = (now != was).nonzero()[:, 0]
        if len(changed):
            # Added: B^-1 - w / (1 + w tau) c c^T; removed: the same taken back.
            few = c[changed]
            self.inverse[changed] += step[changed, None, None] * few[:, :, None] * few[:, None]
            self.on[changed, k] = now[changed]

    def _draw(self) -> None:
        """u given switches, w and y: a draw of its prior, moved by what it says of y (no factorisation)."""
        self._rebuild()
        first = self.spread.sqrt() * torch.from_numpy(self.rng.standard_normal(self.u.shape))
        seen = first @ self.columns.T + self.sigma * torch.from_numpy(self.rng.standard_normal(self.y.shape))
        self.u = first + self._carried(self.y - seen)
        self.x = self.u.cumsum(1)

    def _carried(self, residual: Tensor) -> Tensor:
        return self.spread * ((self.inverse @ residual[..., None])[..., 0] @ self.columns)

    def conditional(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance of x given switches and w."""
        mean = self._carried(self.y).cumsum(1)
        crossed = self.columns * self.spread[:, None]  # H V
        covariance = torch.diag_embed(self.spread) - crossed.mT @ self.inverse @ crossed
        return mean, covariance.cumsum(1).cumsum(2)

    def jumps(self) -> Tensor:
        return self.on.double()


def _walk_precision(inverse: Tensor) -> Tensor:
    """D^T diag(inverse) D for each row (N x d x d), D the differences with x_0 = 0."""
    matrix = torch.diag_embed(inverse)
    matrix[:, :-1, :-1] += torch.diag_embed(inverse[:, 1:])
    return matrix - torch.diag_embed(inverse[:, 1:], 1) - torch.diag_embed(inverse[:, 1:], -1)


def _inverse_variances(law: IncrementLaw, u: Tensor, rng: np.random.Generator) -> Tensor:
    """1 / v given the increments: Gamma for Student's t, inverse Gaussian for Laplace."""
    if law.kind == "student":
        drawn = rng.standard_gamma((law.nu + 1) / 2, tuple(u.shape))
        return torch.from_numpy(drawn) / ((law.nu + u.square()) / 2)
    size = u.abs().clamp_min(SMALLEST)
    return inverse_gaussian(1 / (law.scale * size), law.scale**-2, rng)


def inverse_gaussian(mean: Tensor, shape: float, rng: np.random.Generator) -> Tensor:
    """Draws of the inverse Gaussian law; the smaller root in a form that does not cancel for large means."""
    half = mean * torch.from_numpy(rng.standard_normal(tuple(mean.shape))).square() / (2 * shape)
    root = mean / (1 + half + (half * (half + 2)).sqrt())
    return torch.where(torch.from_numpy(rng.random(tuple(mean.shape))) <= mean / (mean + root), root, mean**2 / root)
