"""DiffPIR: half-quadratic splitting along a diffusion.

Zhu, Zhang, Liang, Cao, Wen, Timofte, Van Gool 2023, "Denoising Diffusion Models for Plug-and-Play Image Restoration",
arXiv 2305.08995, repository yuanzhi-zhu/DiffPIR. At every time t of a descending sequence, u being the next one:

    x0  = E[x0 | x_t], clipped                                                            (prior step)
    x0' = argmin_z |y - A z|^2 + rho_t |z - x0|^2,   rho_t = lambda sigma_n^2 alpha_t^2 / sigma_t^2   (data step)
    e   = (x_t - alpha_t x0') / sigma_t
    x_u = alpha_u x0' + sigma_u (sqrt(1 - zeta) e + sqrt(zeta) z)                         (renoising)

Units: lambda = 1 is the weight of Bayes' rule for x0 ~ N(E[x0 | x_t], (sigma_t / alpha_t)^2). The published code takes
sigma on [0, 1] and sigma_t on [-1, 1], which makes its rho_t four times smaller: published lambda = 4 x ours.
Differs from the paper unless preset "paper" is asked for: the answer is the clean picture of the last time after its
data step; the paper returns x_t of the last time, before that time's denoising. The paper starts from an interpolated
measurement, which is scaled by alpha = 0.006; ours starts from `start_picture`.

Linear operators, Gaussian noise or its stand-in, sigma 0 included. Cost: one network call and one data step per time,
`steps` of them ("uniform" adds the last time, so steps + 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np

from operators.common.randomness import Noise
from operators.common.settings import Fraction, NotNegative, Positive, Range

from ..base import Solver, State, expect_prior
from ..parts.start import Start, start_picture, toward_measurement

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

LAST_TIME = 999


@dataclass(frozen=True)
class DiffPIR(Solver):
    """DiffPIR. Published values: preset "paper" (deblurring and super-resolution; inpainting used zeta 1, 20 steps)."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 100,
            "lambda_": 0.25,
            "zeta": 0.1,
            "spacing": "quad",
            "first_time": LAST_TIME,
            "rho_floor": 0.0,
            "answer": "iterate",
        },
    }

    steps: Annotated[int, Range(1, LAST_TIME + 1), "times visited"] = 20
    lambda_: Annotated[Positive, "weight of the prior; 1: Bayes' rule (published 1 is 0.25 here)"] = 1.0
    zeta: Annotated[Fraction, "share of fresh noise in renoising; 0: deterministic"] = 0.3
    spacing: Annotated[Literal["uniform", "quad"], "quad: mostly at the clean end, uniform: spread"] = "quad"
    first_time: Annotated[int, Range(1, LAST_TIME), "where it begins; lower trusts the start more"] = LAST_TIME
    sigma_floor: Annotated[Positive, "least noise assumed in y, native units (published 0.001 on [0, 1])"] = 0.002
    rho_floor: Annotated[NotNegative, "least rho, against rounding in single precision"] = 1e-6
    start: Start = "estimate"
    answer: Annotated[Literal["clean", "iterate"], "the last x0', or the last x_t as published"] = "clean"

    @property
    def total(self) -> int:
        return len(self.times())

    def times(self) -> list[int]:
        """Times visited, descending to 0."""
        count = self.first_time + 1
        if self.spacing == "quad":
            past = [int(math.sqrt(s)) for s in np.linspace(0, count**2, self.steps)]
        else:
            past = (
                [step * (count // self.steps) for step in range(self.steps)] if self.steps <= count else [*range(count)]
            )
            past.append(self.first_time)
        return sorted({self.first_time - min(p, self.first_time) for p in past}, reverse=True)

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        times = self.times()
        sigma_n = max(self.sigma_floor, problem.sigma)
        first = start_picture(problem, self.start)
        x = prior.alpha(times[0]) * first + prior.sigma(times[0]) * noise.normal("start", like=first)
        for step, (t, u) in enumerate(zip(times, [*times[1:], None], strict=True)):
            level = prior.sigma(t) / prior.alpha(t)
            x0 = prior.x0(x, t)
            x0 = x0 if prior.clip is None else x0.clamp(*prior.clip)
            rho = max(self.rho_floor, self.lambda_ * sigma_n**2 / level**2)
            consistent = toward_measurement(problem, x0, rho)
            answer = x if u is None and self.answer == "iterate" else consistent
            yield State(x=x, x0=x0, estimate=answer, step=step, sigma=level, info={"rho": rho})
            noise.skip("unused", x)
            if u is None:
                return
            noise.skip("unused", x)
            fresh = noise.normal("step", like=x)
            # x_u of the box above, gathered by picture: three passes over it instead of nine.
            kept = prior.sigma(u) * math.sqrt(1 - self.zeta) / prior.sigma(t)
            x = (
                ((prior.alpha(u) - kept * prior.alpha(t)) * consistent)
                .add_(x, alpha=kept)
                .add_(fresh, alpha=prior.sigma(u) * math.sqrt(self.zeta))
            )
