"""Noise2Score: Tweedie's closed form with a score that was learned from noisy pictures; the noise level may be unknown.

K. Kim, J. C. Ye 2021, arXiv 2106.07009, sections 3.2 and 3.3; noise-adaptive levels: arXiv 2112.03696, section 3.3.

    s = grad log p(y)                                        (prior)
    x(level) = y + sigma^2 s | (y + zeta/2) exp(zeta s) | k y / (k - 1 - y s)         (Gaussian | Poisson | gamma)
    level* = argmin over candidates of criterion(x(level), y)                          (unknown level)

A = identity; pictures, stacks and volumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from torch import Tensor

import operators.noise
from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Positive
from priors.selfsupervised.families import FAMILIES
from priors.selfsupervised.levels import perturbed, search
from priors.selfsupervised.noise2score import NoisyScore

from ..base import Mean, Solver, State
from .blindspot import expect_learned

if TYPE_CHECKING:
    from ...problem import Problem

LAWS = {operators.noise.Poisson: "poisson", operators.noise.Gamma: "gamma"}


@dataclass(frozen=True)
class Noise2Score(Solver):
    """Tweedie's rule with a learned score."""

    prior_kind = NoisyScore
    needs_identity: ClassVar[bool] = True
    needs_gaussian: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    presets: ClassVar = {"paper": {"levels": "search"}}

    family: Annotated[
        Literal["gaussian", "poisson", "gamma"] | None, "law of the noise; none: that of the problem, else gaussian"
    ] = None
    level: Annotated[
        Positive | None, "sigma (gaussian), zeta of y = zeta Poisson(x / zeta), or k (gamma); none: as `levels` says"
    ] = None
    levels: Annotated[
        Literal["search", "perturbation", "known"],
        "how the level is found: total variation, a perturbation of y (biased upwards), or that of the problem",
    ] = "search"

    def iterate(self, problem: Problem, prior: NoisyScore | None, noise: Noise) -> Iterator[State]:
        """One state: the estimate. `info["level"]` is the level, the mean over the batch."""
        prior = expect_learned(prior, self)
        y, family = problem.y, self._family(problem)
        score = prior.predict(y)
        level = self._level(problem, prior, score, family, noise)
        x = FAMILIES[family](level=level.reshape(-1, *[1] * (y.ndim - 1))).denoise(y, score)
        yield State(x=x, x0=x, estimate=x, step=0, info={"level": Mean(level)})

    def _family(self, problem: Problem) -> str:
        return self.family or LAWS.get(type(problem.noise), "gaussian")

    def _level(self, problem: Problem, prior: NoisyScore, score: Tensor, family: str, noise: Noise) -> Tensor:
        """The level of each picture (B)."""
        y = problem.y
        if self.level is not None:
            return y.new_full((len(y),), self.level)
        if self.levels == "search":
            return search(y, score, FAMILIES[family])[0]
        if self.levels == "perturbation":
            double = y.double()
            return perturbed(double, noise.normal("perturbation", double), prior.predict, family).to(y)
        return y.new_full((len(y),), _known(problem, family))


def _known(problem: Problem, family: str) -> float:
    """The level of the problem's own noise law; BadInput where it is of another family, or free of noise."""
    known = {
        "gaussian": problem.sigma,
        "poisson": 1 / getattr(problem.noise, "peak", float("inf")),
        "gamma": float(getattr(problem.noise, "looks", 0.0)),
    }[family]
    if known <= 0 and family != "gaussian":
        raise BadInput(
            f"the noise {problem.noise!r} has no level of the {family} law", do="Give it: --set solver.level=NUMBER."
        )
    return known
