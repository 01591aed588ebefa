"""STSL: latent diffusion with the first- and second-order Tweedie moments, in few steps.

Rout, Chen, Kumar, Caramanis, Shakkottai, Chu 2024, "Beyond First-Order Tweedie: Solving Inverse Problems using Latent
Diffusion", arXiv 2312.00852. With score s(z) = grad log p_t(z), encoder E and decoder D, Tweedie's formulas are

    E[z0 | z_t] = z0h(z_t) = (z_t + sigma_t^2 s) / alpha_t
    Cov[z0 | z_t] = sigma_t^2 / alpha_t^2 (I + sigma_t^2 grad s)

and the paper bounds log p(y | z_t) from below by first order minus a multiple of the trace of grad s, so that what is
minimised over z_t is

    L(z) = lambda |y - A D(z0h(z))|^2 + (eta / d) n^T (s(z + n) - s(z)),   n ~ N(0, I_d)

n is of size one and no small difference: by Stein's lemma E[n^T s(z + n)] = E[trace grad s(z + n)], the trace averaged
over a Gaussian around z, and n^T s(z), whose mean is 0, only takes variance away. Under a Gaussian prior the second
term has no gradient, and STSL is of first order whatever eta.

    1. z_T by DDIM inversion of E(start), ascending the same times: z_u = alpha_u z0h + sigma_u e
    2. for each time t, descending:
    3.     inner times: z <- z - grad L(z), a fresh n each time        (stochastic averaging)
    4.     e and z0h at that z;  z_u = alpha_u z0h + sigma_u e         (DDIM, deterministic)
    5. D(z_0)

lambda is of the order of 1 / sigma_y^2 in the paper, whose values per task stand in an appendix; here `rule` says what
`lambda_` multiplies. "square": L as above. "norm": lambda = lambda_ / (2 |y - A D(z0h)|) of each picture, the
normalised step of DPS. "variance": lambda = lambda_ sigma_t^2 / (2 (sigma_y^2 + |A D|^2 r_t^2)), r_t = sigma_t /
alpha_t: Bayes' rule in one inner step where z_t leaves r_t open, the most that Tweedie's covariance allows, so that an
inner step is stable up to lambda_ = 2 and settings serve any number of steps. |A D| is the operator's norm, or of one
that is not linear the steepest slope that a few power iterations find at the start. Networks break that bound at
places; under this rule a step is no longer than twice Polyak's, |r|^2 over the squared gradient of |r|^2 / 2.

`glue` adds PSLD's gluing distance, which the paper's objective does not have.

Calls: `steps` for the inversion, `steps` for step 4, and `steps` x `inner` x 2 for the gradients (x 1 with eta 0), each
of which goes backward once: 600 for the published 50 steps and 5 inner ones, which the paper counts as 250.

With a prior of pictures E and D are the identity. Any operator; noise Gaussian or its stand-in. Nothing but n is drawn
after an inversion, so draws of one measurement are nearly alike: they are no measure of what is uncertain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import NotNegative, Range
from priors.schedules import eps_from_x0, score_from_x0

from ..base import Mean, Solver, State, expect_prior
from ..parts.ladder import TIMES, strided, with_next
from ..parts.latents import check_glue, glued, lengths, slope_squared, start_latent
from ..parts.start import Start

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

LAST_TIME = TIMES - 1


@dataclass(frozen=True)
class STSL(Solver):
    """STSL. Published values: preset "paper", whose lambda_ is the normalised step's and was not published."""

    differentiates: ClassVar[bool] = True
    needs_linear: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 50,
            "inner": 5,
            "eta": 0.02,
            "lambda_": 0.3,
            "rule": "norm",
            "glue": 0.0,
            "begin": "inversion",
            "first_time": LAST_TIME,
            "start": "pinv",
        },
    }

    steps: Annotated[int, Range(1, TIMES), "times visited"] = 6
    inner: Annotated[int, Range(0), "gradient steps at each time (K)"] = 3
    eta: Annotated[NotNegative, "weight of the second-order term; 0: first order"] = 0.02
    lambda_: Annotated[NotNegative, "weight of the measurement, see rule"] = 1.0
    rule: Annotated[Literal["variance", "norm", "square"], "what scales the measurement's weight"] = "variance"
    glue: Annotated[NotNegative, "weight of the gluing distance of PSLD; published 0"] = 0.0
    begin: Annotated[
        Literal["inversion", "forward", "noise"],
        "z_T by DDIM inversion of the start (published), by noising it, or N(0, I)",
    ] = "inversion"
    first_time: Annotated[int, Range(0, LAST_TIME), "where the diffusion begins"] = 400
    start: Start = "estimate"

    def times(self) -> list[int]:
        """Descending times, a whole stride apart, from at most `first_time` down to 0."""
        return strided(self.steps, span=self.first_time + 1)

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        if self.glue > 0:
            check_glue(problem, "glue")
        times = self.times()
        z = self.beginning(problem, prior, times, noise)  # line 1
        gain = slope_squared(problem, z) if self.rule == "variance" else torch.ones_like(z.flatten(1)[:, 0])
        for step, (t, u) in enumerate(with_next(times)):  # line 2
            for _ in range(self.inner):  # line 3
                z = z - self.gradient(problem, prior, z, t, noise, gain)
            z0, e = _moments(prior, z, t)  # line 4
            z = prior.alpha(u) * z0 + prior.sigma(u) * e
            level = prior.sigma(u) / prior.alpha(u)
            with torch.no_grad():  # a decoder of somebody else may have weights that ask for gradients
                distance = lengths(problem.residual(z0))
            yield State(x=z, x0=z0, estimate=z0, step=step, sigma=level, info={"distance": Mean(distance)})

    def beginning(self, problem: Problem, prior: DiffusionPrior, times: list[int], noise: Noise) -> Tensor:
        """z at the first of the times (B x the shape of z)."""
        t = times[0]
        if self.begin == "noise":
            shape = (len(problem.y), *problem.operator.input_shape)
            return noise.normal("start", like=torch.zeros(shape, dtype=problem.y.real.dtype, device=problem.y.device))
        z = start_latent(problem, self.start)
        if self.begin == "forward":
            return prior.alpha(t) * z + prior.sigma(t) * noise.normal("start", like=z)
        return inverted(prior, z, times)

    def gradient(
        self, problem: Problem, prior: DiffusionPrior, z: Tensor, t: int, noise: Noise, gain: Tensor | float = 1.0
    ) -> Tensor:
        """grad L at z (B x the shape of z), each picture's own. gain: |A D|^2 (B), for rule variance."""
        with torch.enable_grad():
            point = z.detach().requires_grad_()
            z0 = prior.x0(point, t)
            square = problem.residual(z0).abs().square().flatten(1).sum(1)
            weight = self.weight(prior, t, square.detach(), problem.sigma, gain)
            cost = weight * square
            if self.glue > 0:
                cost = cost + self.glue * lengths(glued(problem, z0) - z0)
            if self.eta > 0:
                n = noise.normal("probe", like=z)
                cost = cost + self.eta * mean_curvature(prior, point, z0, t, n)
            slope = torch.autograd.grad(cost.sum(), point)[0]
        return capped(slope, square.detach(), 2 * weight) if self.rule == "variance" and self.lambda_ > 0 else slope

    def weight(self, prior: DiffusionPrior, t: int, square: Tensor, sigma_y: float, gain: Tensor | float) -> Tensor:
        """lambda of each picture (B); square: |y - A D(z0h)|^2."""
        if self.rule == "square":
            return torch.full_like(square, self.lambda_)
        if self.rule == "norm":
            least = torch.finfo(square.dtype).tiny
            return torch.where(square > 0, self.lambda_ / (2 * square.clamp_min(least).sqrt()), 0.0)
        level = prior.sigma(t) / prior.alpha(t)
        variance = torch.as_tensor(gain, dtype=square.dtype) * level**2 + sigma_y**2
        return self.lambda_ * prior.sigma(t) ** 2 / (2 * variance.clamp_min(1e-12).expand_as(square))


def capped(slope: Tensor, square: Tensor, weight: Tensor) -> Tensor:
    """A step of gradient descent, no longer than twice that of Polyak for |r|^2 / 2: weight |r|^2 / |slope|^2 of it.

    slope: weight times the gradient of |r|^2 / 2. A denoiser whose derivative keeps Tweedie's bound is never capped.
    """
    size = slope.square().flatten(1).sum(1)
    share = (weight * square / size.clamp_min(torch.finfo(size.dtype).tiny)).clamp_max(1.0)
    return slope * share.reshape(-1, *[1] * (slope.ndim - 1))


def mean_curvature(prior: DiffusionPrior, z: Tensor, z0: Tensor, t: int, n: Tensor) -> Tensor:
    """n^T (s(z + n) - s(z)) / d of each picture (B), whose mean over n ~ N(0, I) is that of trace grad s(z + n) / d.

    z0: E[z0 | z_t] at z. A network call.
    """
    alpha, sigma = prior.alpha(t), prior.sigma(t)
    ahead = score_from_x0(z + n, prior.x0(z + n, t), alpha, sigma)
    return (n * (ahead - score_from_x0(z, z0, alpha, sigma))).flatten(1).mean(1)


def inverted(prior: DiffusionPrior, z: Tensor, times: list[int]) -> Tensor:
    """z at times[0], from clean z by deterministic DDIM up the same times, a network call for each.

    The noise prediction of the clean z, where it has no meaning, is that of the lowest time.
    """
    upwards = times[::-1]
    e = _moments(prior, z, upwards[0])[1]
    z = prior.alpha(upwards[0]) * z + prior.sigma(upwards[0]) * e
    for t, u in pairwise(upwards):
        z0, e = _moments(prior, z, t)
        z = prior.alpha(u) * z0 + prior.sigma(u) * e
    return z


@torch.no_grad()
def _moments(prior: DiffusionPrior, z: Tensor, t: int) -> tuple[Tensor, Tensor]:
    """z0h = E[z0 | z_t] and the noise prediction e that belongs to it."""
    z0 = prior.x0(z, t)
    return z0, eps_from_x0(z, z0, prior.alpha(t), prior.sigma(t))
