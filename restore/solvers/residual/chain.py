"""The sampling loop of all residual and mean-reverting processes. A solver names its times and its reverse step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from operators import BadInput
from operators.common.randomness import Noise
from priors.residual.grid import on_grid
from priors.residual.prior import ResidualPrior
from priors.residual.process import Prediction

from ..base import Solver, State

if TYPE_CHECKING:
    from ...problem import Problem

Step = Callable[[Tensor, Tensor, Prediction, float, float, Noise], Tensor]
"""(x_t, y, prediction at t, t, u, noise) -> x_u."""


def expect_residual(prior: ResidualPrior | None, method: Solver) -> tuple[ResidualPrior, Any]:
    """The prior and its process, or BadInput where there is none or it is of another kind than the method takes."""
    if prior is None:
        raise BadInput(
            f"{type(method).__name__} was given no prior", wanted=f"a ResidualPrior of {method.kind_taken()}"
        )
    if not isinstance(prior, ResidualPrior) or not method.takes(prior):
        raise BadInput(
            f"{type(method).__name__} was given a {getattr(prior, 'kind', type(prior).__name__)} prior",
            wanted=f"one of a {method.kind_taken()} process",
        )
    return prior, prior.process


def sample(
    problem: Problem, prior: ResidualPrior, noise: Noise, *, times: Sequence[float], step: Step, legal: bool = False
) -> Iterator[State]:
    """One run: predict at every time, step to the next, answer with the last state.

    times: descending, the one the run ends at included; one network call for each but the last. legal: whether the
    answer is clamped to the prior's legal range, as some published samplers do.
    """
    process, once = prior.process, problem.once  # copies of a picture share what is made of its measurement
    y_up = on_grid(once.operator, once.y)
    y = problem.for_each_copy(prior.encode(y_up))
    seen = prior.condition(once.y, y_up, once.operator.observed)
    seen = seen if seen is None else problem.for_each_copy(seen)
    x = process.start(y, noise, times[0])
    final = len(times) - 2
    for index, (t, u) in enumerate(itertools.pairwise(times)):
        prediction = prior.predict(x, y, t, condition=seen)
        x = step(x, y, prediction, t, u, noise)
        estimate = prior.decode(x if index == final else prediction.x0)[..., : y_up.shape[-2], : y_up.shape[-1]]
        if index == final and legal and prior.native_clip is not None:
            estimate = estimate.clamp(*prior.native_clip)
        yield State(x=x, x0=prediction.x0, estimate=estimate, step=index, sigma=process.marginal(u).s)
