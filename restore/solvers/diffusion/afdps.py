"""AFDPS: an ensemble of weighted particles carried down a diffusion under the measurement's likelihood.

Chen, Ren, Min, Ying, Izzo 2025, "Solving Inverse Problems via Diffusion-Based Priors: An Approximation-Free Ensemble
Sampling Approach", arXiv 2506.03979. Target at noise level t: Q_t ~ p_t(x) exp(-mu_t(x)), p_t the prior's law of
x0 + t n and mu_t = |A x - y|^2 / (2 r_t^2), r_t^2 = sigma^2 + gamma^2 t^2. From t to t' = t - dt, with
d = 2 (x - D(x; t)) / t and g = grad mu_t(x):

    x' = x - dt d + sqrt(2 t dt) n, then the guidance dx = -2 t grad mu_t dt
    log w <- log w + dt [ t (|g|^2 - lap mu_t) + <d, g> - kappa_t mu_t ],   kappa_t = 2 gamma^2 t / r_t^2

Particles are drawn anew by weight where the effective size falls below `threshold`. gamma 0 is the published likelihood
at the noise of y, which is stiff: 2 t dt |A|^2 / sigma^2 must stay under 2, and the weights of all particles but one
vanish. With gamma > 0 it is tempered, and its change with t enters the weights as the last term.

The guidance step, `guidance`:
euler     x' - 2 t dt g(x), as published
exact     the linear equation solved along singular vectors: s q - U^H y shrinks by (r_{t'}^2 / r_t^2)^{s^2 / gamma^2}
implicit  x' - 2 t dt g(x''), stable too and in need of no singular vectors
With steps other than Euler's the weights are consistent as dt falls. auto: exact where the operator has singular
vectors, else implicit.

Particles start from N(0, t_0^2) times the likelihood at t_0, in closed form. The end is D(x; t_last). The released runs
have resampling off and answer the heaviest particle.

Linear operators, Gaussian noise or its stand-in. The samples of a picture share one ensemble. Cost: `steps` + 1 network
calls for each of `particles` particles of each sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Count, Fraction, NotNegative, Positive, Steps, at_most
from priors.schedules import karras_sigmas

from ..base import Solver, State, expect_prior
from ..parts.discrepancy import over_pixels
from ..parts.lbfgs import inner
from ..parts.particles import Answer, ParticleEnsemble
from ..parts.reverse import clean
from ..parts.spectrum import spectrum

if TYPE_CHECKING:
    from operators.core.base import SVD
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class AFDPS(Solver):
    """AFDPS. Released values: preset "paper"."""

    joint: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 400,
            "particles": 32,
            "first": 80.0,
            "last": 0.002,
            "gamma": 0.0,
            "guidance": "euler",
            "threshold": 0.0,
            "answer": "heaviest",
        }
    }

    steps: Annotated[Steps, "noise levels (released 400)"] = 50
    particles: Annotated[Count, "for each sample (released 32)"] = 8
    first: Annotated[Positive, "highest noise level, native units (released 80)"] = 10.0
    last: Annotated[Positive, "lowest noise level, at most `first` (released 0.002)"] = 0.01
    gamma: Annotated[NotNegative, "share of the diffusion's noise that the likelihood allows for; published 0"] = 1.0
    guidance: Annotated[Literal["auto", "exact", "implicit", "euler"], "how the pull of y is integrated"] = "auto"
    threshold: Annotated[Fraction, "effective size over size under which particles are drawn anew; 0: never"] = 0.5
    sigma_floor: Annotated[Positive, "least noise assumed in y, native units"] = 0.002
    answer: Answer = "draw"

    def __post_init__(self) -> None:
        at_most("last", self.last, "first", self.first)

    @property
    def width(self) -> int:
        return self.particles

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        if problem.linear.complex_input:
            raise BadInput("afdps works on real pictures", do="Choose diffpir or a classical solver.")
        ensemble = ParticleEnsemble(problem, self.particles)
        basis = self.basis(problem)
        levels = karras_sigmas(self.steps, sigma_min=self.last, sigma_max=self.first)[:-1].tolist()
        sigma = max(self.sigma_floor, problem.sigma)
        x = self.first_particles(ensemble, levels[0], self.assumed(sigma, levels[0]), noise)
        log_weights = x.new_zeros(len(x), dtype=torch.float64)
        for step, (t, following) in enumerate(pairwise([*levels, 0.0])):
            x0 = clean(prior, x, t)
            last = following == 0
            if not last:
                n = ensemble.normal(noise, "step", x)
                x, rate = self.moved(ensemble.problem, basis, x, x0, n, t=t, following=following, sigma=sigma)
                log_weights = log_weights + rate
            effective = ensemble.effective(log_weights)
            info = {"effective": float(effective.mean())}
            estimate = ensemble.answer(self.answer, x0, log_weights, noise if last else None)
            kept = [r.reshape(len(problem.y), self.particles, *r.shape[1:])[:, 0] for r in (x, x0)]
            yield State(x=kept[0], x0=kept[1], estimate=estimate, step=step, sigma=following, info=info)
            weak = effective < self.threshold
            if not last and bool(weak.any()):
                rows = ensemble.ancestors(log_weights, noise)
                again = ensemble.of_pictures(weak)
                x = torch.where(over_pixels(again, x), x[rows], x)
                log_weights = torch.where(again, 0.0, log_weights)

    def assumed(self, sigma: float, t: float) -> float:
        """r_t."""
        return float((sigma**2 + (self.gamma * t) ** 2) ** 0.5)

    def basis(self, problem: Problem) -> SVD | None:
        """Singular vectors for the exact guidance step, None for the others; BadInput where it has none."""
        if self.guidance == "exact" or (self.guidance == "auto" and problem.linear.svd is not None):
            return None if problem.y.is_complex() and self.guidance == "auto" else spectrum(problem, "afdps")
        return None

    def first_particles(self, ensemble: ParticleEnsemble, t: float, r: float, noise: Noise) -> Tensor:
        """Draws of N(0, t^2) times the likelihood with noise r."""
        posed = ensemble.problem
        u = t * ensemble.normal(noise, "start", torch.zeros_like(posed.linear.adjoint(posed.y)))
        residual = posed.residual(u) + r * ensemble.normal(noise, "start data", posed.y)
        return u + posed.linear.correction(residual, r**2 / t**2)

    def moved(
        self,
        posed: Problem,
        basis: SVD | None,
        x: Tensor,
        x0: Tensor,
        n: Tensor,
        *,
        t: float,
        following: float,
        sigma: float,
    ) -> tuple[Tensor, Tensor]:
        """The particles at the following level, and what their log weights gain (rows)."""
        dt, r, ahead = t - following, self.assumed(sigma, t), self.assumed(sigma, following)
        d = 2 * (x - x0) / t
        g = posed.linear.adjoint(-posed.residual(x)) / r**2
        mu = (posed.residual(x).abs().double() ** 2).flatten(1).sum(1) / (2 * r**2)
        kappa = 2 * self.gamma**2 * t / r**2
        # The Laplacian, sum s^2 / r^2, is the same for all particles and drops out.
        rate = dt * (t * inner(g, g).double() + inner(d, g).double() - kappa * mu)
        x = x - dt * d + (2 * t * dt) ** 0.5 * n
        if self.guidance == "euler":
            return x - 2 * t * dt * g, rate
        if basis is None:
            return x + posed.linear.correction(posed.residual(x), r**2 / (2 * t * dt)), rate
        s = basis.s.to(x)
        if self.gamma > 0:
            shrink = (ahead / r) ** (2 * s**2 / self.gamma**2)
        else:
            shrink = torch.exp(-(s**2) * (t**2 - following**2) / sigma**2)
        q = basis.Vt(x)
        seen = basis.Ut(posed.y)[:, : len(s)] / s.clamp_min(1e-12)
        q[:, : len(s)] = torch.where(s > 0, seen + shrink * (q[:, : len(s)] - seen), q[:, : len(s)])
        return basis.V(q), rate
