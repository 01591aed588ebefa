"""I2SB: a bridge from the measurement to the picture; the run begins at y itself.

Liu, Vahdat, Huang, Theodorou, Nie, Anandkumar 2023, arXiv 2302.05872, repository NVlabs/I2SB. With the process of
priors.residual.i2sb:

    x_N = y,   x_m ~ N(((sf_n^2 - sf_m^2) x0 + sf_m^2 x_n) / sf_n^2, sf_m^2 (sf_n^2 - sf_m^2) / sf_n^2 I)

without noise where the process is the optimal-transport limit ("ode"). Any operator whose measurement can be brought to
the grid of the picture. One network call a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from operators.common.randomness import Noise
from operators.common.settings import Steps
from priors.residual.i2sb import I2SBProcess
from priors.residual.prior import ResidualPrior

from ..base import Solver, State
from .chain import expect_residual, sample

if TYPE_CHECKING:
    from ...problem import Problem


@dataclass(frozen=True)
class I2SB(Solver):
    """I2SB. Published: 2 to 1000 steps."""

    prior_kind = ResidualPrior
    process = I2SBProcess
    needs_linear: ClassVar[bool] = False

    steps: Annotated[Steps, "network calls, evenly spaced over the schedule"] = 10

    def iterate(self, problem: Problem, prior: ResidualPrior | None, noise: Noise) -> Iterator[State]:
        prior, process = expect_residual(prior, self)
        yield from sample(problem, prior, noise, times=process.times(self.steps), step=process.ancestral)
