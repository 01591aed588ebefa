"""AP-BSN: a blind-spot network on pixel-shuffled pictures, refined by putting noisy pixels back at random.

W. Lee, S. Son, K. M. Lee 2022, arXiv 2203.11799, algorithm 1.

    x0 = PD_b^-1 f(PD_b y)                                                  (b = 2; the network was trained with a = 5)
    for t = 1 .. T:  m ~ Bernoulli(p);  z = m y + (1 - m) x0;  x_t = f(z)               (random-replacing refinement)
    x = mean of the x_t

The released code leaves the padding of odd sizes in a refined answer; here it is cropped. A = identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Count, Fraction, Natural, Steps
from priors.selfsupervised.blindspot import ShuffledBlindSpot
from priors.selfsupervised.prior import slices, unsliced
from priors.selfsupervised.shuffling import filled, reflected, without_margin

from ..base import Solver, State
from .blindspot import expect_learned

if TYPE_CHECKING:
    from ...problem import Problem


@dataclass(frozen=True)
class APBSN(Solver):
    """Asymmetric pixel-shuffle and random-replacing refinement."""

    prior_kind = ShuffledBlindSpot
    needs_identity: ClassVar[bool] = True
    needs_gaussian: ClassVar[bool] = False
    presets: ClassVar = {"paper": {"steps": 8, "stride": 2, "pad": 2, "share": 0.16, "refined": True}}

    steps: Annotated[Steps, "masks of the refinement, T"] = 8
    stride: Annotated[Count, "of the mosaic at test; 1 where noise is independent from pixel to pixel"] = 2
    pad: Annotated[Natural, "zeros around each sub-picture, pixels of reflection in the refinement"] = 2
    share: Annotated[Fraction, "of pixels that are put back, p"] = 0.16
    refined: Annotated[bool, "whether noisy pixels are put back"] = True

    @property
    def total(self) -> int:
        return self.steps if self.refined else 1

    def iterate(self, problem: Problem, prior: ShuffledBlindSpot | None, noise: Noise) -> Iterator[State]:
        """A state for each mask; one where nothing is refined."""
        prior, y = expect_learned(prior, self), problem.y
        whole = filled(y, self.stride, prior.zero)
        flat = slices(whole, y.shape[1])
        x0 = prior.predict_shuffled(flat, factor=self.stride, pad=self.pad)
        if not self.refined:
            yield self._state(x0, x0, whole, y, 0)
            return
        total = torch.zeros_like(flat)
        for step in range(self.steps):
            kept = slices(noise.uniform("replacing", whole), y.shape[1]) < self.share
            mixed = torch.where(kept, flat, x0)
            total = total + without_margin(prior.predict(reflected(mixed, self.pad)), self.pad, mixed)
            yield self._state(total / (step + 1), x0, whole, y, step)

    @staticmethod
    def _state(estimate: Tensor, x0: Tensor, whole: Tensor, y: Tensor, step: int) -> State:
        x, start = (unsliced(part, whole)[..., : y.shape[-2], : y.shape[-1]] for part in (estimate, x0))
        return State(x=x, x0=start, estimate=x, step=step)
