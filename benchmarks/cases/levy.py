"""Cells of the sampler board: Levy processes under four operators, and the mixture of 25 Gaussians.

A cell poses problems one after another, each with a truth from the prior, and knows its exact posterior: mean,
covariance and draws. Levy cells: Zach, Haouchat, Unser 2026, arXiv 2509.12821, 25 dB. Mixture cells: Cardoso
et al. 2024, arXiv 2308.07983, in 8, 80 or 800 dimensions with 1, 2 or 4 measurements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import operators
from operators import NoiseSource
from operators.common.registry import unknown_name
from operators.noise import Gaussian as GaussianNoise
from priors.analytic.gaussian_mixture import GaussianMixture
from priors.analytic.levy import LENGTH, LevyPrior
from priors.analytic.levy_gibbs import Lengths, levy_posterior
from priors.analytic.levy_laws import LAWS
from priors.base import DiffusionPrior
from restore.problem import Problem

OPERATORS = ("identity", "convolution", "sample", "fourier")
SAMPLED: tuple[int, ...] = (0, 3, 6, 8, 9, 12, 13, 17, 18, 19, 21, 25, 27, 29, 31, 32, 33, 35, 38, 39, 42, 43, 44, 47)
SAMPLED += (48, 50, 53, 55, 57, 58, 60, 62, 63)
LEVEL_SIGNALS = 1000  # whose median power sets the noise
SNR_DB = 25.0
SIZES = ((8, 1), (8, 2), (8, 4), (80, 1), (80, 2), (80, 4), (800, 1), (800, 2), (800, 4))


@dataclass(frozen=True)
class Exact:
    """What is known of the posteriors of B signals, float64: mean B x d, covariance B x d x d, draws L x B x d."""

    mean: Tensor
    covariance: Tensor
    draws: Tensor


@dataclass(frozen=True)
class LevyCell:
    """A law of increments and an operator; signal k is a draw of its own."""

    law: str
    operator: str
    scale: float = 1.0
    together: int = 8  # signals of one problem

    @property
    def name(self) -> str:
        return f"{self.law}/{self.operator}"

    @property
    def continuous(self) -> bool:
        """Whether the posterior has a density, so that highest-density regions mean something."""
        return LAWS[self.law].jump == 1

    def prior(self, signals: Sequence[int]) -> DiffusionPrior:
        """The prior of these signals, for solvers."""
        return LevyPrior(self.law, scale=self.scale)

    def problem(self, signals: Sequence[int]) -> Problem:
        """y of these signals, with the truth."""
        ids = tuple(f"levy {self.law} test {k}" for k in signals)
        truth = LevyPrior(self.law).sample(len(ids), NoiseSource(0, ids))
        physics = levy_operator(self.operator)
        clean = physics(truth)
        noise = NoiseSource(0, [f"{one} {self.operator}" for one in ids]).normal("noise", clean)
        sigma = levy_sigma(self.law, self.operator)
        return Problem(clean + sigma * noise, physics, GaussianNoise(sigma=sigma), truth=truth, image_ids=ids)

    def ignorant(self, problem: Problem, signals: Sequence[int], draws: int) -> Tensor:
        """Draws of the prior, which know nothing of y (L x B x d)."""
        ids = [f"{one} {self.operator} prior draw {k}" for k in range(draws) for one in problem.image_ids]
        return LevyPrior(self.law).sample(len(ids), NoiseSource(0, ids)).reshape(draws, len(signals), -1)

    def exact(self, problem: Problem, signals: Sequence[int], draws: int) -> Exact:
        """By Gibbs sampling: ten chains for each signal."""
        lengths = Lengths(thin=15) if LAWS[self.law].jump < 1 else Lengths()
        matrix, count = levy_matrix(self.operator), -(-draws // lengths.chains) * lengths.chains
        law = LAWS[self.law]
        found = levy_posterior(
            law, matrix, problem.y.flatten(1), problem.sigma, draws=count, seed=signals[0], lengths=lengths
        )
        # Chains stand beside one another: every other draw goes to the end, so that halves are of all chains.
        order = torch.cat([torch.arange(0, count, 2), torch.arange(1, count, 2)])
        return Exact(found.mean, found.covariance, found.draws[order])

    def log_posterior(self, problem: Problem, signals: Sequence[int], x: Tensor) -> Tensor:
        """log p(x | y) of S x B x d signals, up to a constant of each y (S x B)."""
        prior = LevyPrior(self.law).log_density(x.reshape(-1, 1, 1, LENGTH)).reshape(x.shape[:2])
        return prior + _log_likelihood(problem, x)


@dataclass(frozen=True)
class MixtureCell:
    """25 Gaussians in `dimensions` dimensions seen by `measurements` numbers; every problem has an operator of its own.

    instances: an .npz with w, A, sigma, y and x of recorded problems, d{8}_m{1}_s{0}__w and so on; None draws them.
    """

    dimensions: int
    measurements: int
    instances: Path | None = None
    together: int = 1

    @property
    def name(self) -> str:
        return f"mixture/d{self.dimensions}-m{self.measurements}"

    continuous = True

    def prior_of(self, weights: np.ndarray) -> GaussianMixture:
        pair = torch.tensor([[-8.0 * i, -8.0 * j] for i in range(-2, 3) for j in range(-2, 3)], dtype=torch.float64)
        means = pair.repeat(1, self.dimensions // 2)[:, None, None]
        prior = GaussianMixture(means, torch.from_numpy(weights), std=1.0)
        prior.name = "mixture-25"
        return prior

    def arrays(self, signal: int) -> dict[str, np.ndarray]:
        """Weights, operator, noise, measurement and truth of a problem."""
        if self.instances is not None:
            at = f"d{self.dimensions}_m{self.measurements}_s{signal}__"
            kept = _archive(self.instances)
            if at + "w" not in kept:
                raise operators.BadInput(f"{self.instances.name} has no instance {signal} of {self.name}")
            return {key: kept[at + key] for key in ("w", "A", "sigma", "y", "x")}
        rng = np.random.default_rng([self.dimensions, self.measurements, signal])
        weights = rng.chisquare(1, 25)
        left, _, right = np.linalg.svd(rng.standard_normal((self.measurements, self.dimensions)), full_matrices=False)
        values = np.sort(rng.random(self.measurements))[::-1]
        matrix, sigma = left * values @ right, rng.random() * values[0]
        component = rng.choice(25, p=weights / weights.sum())
        mean = self.prior_of(weights).means[component].flatten().numpy()
        truth = mean + rng.standard_normal(self.dimensions)
        y = matrix @ truth + sigma * rng.standard_normal(self.measurements)
        return {"w": weights, "A": matrix, "sigma": np.asarray(sigma), "y": y, "x": truth}

    def prior(self, signals: Sequence[int]) -> GaussianMixture:
        """The prior of one problem."""
        return self.prior_of(self.arrays(signals[0])["w"])

    def problem(self, signals: Sequence[int]) -> Problem:
        (signal,) = signals
        found = self.arrays(signal)
        physics = operators.from_matrix(found["A"], input_shape=(1, 1, self.dimensions))
        truth = torch.from_numpy(np.asarray(found["x"], dtype=np.float64)).reshape(1, 1, 1, -1)
        y = torch.from_numpy(np.asarray(found["y"], dtype=np.float64))[None]
        noise = GaussianNoise(sigma=float(found["sigma"]))
        return Problem(y, physics, noise, truth=truth, image_ids=(f"{self.name} {signal}",))

    def exact(self, problem: Problem, signals: Sequence[int], draws: int) -> Exact:
        posterior = self.prior(signals).posterior(problem)
        ids = [f"exact {problem.image_ids[0]} {k}" for k in range(draws)]
        many = type(posterior)(
            posterior.weights.expand(draws, -1),
            posterior.means.expand(draws, *posterior.means.shape[1:]),
            posterior.shared_covariance,
        )
        drawn = many.sample(1, NoiseSource(2**40, ids))[0].reshape(draws, 1, -1)
        return Exact(posterior.mean.flatten(1), posterior.covariance, drawn)

    def ignorant(self, problem: Problem, signals: Sequence[int], draws: int) -> Tensor:
        """Draws of the prior, which know nothing of y (L x 1 x d)."""
        ids = [f"{problem.image_ids[0]} prior draw {k}" for k in range(draws)]
        return self.prior(signals).sample(draws, NoiseSource(0, ids)).reshape(draws, 1, -1)

    def log_posterior(self, problem: Problem, signals: Sequence[int], x: Tensor) -> Tensor:
        """log p(x | y) of S x 1 x d signals, up to a constant (S x 1)."""
        prior = self.prior(signals).log_density(x.reshape(-1, *problem.operator.input_shape), 0.0)
        return prior.reshape(x.shape[:2]) + _log_likelihood(problem, x)


Cell = LevyCell | MixtureCell


def _log_likelihood(problem: Problem, x: Tensor) -> Tensor:
    shape = problem.operator.input_shape
    seen = problem.operator(x.reshape(-1, *shape)).reshape(*x.shape[:2], -1)
    return -0.5 * ((problem.y.flatten(1) - seen) / problem.sigma).square().sum(-1)


@lru_cache(maxsize=2)
def _archive(path: Path) -> dict[str, np.ndarray]:
    with np.load(operators.common.outside.checked(path, limit=2**28), allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def levy_matrix(name: str) -> Tensor:
    """A of an operator of the Levy benchmark (m x 64, float64)."""
    unit = torch.eye(LENGTH, dtype=torch.float64)
    if name == "identity":
        return unit
    if name == "sample":
        return unit[list(SAMPLED)]
    if name == "convolution":
        taps = torch.exp(-(torch.arange(-6, 7, dtype=torch.float64) ** 2) / 8)
        return sum(w * unit.roll(k - 6, 1) for k, w in enumerate(taps / taps.sum()))  # type: ignore[return-value]
    if name == "fourier":
        kept = torch.tensor([f for f in range(LENGTH // 2 + 1) if f < 5 or f in SAMPLED], dtype=torch.float64)
        angle = 2 * math.pi / LENGTH * kept[:, None] * torch.arange(LENGTH, dtype=torch.float64)
        ends = (kept == 0) | (kept == LENGTH // 2)
        height = (2 - ends.double()).sqrt()[:, None] / math.sqrt(LENGTH)
        return torch.cat([height * torch.cos(angle), -(height * torch.sin(angle))[~ends]])
    raise unknown_name("operator of the Levy board", name, dict.fromkeys(OPERATORS))


@lru_cache(maxsize=8)
def levy_operator(name: str) -> operators.LinearOperator:
    """The same as an operator on pictures of 1 x 1 x 64."""
    shape = (1, 1, LENGTH)
    if name == "identity":
        return operators.build("identity", shape)  # type: ignore[return-value]
    return operators.from_matrix(levy_matrix(name), input_shape=shape)


@lru_cache(maxsize=64)
def levy_sigma(law: str, operator: str) -> float:
    """The noise of a cell: 25 dB below the median over signals of the mean square of A x."""
    ids = [f"levy {law} level {k}" for k in range(LEVEL_SIGNALS)]
    signals = LevyPrior(law).sample(len(ids), NoiseSource(0, ids)).flatten(1)
    power = (signals @ levy_matrix(operator).T).square().mean(1).median()
    return float((power / 10 ** (SNR_DB / 10)).sqrt())
