"""Score-SDE: predictor and corrector, each after the known part of the state was put back.

Song, Shen, Xing, Ermon 2022, "Solving Inverse Problems in Medical Imaging with Score-Based Generative Models",
arXiv 2111.08005, repository yang-song/score_inverse_problems. Levels l_N > ... > l_1, evenly spaced in their logarithm,
x = x0 + l n, s(x, l) = (E[x0 | x] - x) / l^2. At every level:

    merge      y_l = y + l A z;   x = x + lam A^+ (y_l - A x)                                     (eq. 7 to 10)
    corrector  g = s(x, l), d = 2 (snr |z| / |g|)^2;   x = x + d g + sqrt(2 d) z                  (`corrections` times)
    merge      with its own z
    predictor  x = x + (l^2 - l'^2) s(x, l) + b z, l' the next level, 0 after the last

and at the end x = x + l_1^2 s(x, l_1), merged once more, with lam 1 and y itself. For A = P T with an invertible T the
merge is the published blend in the space of T. Norms are each picture's own (published: means over a batch).
predictor "reverse" has b^2 = l^2 - l'^2, which leaves more noise than l' says where levels are far apart; "ancestral"
(default) b^2 = l'^2 (l^2 - l'^2) / l^2, which leaves as much as it says.

Noisy y, data "merge": y carries noise already. In the singular vectors of A coordinate i of A^+ y has the level
sigma / s_i; it is brought to l by what is missing while l is above that, and left alone below. (The paper has no such
rule; its lam < 1 serves there. Operators without a decomposition take A^H (A A^H + sigma^2 / l^2)^-1 for A^+.)
data "gradient" steps by 2 lam A^H (y - A x) after predictor and corrector instead, as a later port for general
operators does. The paper begins at l_N = 378 with nothing but noise; ours at `first` from `start`.

Linear operators, Gaussian noise or its stand-in. Cost: (1 + `corrections`) network calls a step and one at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Fraction, Positive, Range, Steps

from ..base import Solver, State, expect_prior
from ..parts.spectral import SpectralForm, has_spectrum, spectrum
from ..parts.start import Start, pull, start_picture

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class ScoreSDE(Solver):
    """Score-SDE. Published values: presets "paper" (brain MRI), "ct", and "port" (any linear operator)."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 1000,
            "predictor": "reverse",
            "corrections": 1,
            "snr": 0.517,
            "lam": 1.0,
            "first": 378.0,
            "start": "zero",
        },
        "ct": {
            "steps": 1000,
            "predictor": "reverse",
            "corrections": 1,
            "snr": 0.246,
            "lam": 0.841,
            "first": 378.0,
            "start": "zero",
        },
        "port": {
            "steps": 2000,
            "predictor": "reverse",
            "corrections": 1,
            "snr": 0.16,
            "lam": 1.0,
            "data": "gradient",
            "first": 378.0,
            "start": "zero",
        },
    }

    steps: Annotated[Steps, "levels"] = 49
    predictor: Annotated[Literal["ancestral", "reverse"], "noise of a step; reverse is published"] = "ancestral"
    corrections: Annotated[int, Range(0), "Langevin steps at each level, a network call each"] = 0
    snr: Annotated[Positive, "signal to noise ratio that sets the length of a Langevin step"] = 0.16
    lam: Annotated[Fraction, "how far a merge goes toward the measurement"] = 1.0
    data: Annotated[Literal["merge", "gradient"], "merge, or a gradient step of the misfit"] = "merge"
    first: Annotated[Positive, "largest level, native units"] = 0.3
    last: Annotated[Positive, "smallest level, native units"] = 0.01
    start: Start = "estimate"

    def levels(self, sigma: float) -> list[float]:
        """Descending; sigma: noise of the measurement, twice which the first is at least, or y would not be used."""
        first = max(self.first, 2 * sigma)
        return [float(v) for v in np.geomspace(first, min(self.last, first), self.steps)]

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        levels = self.levels(problem.sigma)
        noisy = self.data == "merge" and problem.sigma > 0 and has_spectrum(problem.linear)
        parts = spectrum(problem, rtol=1e-6) if noisy else None
        begin = start_picture(problem, self.start)
        x = begin + levels[0] * noise.normal("start", like=begin)
        for step, (level, following) in enumerate(zip(levels, [*levels[1:], 0.0], strict=True)):
            for _ in range(self.corrections):
                x = self.merged(problem, parts, x, level, noise, self.lam)
                x = self.corrected(x, prior.denoise(x, level), level, noise)
                x = self.stepped(problem, x) if self.data == "gradient" else x
            x = self.merged(problem, parts, x, level, noise, self.lam)
            x0 = prior.denoise(x, level)
            gap = level**2 - following**2
            std = math.sqrt(gap) * (following / level if self.predictor == "ancestral" else 1.0)
            x = x + gap / level**2 * (x0 - x) + std * noise.normal("predictor", like=x)
            if self.data == "gradient":
                x = self.stepped(problem, x)
            estimate = x0
            if following == 0:
                x = prior.denoise(x, level)
                estimate = self.ended(problem, parts, x, level)
            yield State(x=x, x0=x0, estimate=estimate, step=step, sigma=following)

    def merged(
        self, problem: Problem, parts: SpectralForm | None, x: Tensor, level: float, noise: Noise, lam: float
    ) -> Tensor:
        """x moved toward the measurement as it would be at this level."""
        if self.data == "gradient":
            noise.skip("data", x)
            return x
        z = noise.normal("data", like=x)
        if parts is None:  # y + l A z - A x
            return x + lam * pull(problem, problem.residual(x - level * z), (problem.sigma / level) ** 2)
        return self.blended(problem, parts, x, level * parts.analyse(z), level, lam)

    def blended(self, problem: Problem, parts: SpectralForm, x: Tensor, z: Tensor, level: float, lam: float) -> Tensor:
        """The measured coordinates of x that are worse than y, moved toward y brought to the level of z."""
        own = problem.sigma * parts.inverse / level
        better = parts.measured & (own <= 1)
        missing = (1 - own**2).clamp_min(0).sqrt()
        coordinates = parts.analyse(x)
        toward = parts.y * parts.inverse + missing * z - coordinates
        return x + lam * parts.synthesise(torch.where(better, toward, torch.zeros_like(toward)))

    def corrected(self, x: Tensor, x0: Tensor, level: float, noise: Noise) -> Tensor:
        """One Langevin step."""
        z = noise.normal("corrector", like=x)
        score = (x0 - x) / level**2
        axes = tuple(range(1, x.ndim))
        length, slope = (v.abs().square().sum(axes, keepdim=True).sqrt() for v in (z, score))
        stride = 2 * (self.snr * length / slope.clamp_min(1e-12)) ** 2
        return x + stride * score + torch.sqrt(2 * stride) * z

    def ended(self, problem: Problem, parts: SpectralForm | None, x: Tensor, level: float) -> Tensor:
        """The clean picture merged with y itself."""
        if self.data == "gradient":
            return self.stepped(problem, x)
        if parts is None:
            return x + pull(problem, problem.residual(x), (problem.sigma / level) ** 2)
        return self.blended(problem, parts, x, torch.zeros_like(parts.y), level, 1.0)

    def stepped(self, problem: Problem, x: Tensor) -> Tensor:
        """x after a gradient step of the misfit."""
        return x + 2 * self.lam * problem.linear.adjoint(problem.residual(x))
