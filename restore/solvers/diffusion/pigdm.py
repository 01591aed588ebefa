"""PiGDM: pseudo-inverse guided sampling.

Song, Vahdat, Mardani, Kautz 2023, "Pseudoinverse-Guided Diffusion Models for Inverse Problems", ICLR; released with
NVlabs/RED-diff. What x_t leaves open about the picture is taken for N(x0, r_t^2 I); at descending times t, u the next:

    x0  = E[x0 | x_t],   e the noise prediction that belongs to it
    h   = A^H (A A^H + sigma^2 / r_t^2)^-1 (y - A x0)                    (eq. 7 times r_t^2; A^+ (y - A x0) for sigma 0)
    g   = (d x0 / d x_t)^H h                                              (one backward pass)
    x_u = alpha_u x0 + c1 z + c2 e + k g                                  (DDIM, eta its share of fresh noise)

rule "paper": r_t = sigma_t, k = alpha_u alpha_t w.
rule "ddim": r_t = sigma_t, k = (alpha_u - c2 alpha_t / sigma_t) alpha_t w: the same g, moving x0 and with it e.
rule "bayes" (default): Tweedie's formula moves x0 by sigma_t^2 / (alpha_t r_t^2) g, and e with it;
r_t^2 = s^2 sigma_t^2 / (alpha_t^2 s^2 + sigma_t^2), s = `prior_std`, is what x_t leaves open of pictures of variance
s^2 I, for which the whole is then exact. Noise-free data are met exactly after each move (released for masks only).

Linear operators, Gaussian noise or its stand-in. Cost: `steps` network calls, each with one backward pass, and one
`correction` of the operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Fraction, NotNegative, Positive, Range
from priors.schedules import eps_from_x0

from ..base import Solver, State, expect_prior
from ..parts.ladder import (
    TIMES,
    Beginning,
    Renoising,
    clipped,
    ddim_step,
    ddim_weights,
    first_state,
    renoised,
    strided,
    with_next,
)
from ..parts.start import met, pull

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class PiGDM(Solver):
    """PiGDM. Published values: preset "paper"."""

    differentiates: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 100,
            "eta": 1.0,
            "weight": 1.0,
            "rule": "paper",
            "first_time": TIMES,
            "start": "pinv",
            "sigma_floor": 0.0,
        },
    }

    steps: Annotated[int, Range(1, TIMES), "times visited, network calls"] = 50
    eta: Annotated[Fraction, "share of fresh noise; 1: ancestral, 0: deterministic"] = 1.0
    renoising: Renoising = "ddim"
    weight: Annotated[NotNegative, "w, strength of the guidance"] = 1.0
    rule: Annotated[Literal["bayes", "paper", "ddim"], "r_t and k, see above"] = "bayes"
    prior_std: Annotated[Positive, "standard deviation s of pictures in native units, for rule bayes"] = 0.5
    first_time: Annotated[int, Range(1, TIMES), "times lie below this one"] = 400
    start: Beginning = "estimate"
    sigma_floor: Annotated[NotNegative, "least noise assumed in y, native units"] = 0.002

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        times = strided(self.steps, span=self.first_time)
        x = first_state(problem, prior, times[0], self.start, noise)
        for step, (t, u) in enumerate(with_next(times)):
            alpha, sigma = prior.alpha(t), prior.sigma(t)
            x0, g = self.guidance(problem, prior, x, t)
            e = eps_from_x0(x, x0, alpha, sigma)
            if self.rule == "bayes":
                x0 = x0 + self.weight * sigma**2 / (alpha * self.left_open(prior, t)) * g
                x0 = met(problem, clipped(prior, x0), self.rho(problem, prior, t))
                e = eps_from_x0(x, x0, alpha, sigma)
                if self.renoising == "fresh":
                    x = renoised(prior, u, x0, e, 1.0, noise)
                else:
                    x = ddim_step(prior, t, u, x0, e, self.eta, noise)
            else:
                kept = ddim_weights(prior, t, u, self.eta)[1]
                k = prior.alpha(u) - (kept * alpha / sigma if self.rule == "ddim" else 0.0)
                x = ddim_step(prior, t, u, x0, e, self.eta, noise) + self.weight * k * alpha * g
            level = prior.sigma(u) / prior.alpha(u)
            yield State(x=x, x0=x0, estimate=x if u < 0 else x0, step=step, sigma=level)

    def left_open(self, prior: DiffusionPrior, t: int) -> float:
        """r_t^2."""
        alpha, sigma = prior.alpha(t), prior.sigma(t)
        if self.rule != "bayes":
            return sigma**2
        return (self.prior_std * sigma) ** 2 / ((alpha * self.prior_std) ** 2 + sigma**2)

    def rho(self, problem: Problem, prior: DiffusionPrior, t: int) -> float:
        """sigma^2 / r_t^2."""
        return max(problem.sigma, self.sigma_floor) ** 2 / self.left_open(prior, t)

    def guidance(self, problem: Problem, prior: DiffusionPrior, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """E[x0 | x_t] and g."""
        rho = self.rho(problem, prior, t)
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            x0 = prior.x0(point, t)
            h = pull(problem, problem.residual(x0.detach()), rho)
            g = torch.autograd.grad(x0, point, h)[0]
        return x0.detach(), g
