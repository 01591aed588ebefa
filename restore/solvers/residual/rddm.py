"""RDDM: residual and noise are taken out together, each on its own schedule.

Liu, Wang, Fan, Wang, Tang, Qu 2024, arXiv 2308.13712, repository nachifur/RDDM. The process is priors.residual.rddm:

    x_T = y + bbar_T z
    implicit:  x_u = x_t - (abar_t - abar_u) R - (bbar_t - sqrt(bbar_u^2 - v)) eps + sqrt(v) z,
               v = eta (bbar_t^2 - bbar_u^2) bbar_u^2 / bbar_t^2
    ancestral: x_u ~ N(c1 x_t + c2 R + c3 x0, beta_t^2 bbar_u^2 / bbar_t^2 I)

Any operator whose measurement can be brought to the grid of the picture. One network call a step; the answer is the x0
of the last one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from operators.common.randomness import Noise
from operators.common.settings import Fraction, Steps
from priors.residual.prior import ResidualPrior
from priors.residual.rddm import RDDMProcess

from ..base import Solver, State
from .chain import expect_residual, sample

if TYPE_CHECKING:
    from ...problem import Problem


@dataclass(frozen=True)
class RDDM(Solver):
    """RDDM. Published: implicit, eta 0, 5 steps for raindrops, 2 or 5 for low light."""

    prior_kind = ResidualPrior
    process = RDDMProcess
    needs_linear: ClassVar[bool] = False

    steps: Annotated[Steps, "times visited"] = 5
    sampler: Annotated[Literal["implicit", "ancestral"], "implicit is published for restoration"] = "implicit"
    eta: Annotated[Fraction, "share of fresh noise in an implicit step"] = 0.0

    def iterate(self, problem: Problem, prior: ResidualPrior | None, noise: Noise) -> Iterator[State]:
        prior, process = expect_residual(prior, self)
        implicit = functools.partial(process.implicit, eta=self.eta)
        step = implicit if self.sampler == "implicit" else process.ancestral
        yield from sample(problem, prior, noise, times=process.times(self.steps), step=step)
