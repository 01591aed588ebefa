"""DiffusionMBIR: a volume from a prior of slices, joined across slices by total variation.

Chung, Ryu, McCann, Klasky, Ye 2023, "Solving 3D Inverse Problems using Pre-trained 2D Diffusion Models", CVPR,
arXiv 2211.10655 (algorithm 1), repository HJ-harry/DiffusionMBIR. At falling noise levels s, s' the next one:

    x <- x + (s^2 - s'^2) score(x; s) + sqrt(s^2 - s'^2) n                          predictor, slice by slice
    x <- x + e score(x; s) + sqrt(2 e) n,   e = 2 (snr |n| / |score|)^2             corrector, level s as released
    one turn of ADMM on the whole volume, for 1/2 |A x - y|^2 + lambda |D x|_1, D differences across slices:
        (A^T A + rho D^T D + w) x' = A^T y + rho D^T (d - u) + w x         `cg` conjugate gradients from x
        d <- shrink(D x + u, lambda / rho),   u <- u + D x - d                                 (equations 14 to 16)

d and u live on from level to level: reset at each, the volume never agrees across slices. What a slice contributes is
bounded in memory: `slices` of them are with the network at a time. x, d, u and two more arrays have the volume's size.

The corrector's norms are means over the slices of a batch as published, so that it depends on how a volume is cut.
w = 0 as published, where the few conjugate gradients are all that keeps x near the prior's picture and the noise of y
does not enter. Ours is Bayes' w = sigma^2 / s^2 (`anchored`): noise that A would amplify is left to the prior.

boundary "wrap" couples the last slice with the first, as released; "none" does not. Pictures without a slice axis are
volumes of one slice, with nothing across. Differs from the release: lambda and rho belong to |A|^2 = 1 and are
multiplied by it (`relative`), because the released ones belong to an unfiltered back-projection of some other scale;
and the ladder starts at `first` from a picture that agrees with the measurement, not at 378 from noise. The estimate is
the volume after the last turn. Pixels must be real.

Linear operators, Gaussian noise or its stand-in. Cost: (1 + `corrector`) calls of the
network for every slice and level, `turns` x `cg` applications of A^T A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Count, NotNegative, Positive, Steps, at_most
from operators.core.linear_solvers import conjugate_gradients
from priors.regularisers.wavelet import soft_threshold

from ..base import Solver, State, expect_prior
from ..parts.reverse import clean
from ..parts.start import Start, start_picture

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

Map = Callable[[Tensor], Tensor]
SLICE_AXIS = -3


@dataclass(frozen=True)
class MBIR(Solver):
    """DiffusionMBIR. Published values: preset "paper" (8-view CT; limited angle: lambda 0.4)."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 2000,
            "first": 378.0,
            "last": 0.01,
            "corrector": True,
            "rho": 10.0,
            "lambda_": 0.04,
            "cg": 1,
            "relative": False,
            "noisy_end": True,
            "anchored": False,
            "slices": 12,
            "boundary": "wrap",
            "start": "zero",
        }
    }

    steps: Annotated[Steps, "noise levels (published 2000)"] = 25
    first: Annotated[Positive, "highest noise level, native units (published 378)"] = 0.5
    last: Annotated[Positive, "lowest noise level, at most `first` (published 0.01)"] = 0.01
    corrector: Annotated[bool, "whether a Langevin step follows each predictor"] = True
    snr: Annotated[Positive, "signal-to-noise ratio of the corrector"] = 0.16
    rho: Annotated[Positive, "penalty of ADMM, in units of |A|^2 where `relative`"] = 1.0
    lambda_: Annotated[NotNegative, "weight of total variation across slices, in the same units"] = 0.004
    turns: Annotated[Count, "of ADMM at each level"] = 1
    cg: Annotated[Count, "conjugate gradients of each turn (published 1)"] = 5
    relative: Annotated[bool, "whether rho and lambda are in units of |A|^2; published: not"] = True
    anchored: Annotated[bool, "whether the noise of y keeps x near the prior's picture; published: not"] = True
    noisy_end: Annotated[bool, "whether the step to level 0 adds noise and is corrected, as released"] = False
    sigma_floor: Annotated[Positive, "least noise assumed in y, native units"] = 0.002
    slices: Annotated[Count, "with the network at a time (published 12 for CT, 20 for MRI)"] = 12
    boundary: Annotated[Literal["none", "wrap"], "across the last slice; wrap: the first one, as released"] = "none"
    start: Start = "estimate"

    def __post_init__(self) -> None:
        at_most("last", self.last, "first", self.first)

    def levels(self) -> list[float]:
        """Noise levels, falling evenly on a logarithm, and 0."""
        ladder = np.exp(np.linspace(np.log(self.first), np.log(self.last), self.steps))
        return [*ladder.tolist(), 0.0]

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        if problem.linear.complex_input:
            raise BadInput("mbir works on real volumes", do="Choose diffpir with a complex prior, or tv.")
        levels = self.levels()
        first = start_picture(problem, self.start)
        x = first + levels[0] * noise.normal("start", like=first)
        across, back = self.differences(x)
        split, dual = across(torch.zeros_like(x)), across(torch.zeros_like(x))
        unit = max(problem.linear.norm() ** 2, 1e-12) if self.relative else 1.0
        target = problem.linear.adjoint(problem.y)
        for step, (s, following) in enumerate(pairwise(levels)):
            x, x0 = self.sampled(prior, x, s, following, noise)
            weight = (max(problem.sigma, self.sigma_floor) / s) ** 2 if self.anchored else 0.0
            for _ in range(self.turns):
                x, split, dual = self.turn(problem, target, (x, split, dual), across, back, unit, weight)
            yield State(x=x, x0=x0, estimate=x, step=step, sigma=following)

    def sampled(
        self, prior: DiffusionPrior, x: Tensor, s: float, following: float, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """x at the following level after predictor and corrector, and E[x0 | x] before them; batches of slices."""
        draws = (noise.normal("predictor", like=x), noise.normal("corrector", like=x) if self.corrector else None)
        if x.ndim < 5:
            return self._sampled(prior, x, s, following, draws)
        parts = []
        for k in range(0, x.shape[SLICE_AXIS], self.slices):
            cut = [None if v is None else v[:, :, k : k + self.slices] for v in (x, *draws)]
            if cut[0] is not None:
                parts.append(self._sampled(prior, cut[0], s, following, (cut[1], cut[2])))
        new, clean_parts = zip(*parts, strict=True)
        return torch.cat(new, SLICE_AXIS), torch.cat(clean_parts, SLICE_AXIS)

    def _sampled(
        self,
        prior: DiffusionPrior,
        x: Tensor,
        s: float,
        following: float,
        draws: tuple[Tensor | None, Tensor | None],
    ) -> tuple[Tensor, Tensor]:
        x0 = clean(prior, x, s)
        variance = s**2 - following**2
        x = x + variance * (x0 - x) / s**2
        if following == 0 and not self.noisy_end:
            return x, x0
        if draws[0] is not None:
            x = x + variance**0.5 * draws[0]
        if draws[1] is not None:
            score = (clean(prior, x, s) - x) / s**2
            e = 2 * (self.snr * _mean_norm(draws[1]) / _mean_norm(score).clamp_min(1e-30)) ** 2
            x = x + e * score + (2 * e) ** 0.5 * draws[1]
        return x, x0

    def turn(
        self,
        problem: Problem,
        target: Tensor,
        state: tuple[Tensor, Tensor, Tensor],
        across: Map,
        back: Map,
        unit: float,
        weight: float = 0.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x, d, u after one turn of ADMM. target: A^T y; unit: of rho and lambda; weight: w."""
        x, split, dual = state
        rho = self.rho * unit
        wanted = target + rho * back(split - dual) + weight * x
        normal: Map = lambda v: problem.linear.gram(v) + rho * back(across(v)) + weight * v  # noqa: E731 - the normal equations
        x = conjugate_gradients(normal, wanted, start=x, iterations=self.cg, rtol=1e-12).x
        jumps = across(x)
        split = soft_threshold(jumps + dual, self.lambda_ / self.rho)
        return x, split, dual + jumps - split

    def differences(self, x: Tensor) -> tuple[Map, Map]:
        """D, differences of following slices, and its adjoint; nothing for a picture without slices."""
        if x.ndim < 5:
            return torch.zeros_like, torch.zeros_like
        if self.boundary == "wrap":
            return lambda v: v.roll(-1, SLICE_AXIS) - v, lambda p: p.roll(1, SLICE_AXIS) - p

        def across(v: Tensor) -> Tensor:
            jumps = v.roll(-1, SLICE_AXIS) - v
            jumps[:, :, -1] = 0
            return jumps

        def back(p: Tensor) -> Tensor:
            p = p.clone()
            p[:, :, -1] = 0
            return p.roll(1, SLICE_AXIS) - p

        return across, back


def _mean_norm(v: Tensor) -> Tensor:
    """The mean over slices of the norm of a slice, for each volume (B x 1 x ...)."""
    slices = v.movedim(SLICE_AXIS, 1).flatten(2) if v.ndim == 5 else v.flatten(1)[:, None]
    return slices.norm(dim=2).mean(1).reshape(-1, *[1] * (v.ndim - 1))
