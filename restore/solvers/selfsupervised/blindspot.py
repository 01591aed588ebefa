"""One pass of a network that learned to predict pixels from others: Noise2Void, C-BSN and SDAP at test.

Noise2Void: arXiv 1811.10980. C-BSN: arXiv 2304.09507, one seeing pass at full resolution. SDAP: arXiv 2307.16825.

A = identity; pictures, stacks and volumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from torch import Tensor

from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Count, Natural
from priors.selfsupervised.blindspot import ConditionalBlindSpot, HiddenPixels, SubSampledBlindSpot
from priors.selfsupervised.prior import SelfSupervisedPrior, slices, unsliced
from priors.selfsupervised.shuffling import filled, from_batch, to_batch

from ..base import Solver, State

if TYPE_CHECKING:
    from ...problem import Problem


@dataclass(frozen=True)
class BlindSpotSolver(Solver):
    """Base of solvers that ask a network of this kind once, or a few times, about the noisy picture."""

    needs_identity: ClassVar[bool] = True
    needs_gaussian: ClassVar[bool] = False
    draws: ClassVar[bool] = False

    def answer(self, y: Tensor, prior: Any) -> Tensor:
        """The estimate of noisy pictures (N x C x H x W), slices apart."""
        raise TypeError(f"{type(self).__name__} does not implement answer")

    def iterate(self, problem: Problem, prior: SelfSupervisedPrior | None, noise: Noise) -> Iterator[State]:
        """One state: the estimate."""
        flat = slices(problem.y, problem.y.shape[1])
        x = unsliced(self.answer(flat, expect_learned(prior, self)), problem.y)
        yield State(x=x, x0=x, estimate=x, step=0)


def expect_learned(prior: SelfSupervisedPrior | None, method: Solver) -> Any:
    """The prior, or BadInput where a method that needs one was given none."""
    if prior is None:
        raise BadInput(f"{type(method).__name__} was given no prior", wanted=f"a {method.kind_taken()} prior")
    return prior


@dataclass(frozen=True)
class Noise2Void(BlindSpotSolver):
    """x = f(y)."""

    prior_kind = HiddenPixels

    def answer(self, y: Tensor, prior: HiddenPixels) -> Tensor:
        return prior.predict(y)


@dataclass(frozen=True)
class CBSN(BlindSpotSolver):
    """x = f(y), f seeing the pixel itself; or blind, for comparison."""

    prior_kind = ConditionalBlindSpot

    masked: Annotated[bool, "blind to the pixel itself"] = False
    margin: Annotated[Natural, "pixels of reflection around the picture"] = 32

    def answer(self, y: Tensor, prior: ConditionalBlindSpot) -> Tensor:
        return prior.predict(y, masked=self.masked, margin=self.margin)


@dataclass(frozen=True)
class SDAP(BlindSpotSolver):
    """x = shuffle_2(f(unshuffle_2(y))), and once more f at full resolution where `enhanced`."""

    prior_kind = SubSampledBlindSpot
    presets: ClassVar = {"paper": {"factor": 2, "enhanced": True}}

    factor: Annotated[Count, "of the unshuffling; 1 for noise that is independent from pixel to pixel"] = 2
    enhanced: Annotated[bool, "one more pass on the answer, the variant (E) of the paper"] = False

    def answer(self, y: Tensor, prior: SubSampledBlindSpot) -> Tensor:
        whole = filled(y, self.factor, prior.zero)
        x = from_batch(prior.predict(to_batch(whole, self.factor)), self.factor)[..., : y.shape[-2], : y.shape[-1]]
        return prior.predict(x) if self.enhanced else x
