"""GDP: ancestral sampling whose clean estimate is pulled to the measurement; an unknown degradation is found with it.

Fei, Lyu, Pan, Zhang, Yang, Luo, Zhang, Dai 2023, "Generative Diffusion Prior for Unified Image Restoration and
Enhancement", CVPR, arXiv 2304.01247 (algorithms 1 and 2), repository Fayeben/GenerativeDiffusionPrior. At descending
times t, u the next one, with L = mean over measured numbers of |A(x0; theta) - y|^2, G = - grad_{x0} L:

    x0  = E[x0 | x_t], clipped; no gradient goes through the network
    m   = mean of p(x_u | x_t, x0), Sigma = std^2 its variance                          (Ho et al. 2020, equation 7)
    m  <- m + s Sigma G      rule "paper"            m <- m + s G      rule "released", which leaves Sigma out
    x_u = m + std n
    theta <- theta - rate grad_theta L               for an `operators.core.unknown.UnknownOperator`, `inner` times a
                                                     step; the last of the G steers, and theta lives on

rule "bayes" (default) needs no strength that depends on the picture's size, number of steps or noise: for
x0 ~ N(E[x0 | x_t], r^2 I), 1 / r^2 = 1 / c^2 + 1 / `prior_std`^2, c = sigma_t / alpha_t, x0 moves by
zeta r^2 A'^H (y - A x0) / (sigma^2 + |A'|^2 r^2) before m is taken.

Differs from the release, which compares super-resolution and masks in the picture's space through A^+: here the misfit
is always that of y. Its Adam over the mean gets no gradient and does nothing; it is left out. Quality terms are not
used. theta begins where `UnknownOperator.first` says, not at random, where the gain could change its sign.

Any operator, Gaussian noise or its stand-in. Cost: `steps` network calls, no backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Count, NotNegative, Positive, Range
from operators.common.space import IDENTITY, Space
from operators.core.base import LinearOperator, Operator
from operators.core.posing import InSpace
from operators.core.unknown import UnknownOperator, Unknowns

from ..base import Mean, Solver, State, expect_prior
from ..parts.ancestral import transition
from ..parts.reverse import in_range
from ..parts.start import Start, start_picture

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

LAST_TIME = 999


@dataclass(frozen=True)
class GDP(Solver):
    """GDP. Released values: preset "paper" (super-resolution by 4; blur 6000, low light and HDR 80000)."""

    needs_linear: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 1000,
            "rule": "released",
            "scale": 2000.0,
            "inner": 6,
            "first_time": LAST_TIME,
            "start": "zero",
        }
    }

    steps: Annotated[int, Range(1, LAST_TIME + 1), "times visited, network calls"] = 50
    rule: Annotated[Literal["bayes", "paper", "released"], "what scales the guidance"] = "bayes"
    zeta: Annotated[NotNegative, "strength of rule bayes; 1: Bayes' rule"] = 1.0
    scale: Annotated[NotNegative, "s of the other rules"] = 2000.0
    prior_std: Annotated[Positive, "standard deviation of pictures in native units, for rule bayes"] = 0.5
    inner: Annotated[Count, "updates of unknown parameters at each time (released 6)"] = 6
    rate: Annotated[NotNegative, "step of unknown parameters; 0: they stay as they begin"] = 1.0
    first_time: Annotated[int, Range(0, LAST_TIME), "where the diffusion begins (published 999)"] = 200
    start: Start = "estimate"

    def times(self) -> list[int]:
        """`steps` times from first_time to 0, evenly spaced and rounded."""
        return sorted({round(t) for t in np.linspace(self.first_time, 0, self.steps)}, reverse=True)

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        blind, space = unknown_part(problem)
        unknowns: Unknowns = {}
        if blind is not None:  # values of each picture, whatever stands beside it
            begin = blind.nominal or blind.first(problem.y)
            unknowns = {k: v.to(problem.y).expand(len(problem.y), *v.shape[1:]) for k, v in begin.items()}
        operator = problem.operator
        gain = operator.norm() ** 2 if isinstance(operator, LinearOperator) else 1.0
        times = self.times()
        if blind is None:
            first = start_picture(problem, self.start)
        else:
            first = space.back(blind.at(unknowns).direct(problem.y))
        x = prior.alpha(times[0]) * first + prior.sigma(times[0]) * noise.normal("start", like=first)
        for step, (t, u) in enumerate(zip(times, [*times[1:], -1], strict=True)):
            x0 = in_range(prior, prior.x0(x, t))
            slope, unknowns = self.steered(problem, x0, blind, space, unknowns)
            of_x0, of_x, std = transition(prior, t, u)
            if self.rule == "bayes":
                c = prior.sigma(t) / prior.alpha(t)
                open_ = (c * self.prior_std) ** 2 / (c**2 + self.prior_std**2)
                count = problem.observed_count / 2  # of the mean of squares: back to A^H (y - A x)
                pull = self.zeta * open_ * count / max(problem.sigma**2 + gain * open_, 1e-12)
                x0 = in_range(prior, x0 + pull * slope)
                mean = of_x0 * x0 + of_x * x
            else:
                mean = of_x0 * x0 + of_x * x + self.scale * (std**2 if self.rule == "paper" else 1.0) * slope
            x = mean + std * noise.normal("step", like=x) if std > 0 else mean
            info = {name: Mean(v.flatten(1).mean(1)) for name, v in unknowns.items()}
            level = prior.sigma(u) / prior.alpha(u)
            yield State(x=x, x0=x0, estimate=x if u < 0 else x0, step=step, sigma=level, info=info)

    def steered(
        self, problem: Problem, x0: Tensor, blind: UnknownOperator | None, space: Space, unknowns: Unknowns
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """G at x0 and the parameters after their `inner` updates; G is that of the parameters before the last one."""
        if blind is None:
            residual = problem.residual(x0)
            return 2 / max(problem.observed_count, 1) * problem.operator.vjp(x0, residual), {}
        names, slope = list(unknowns), torch.zeros_like(x0)
        for _ in range(self.inner):
            with torch.enable_grad():
                point = x0.detach().requires_grad_()
                values = {name: unknowns[name].detach().requires_grad_() for name in names}
                misfit = (blind.applied(space.to(point), values) - problem.y).flatten(1).square().mean(1)
                found = torch.autograd.grad(misfit.sum(), [point, *values.values()])
            slope = -found[0]
            steps = zip(names, found[1:], strict=True)
            unknowns = blind.legal({name: unknowns[name] - self.rate * g for name, g in steps})
        return slope, dict(unknowns)


def unknown_part(problem: Problem) -> tuple[UnknownOperator | None, Space]:
    """The operator with unknown parameters, and the space of its pictures seen from the problem's; None for no such."""
    operator: Operator = problem.operator
    space: Space = IDENTITY
    while isinstance(operator, InSpace):
        space = operator.space @ space
        operator = operator.operator
    return (operator, space) if isinstance(operator, UnknownOperator) else (None, IDENTITY)
