"""IR-SDE: the mean-reverting equation run backwards from the noisy measurement.

Luo, Gustafsson, Zhao, Sjolund, Schon 2023, arXiv 2301.11699, and 2024, arXiv 2404.09732 (posterior sampling),
repository Algolzw/image-restoration-sde. With the process of priors.residual.ir_sde and mu = y:

    x_T = mu + lambda z
    posterior: x_u ~ N(A (1 - C^2)/(1 - B^2) (x - mu) + C (1 - A^2)/(1 - B^2) (x0 - mu) + mu, ...)
    sde, ode:  Euler steps of the reverse equation and of its probability flow

Any operator whose measurement can be brought to the grid of the picture. One network call a step. `mrs` samples the
same priors in fewer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from operators.common.randomness import Noise
from operators.common.settings import Steps
from priors.residual.ir_sde import IRSDEProcess
from priors.residual.prior import ResidualPrior

from ..base import Solver, State
from .chain import expect_residual, sample

if TYPE_CHECKING:
    from ...problem import Problem

PUBLISHED = 100


@dataclass(frozen=True)
class IRSDE(Solver):
    """IR-SDE. Published: sampler "posterior" for deraining, "sde" elsewhere. Euler steps need about 100."""

    prior_kind = ResidualPrior
    process = IRSDEProcess
    needs_linear: ClassVar[bool] = False

    steps: Annotated[
        Steps | None, "times visited, spread over the whole span; none: all of the prior's (100), as published"
    ] = None
    sampler: Annotated[Literal["posterior", "sde", "ode"], "the reverse step"] = "posterior"

    @property
    def total(self) -> int:
        return PUBLISHED if self.steps is None else self.steps

    def iterate(self, problem: Problem, prior: ResidualPrior | None, noise: Noise) -> Iterator[State]:
        prior, process = expect_residual(prior, self)
        step = {"posterior": process.posterior, "sde": process.sde, "ode": process.ode}[self.sampler]
        yield from sample(problem, prior, noise, times=process.times(self.steps), step=step)
