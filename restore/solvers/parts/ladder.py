"""Steps down a diffusion that samplers share: the times visited, the first state, and the way from one to the next."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from torch import Tensor

from operators.common.randomness import Noise
from priors.schedules import eps_from_x0

from .start import start_picture

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

TIMES = 1000
CLEAN = -1  # the time of the picture itself: alpha 1, sigma 0
Spacing = Annotated[Literal["uniform", "quad"], "uniform: evenly spread times; quad: most of them at the clean end"]


Renoising = Annotated[
    Literal["ddim", "fresh"],
    "ddim: by eta, a sample; fresh: all noise is drawn anew, which evens out what is uncertain: nearer to the mean",
]
Beginning = Annotated[
    Literal["estimate", "direct", "pinv", "zero", "biharmonic", "noise"],
    "the picture that noise is added to first, see Start; noise: no picture, N(0, I) as published",
]


def strided(steps: int, *, span: int = TIMES, last: int = 0) -> list[int]:
    """Times from under `span` down to `last`, `steps` of them or as many as there are, a whole stride apart."""
    width = max(span - last, 1)
    count = min(steps, width)
    return [last + step * (width // count) for step in reversed(range(count))]


def ladder(steps: int, *, span: int = TIMES, spacing: str = "uniform") -> list[int]:
    """Descending times under `span`, ending at 0: `strided`, or their squares ("quad"), without repetition."""
    if spacing == "uniform":
        return strided(steps, span=span)
    return sorted({int(t) for t in np.linspace(0, math.sqrt(span - 1), steps) ** 2}, reverse=True)


def with_next(times: list[int]) -> list[tuple[int, int]]:
    """Each time with the one that follows it; CLEAN follows the last."""
    return list(zip(times, [*times[1:], CLEAN], strict=True))


def first_state(problem: Problem, prior: DiffusionPrior, t: int, start: str, noise: Noise) -> Tensor:
    """alpha_t start + sigma_t z, or z alone for "noise" (B x input_shape)."""
    if start == "noise":
        return noise.normal("start", like=start_picture(problem, "zero"))
    picture = start_picture(problem, start)  # type: ignore[arg-type]
    return prior.alpha(t) * picture + prior.sigma(t) * noise.normal("start", like=picture)


def clipped(prior: DiffusionPrior, x0: Tensor) -> Tensor:
    """x0 inside the legal range of the prior, where it has one."""
    return x0 if prior.clip is None else x0.clamp(*prior.clip)


def prediction(prior: DiffusionPrior, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
    """E[x0 | x_t], clipped, and the noise prediction e that belongs to E[x0 | x_t] before the clip."""
    x0 = prior.x0(x, t)
    return clipped(prior, x0), eps_from_x0(x, x0, prior.alpha(t), prior.sigma(t))


def ddim_weights(prior: DiffusionPrior, t: int, u: int, eta: float) -> tuple[float, float]:
    """Standard deviation c1 of fresh noise and weight c2 of e in x_u = alpha_u x0 + c1 z + c2 e.

    Song, Meng, Ermon 2021, arXiv 2010.02502, eq. 12 and 16. eta 0: deterministic, 1: ancestral sampling.
    """
    if u == CLEAN:
        return 0.0, 0.0
    ratio = (prior.alpha(t) / prior.alpha(u)) ** 2
    fresh = eta * math.sqrt(max(1 - ratio, 0.0)) * prior.sigma(u) / prior.sigma(t)
    return fresh, math.sqrt(max(prior.sigma(u) ** 2 - fresh**2, 0.0))


def ddim_step(prior: DiffusionPrior, t: int, u: int, x0: Tensor, e: Tensor, eta: float, noise: Noise) -> Tensor:
    """x_u from x0 and e; the last step takes a draw and does not use it."""
    fresh, kept = ddim_weights(prior, t, u, eta)
    return _mixed(prior, u, x0, e, fresh, kept, noise)


def renoised(prior: DiffusionPrior, u: int, x0: Tensor, e: Tensor, eta: float, noise: Noise) -> Tensor:
    """x_u = alpha_u x0 + sigma_u (eta z + sqrt(1 - eta^2) e): eta is the share of the whole level that is fresh."""
    level = prior.sigma(u)
    return _mixed(prior, u, x0, e, level * eta, level * math.sqrt(1 - eta**2), noise)


def _mixed(prior: DiffusionPrior, u: int, x0: Tensor, e: Tensor, fresh: float, kept: float, noise: Noise) -> Tensor:
    ahead = prior.alpha(u) * x0
    if kept > 0:
        ahead = ahead.add_(e, alpha=kept)
    if fresh > 0:
        return ahead.add_(noise.normal("step", like=x0), alpha=fresh)
    noise.skip("step", x0)
    return ahead
