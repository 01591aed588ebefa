"""DPIR: half-quadratic splitting with a denoiser whose noise level falls on a fixed ladder. Nothing random.

Zhang, Li, Zuo, Zhang, Van Gool, Timofte 2021, "Plug-and-Play Image Restoration with Deep Denoiser Prior", IEEE TPAMI,
arXiv 2008.13751, repository cszn/DPIR. For noise levels s_1 > ... > s_K, equally spaced in log s:

    x_k = argmin_x |y - A x|^2 + rho_k |x - z_{k-1}|^2,   rho_k = lambda sigma_n^2 / s_k^2   (equation 6a)
    z_k = E[x0 | x0 + s_k n = x_k]                                                           (equation 6b)

The picture is turned or mirrored in another way before each call of the denoiser and back after it, as in the published
code ("periodical geometric self-ensemble"): what the network prefers by orientation averages out at no cost.

For a Gaussian prior a long ladder ends at the posterior mean. Differs from the paper unless preset "paper" is asked:
lambda = 1 (Bayes' rule; published 0.23), the ladder starts from `start_picture`, its last level does not depend on the
noise, and a data step ends it: the paper returns z_K, whose last level is sigma_n. Pictures without noise keep what was
measured exactly that way.

Linear operators, Gaussian noise or its stand-in, sigma 0 included. Cost: one network call and one data step per level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import NotNegative, Positive, Steps, at_most

from ..base import Solver, State, expect_prior
from ..parts.start import Start, start_picture, toward_measurement

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class DPIR(Solver):
    """Plug-and-play half-quadratic splitting. Published values: preset "paper" (deblurring, 8 levels from 49/255).

    Noise levels are shares of the width of the prior's legal range (1 where it has none).
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 8,
            "first": 49 / 255,
            "last": 0.0,
            "lambda_": 0.23,
            "turning": "cycle",
            "answer": "denoised",
        },
    }

    draws: ClassVar[bool] = False
    steps: Annotated[Steps, "levels"] = 30
    first: Annotated[Positive, "highest noise level"] = 0.15
    last: Annotated[NotNegative, "lowest noise level, at most `first`; 0: the noise of y"] = 0.005
    lambda_: Annotated[Positive, "weight of the prior; 1: Bayes' rule"] = 1.0
    sigma_floor: Annotated[Positive, "least noise assumed in y"] = 1e-3
    start: Start = "estimate"
    turning: Annotated[
        Literal["none", "cycle"], "cycle through the eight turns and mirrors of the square, for priors of photographs"
    ] = "none"
    answer: Annotated[Literal["consistent", "denoised"], "after a last data step, or z_K as published"] = "consistent"

    def __post_init__(self) -> None:
        at_most("last", self.last, "first", self.first)

    def levels(self, noise: float) -> list[float]:
        """s_1 ... s_K in shares of the range; noise: sigma_n in the same shares."""
        last = self.last if self.last > 0 else max(noise, self.sigma_floor)
        if self.steps == 1:
            return [last]
        first = max(self.first, last)
        ratio = math.log(last / first) / (self.steps - 1)
        return [first * math.exp(ratio * k) for k in range(self.steps)]

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        width = 1.0 if prior.clip is None else prior.clip[1] - prior.clip[0]
        sigma_n = max(self.sigma_floor * width, problem.sigma)
        levels = [share * width for share in self.levels(sigma_n / width)]
        weights = [self.lambda_ * sigma_n**2 / level**2 for level in levels]
        x = toward_measurement(problem, start_picture(problem, self.start), weights[0])
        # The data step of the next level; the last weight serves once more for the answer.
        for step, (level, rho) in enumerate(zip(levels, [*weights[1:], weights[-1]], strict=True)):
            k = step % 8 if self.turning == "cycle" else 0
            z = _turn_back(prior.denoise(_turn(x, k), level), k)
            z = z if prior.clip is None else z.clamp(*prior.clip)
            x = toward_measurement(problem, z, rho)
            answer = x if self.answer == "consistent" else z
            yield State(x=x, x0=z, estimate=answer, step=step, sigma=level, info={"rho": rho})


def _turn(x: Tensor, k: int) -> Tensor:
    """One of the eight symmetries of the square: k % 4 quarter turns, after mirroring for k >= 4."""
    return torch.rot90(x.flip(-1) if k >= 4 else x, k % 4, (-2, -1))


def _turn_back(x: Tensor, k: int) -> Tensor:
    turned = torch.rot90(x, -(k % 4), (-2, -1))
    return turned.flip(-1) if k >= 4 else turned
