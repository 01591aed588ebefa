"""MCG-diff: particles guided by the measurement, coordinate by coordinate in the basis of singular vectors.

Cardoso, Janati El Idrissi, Le Corff, Moulines 2024, "Monte Carlo guided Denoising Diffusion models for Bayesian linear
inverse problems", ICLR, arXiv 2308.07983 (algorithm 1), repository gabrielvc/mcg_diff. With A = U S V^H the state is
q = V^H x, and y says of coordinate i that s_i q_i = (U^H y)_i up to noise sigma. tau_i is the visited time at which the
diffusion's noise is nearest that of y: sigma^2 alpha^2 = (1 - alpha^2) s_i^2. Coordinate i is active at t >= tau_i:

    target_i(t) = alpha_t (U^H y)_i / s_i,   v_i(t) = 1 - (1 - kappa) alpha_t^2 / alpha_{tau_i}^2

From t to the next time u, mu and c being mean and standard deviation of the ancestral step (DDIM with eta):

    log w = - sum_{active at u} (mu_i - target_i(u))^2 / (2 (c^2 + v_i(u)))
            + sum_{active at t} (q_i - target_i(t))^2 / (2 v_i(t))
    ancestors by weight                          (where their effective size is at most `threshold`; published: always)
    q_i <- K target_i(u) + (1 - K) mu_i + sqrt(K v_i(u)) n,  K = c^2 / (c^2 + v_i(u))         where active
    q_i <- mu_i + c n                                                                        elsewhere

At tau_i the diffusion's noise is that of y, and v_i is kappa: the state there is the measurement, and what follows it
down to the clean picture is a draw of the posterior. `ending` "none", ours, leaves it at that. "likelihood", released,
takes the second sum of tau_i away at the end and puts log N(y; A x, sigma^2) in its place; the exponential of that sum
has no finite variance as a weight: it converges too slowly to be of use.

Differs from the release further: the times tau_i are visited themselves where they are no more than `steps`, and
particles begin by the law that the first targets imply, not by N(0, I) without a weight (`begin`).

Linear operators with singular vectors (their own, or dense up to 4096 unknowns), Gaussian noise or its stand-in. The
samples of a picture share one ensemble. Cost: `steps` x `particles` network calls for each sample.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Count, Fraction, Positive, Range

from ..base import Solver, State, expect_prior
from ..parts.particles import Answer, ParticleEnsemble
from ..parts.reverse import in_range
from ..parts.spectrum import spectrum

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

LAST_TIME = 999


@dataclass(frozen=True)
class Guide:
    """What y says of the first coordinates. seen: (U^H y)_i / s_i for each row; taus: their times."""

    seen: Tensor
    taus: Tensor
    kappa: float

    def active(self, t: int) -> Tensor:
        """Which of the observed coordinates are active at t (boolean)."""
        return self.taus <= t

    def target(self, prior: DiffusionPrior, t: int) -> Tensor:
        """Where the active coordinates are expected at t (rows x active)."""
        return prior.alpha(t) * self.seen[:, self.active(t)]

    def variance(self, prior: DiffusionPrior, t: int) -> Tensor:
        """v(t) of the active coordinates."""
        of_tau = [prior.alpha(int(tau)) ** 2 for tau in self.taus[self.active(t)]]
        shares = prior.alpha(t) ** 2 / torch.tensor(of_tau, dtype=torch.float64)
        return (1 - (1 - self.kappa) * shares).to(self.seen)

    def energy(self, prior: DiffusionPrior, q: Tensor, t: int, extra: float = 0.0) -> Tensor:
        """sum over active coordinates of (q - target)^2 / (2 (v + extra)), for each row."""
        keep = torch.nn.functional.pad(self.active(t), (0, q.shape[1] - len(self.taus)))
        return ((q[:, keep] - self.target(prior, t)) ** 2 / (2 * (self.variance(prior, t) + extra))).sum(1)


@dataclass(frozen=True)
class Particles:
    """Rows of an ensemble. q: states. log_weights: since they were last drawn. held: what left the weights."""

    q: Tensor
    log_weights: Tensor
    held: Tensor


@dataclass(frozen=True)
class MCGDiff(Solver):
    """MCG-diff. Published values: preset "paper" (images: 100 times, 64 particles, kappa 1e-4)."""

    joint: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 100,
            "particles": 64,
            "kappa": 1e-4,
            "eta": 1.0,
            "begin": "free",
            "spacing": "time",
            "ending": "likelihood",
            "threshold": 1.0,
        }
    }

    steps: Annotated[int, Range(1, LAST_TIME + 1), "times visited"] = 50
    particles: Annotated[Count, "for each sample (published 64 for pictures)"] = 16
    kappa: Annotated[float, Range(above=0, below=1), "least variance of an active coordinate"] = 1e-4
    eta: Annotated[Fraction, "noise of the ancestral step; 1: that of DDPM"] = 1.0
    spacing: Annotated[Literal["alpha", "time"], "equal steps of alpha, or of time"] = "alpha"
    begin: Annotated[Literal["targets", "free"], "law of the first state; free: N(0, I) as released"] = "targets"
    ending: Annotated[Literal["none", "likelihood"], "what the last weight is; likelihood: as released"] = "none"
    first_time: Annotated[int, Range(0, LAST_TIME), "where the diffusion begins"] = LAST_TIME
    threshold: Annotated[Fraction, "effective share at which ancestors are drawn; 1: always, as published"] = 0.5
    sigma_floor: Annotated[Positive, "least noise assumed in y, native units"] = 0.002
    answer: Answer = "draw"

    @property
    def total(self) -> int:
        return 2 * self.steps

    @property
    def width(self) -> int:
        return self.particles

    def times(self, prior: DiffusionPrior, s: Tensor, sigma: float) -> list[int]:
        """Times visited, descending to 0. s: singular values; sigma: noise of y."""
        spread = set(self.spread(prior))
        every = list(range(self.first_time + 1))
        forced = set(self.taus(prior, every, s, sigma).tolist()) if self.steps > 1 else set()
        return sorted(spread | (forced if len(forced) <= self.steps else set()), reverse=True)

    def spread(self, prior: DiffusionPrior) -> list[int]:
        """`steps` times from first_time to 0."""
        if self.spacing == "time":
            return sorted({round(t) for t in np.linspace(self.first_time, 0, self.steps)}, reverse=True)
        alphas = np.array([prior.alpha(t) for t in range(self.first_time + 1)])
        wanted = np.linspace(alphas[-1], alphas[0], self.steps)
        return sorted({int(np.abs(alphas - a).argmin()) for a in wanted}, reverse=True)

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        basis = spectrum(problem, "mcg-diff")
        ensemble = ParticleEnsemble(problem, self.particles)
        sigma = max(self.sigma_floor, problem.sigma)
        s = basis.s.to(problem.y).clamp_min(1e-6)  # a coordinate of singular value 0 becomes active at the very start
        seen = ensemble.spread(basis.Ut(problem.y)[:, : len(s)] / s)
        times = self.times(prior, s, sigma)
        guide = Guide(seen, self.taus(prior, times, s, sigma), self.kappa)
        q = self.first(prior, ensemble, guide, times[0], math.prod(problem.operator.input_shape), noise)
        particles = Particles(q, q.new_zeros(len(q)), q.new_zeros(len(q)))
        for step, (t, u) in enumerate(zip(times, [*times[1:], -1], strict=True)):
            x0 = in_range(prior, prior.x0(basis.V(particles.q), t))
            mean, std = self.ancestral(prior, particles.q, basis.Vt(x0), t, u)
            weighed = self.weighed(prior, guide, particles, mean, t, u, std)
            info = {"effective": float(ensemble.effective(weighed.log_weights).mean())}
            if u >= 0:
                weighed, mean = self.selected(ensemble, weighed, mean, noise)
            q = self.move(prior, ensemble, guide, mean, u, std, noise)
            particles = dataclasses.replace(weighed, q=q)
            last = particles.log_weights
            if u < 0 and self.ending == "likelihood":
                misfit = ((guide.seen - q[:, : len(s)]) * s) ** 2
                last = last + particles.held - misfit.sum(1) / (2 * sigma**2)
            pictures = basis.V(q)
            estimate = ensemble.answer(self.answer, pictures if u < 0 else x0, last, noise if u < 0 else None)
            state, clean = (r.reshape(len(problem.y), self.particles, *r.shape[1:])[:, 0] for r in (pictures, x0))
            yield State(x=state, x0=clean, estimate=estimate, step=step, sigma=_ratio(prior, u), info=info)

    def taus(self, prior: DiffusionPrior, times: list[int], s: Tensor, sigma: float) -> Tensor:
        """The visited time of each observed coordinate at which the diffusion's noise is nearest that of y."""
        alphas = torch.tensor([prior.alpha(t) ** 2 for t in times], dtype=torch.float64)
        distance = (sigma**2 * alphas[:, None] - (1 - alphas[:, None]) * s.double().cpu() ** 2).abs()
        return torch.tensor(times)[distance.argmin(0)].to(s.device)

    def first(
        self, prior: DiffusionPrior, ensemble: ParticleEnsemble, guide: Guide, t: int, count: int, noise: Noise
    ) -> Tensor:
        """Particles at the first time (rows x count): N(0, I), times the targets' law where `begin` says so."""
        n = ensemble.normal(noise, "start", guide.seen.new_zeros(len(guide.seen), count))
        if self.begin == "free":
            return n
        keep = torch.nn.functional.pad(guide.active(t), (0, count - len(guide.taus)))
        v = guide.variance(prior, t)
        n[:, keep] = guide.target(prior, t) / (1 + v) + (v / (1 + v)).sqrt() * n[:, keep]
        return n

    def ancestral(self, prior: DiffusionPrior, q: Tensor, q0: Tensor, t: int, u: int) -> tuple[Tensor, float]:
        """Mean and standard deviation of the step from t to u; u = -1 is the clean picture."""
        alpha_t, sigma_t, alpha_u, sigma_u = prior.alpha(t), prior.sigma(t), prior.alpha(u), prior.sigma(u)
        if u < 0:
            return q0, 0.0
        std = self.eta * math.sqrt(1 - (alpha_t / alpha_u) ** 2) * sigma_u / sigma_t
        noise = (q - alpha_t * q0) / sigma_t
        return alpha_u * q0 + math.sqrt(max(sigma_u**2 - std**2, 0.0)) * noise, std

    def weighed(
        self, prior: DiffusionPrior, guide: Guide, particles: Particles, mean: Tensor, t: int, u: int, std: float
    ) -> Particles:
        """The particles with log w of the step added; what coordinates that cease to be active leave is held apart."""
        q, held = particles.q, particles.held
        gained = self.log_weights(prior, guide, q, mean, t, u, std)
        leaving = guide.active(t) & ~guide.active(u)
        if bool(leaving.any()):
            alone = Guide(guide.seen[:, leaving], guide.taus[leaving], guide.kappa)
            left = alone.energy(prior, q[:, : len(guide.taus)][:, leaving], t)
            gained, held = gained - left, held + left
        return Particles(q, particles.log_weights + gained, held)

    def selected(
        self, ensemble: ParticleEnsemble, particles: Particles, mean: Tensor, noise: Noise
    ) -> tuple[Particles, Tensor]:
        """The ancestors and their means, drawn by weight for the pictures whose effective size is low."""
        weights = particles.log_weights
        weak = ensemble.effective(weights) <= self.threshold
        if not bool(weak.any()):
            return particles, mean
        again = ensemble.of_pictures(weak)
        rows = torch.where(again, ensemble.ancestors(weights, noise), torch.arange(len(weights), device=weights.device))
        kept = torch.where(again, torch.zeros_like(weights), weights)
        return Particles(particles.q[rows], kept, particles.held[rows]), mean[rows]

    def log_weights(
        self, prior: DiffusionPrior, guide: Guide, q: Tensor, mean: Tensor, t: int, u: int, std: float
    ) -> Tensor:
        """log w of the box above, for each row."""
        return guide.energy(prior, q, t) - (guide.energy(prior, mean, u, std**2) if u >= 0 else 0.0)

    def move(
        self,
        prior: DiffusionPrior,
        ensemble: ParticleEnsemble,
        guide: Guide,
        mean: Tensor,
        u: int,
        std: float,
        noise: Noise,
    ) -> Tensor:
        """The particles at u: a draw of N(mean, std^2), times the targets' law where active."""
        if u < 0:
            return mean
        n = ensemble.normal(noise, "step", mean)
        q = mean + std * n
        keep = torch.nn.functional.pad(guide.active(u), (0, mean.shape[1] - len(guide.taus)))
        v = guide.variance(prior, u)
        gain = std**2 / (std**2 + v)
        q[:, keep] = gain * guide.target(prior, u) + (1 - gain) * mean[:, keep] + (gain * v).sqrt() * n[:, keep]
        return q


def _ratio(prior: DiffusionPrior, t: int) -> float:
    return prior.sigma(t) / prior.alpha(t)
