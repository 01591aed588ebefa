"""DDNM: the range of the operator from the measurement, its null space from the prior.

Wang, Yu, Zhang 2023, "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model", arXiv 2212.00490,
repository wyhuai/DDNM. At descending times t, u being the next one:

    x0  = E[x0 | x_t],   e the noise prediction
    x0' = x0 - A^+ (A x0 - y)                                                                        (eq. 12)
    x_u = alpha_u x0' + sigma_u (eta z + sqrt(1 - eta^2) e)

DDNM+ (eq. 17, 18; rule "plus", used where y is noisy): with A = U diag(s) V^H and d_i = alpha_u sigma / s_i, the
noise that y brings into coordinate i of alpha_u x0',

    x0' = x0 - V L V^H A^+ (A x0 - y),  L_i = 1 where sigma_u >= d_i, else sigma_u sqrt(1 - eta^2) / d_i
    noise of x_u: sqrt(sigma_u^2 - d_i^2) z where sigma_u > d_i, sigma_u eta z elsewhere, and where s_i = 0 also
    sigma_u sqrt(1 - eta^2) e.

Time travel (Lugmayr et al. 2022, arXiv 2201.09865): after every `travel_length` times the chain climbs as many back
up, by x_t = alpha_t x0 + sigma_t z from the last x0, and comes down again, `travel_repeat` times in all.

Released code leaves out V^H before e and z are weighted where its operator reduces a picture, so that e points
elsewhere in the null space (`coordinates` is where a subclass would repeat that). The paper starts from pure noise at
time 999; ours begins nearer to the picture (`first_time`, `start`).

Linear operators, Gaussian noise or its stand-in; noisy data need a spectral decomposition. Cost: a network call for
each step down, no gradient.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Count, Fraction, NotNegative, Range

from ..base import Solver, State, expect_prior
from ..parts.ladder import CLEAN, TIMES, Beginning, Spacing, first_state, ladder, prediction, renoised
from ..parts.spectral import SpectralForm, check_spectrum, spectrum

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class DDNM(Solver):
    """DDNM and DDNM+. Published values: preset "paper"; "travel" adds time travel for hard tasks."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"steps": 100, "eta": 0.85, "first_time": TIMES, "spacing": "uniform", "start": "noise", "rtol": 0.0},
        "travel": {
            "steps": 100,
            "eta": 0.85,
            "first_time": TIMES,
            "spacing": "uniform",
            "start": "noise",
            "rtol": 0.0,
            "travel_length": 10,
            "travel_repeat": 10,
        },
    }

    steps: Annotated[int, Range(1, TIMES), "times of the ladder; network calls without time travel"] = 50
    eta: Annotated[Fraction, "share of fresh noise in renoising"] = 0.85
    rule: Annotated[Literal["plus", "plain"], "plus: DDNM+ for noisy y; plain: y is taken as exact"] = "plus"
    travel_length: Annotated[Count, "times between two climbs"] = 1
    travel_repeat: Annotated[Count, "how often each stretch is run; 1: no time travel"] = 1
    first_time: Annotated[int, Range(1, TIMES), "times lie below this one"] = 400
    spacing: Spacing = "uniform"
    start: Beginning = "estimate"
    rtol: Annotated[NotNegative, "singular values up to this share of the largest count as 0"] = 1e-3

    @property
    def total(self) -> int:
        return sum(1 for t, u in self.moves() if u < t)

    def check_problem(self, problem: Problem) -> None:
        if self.rule == "plus" and problem.sigma > 0:
            do = "Take rule='plain', which uses A^+ alone and takes y as exact, or diffpir or dds."
            check_spectrum(problem.linear, "DDNM+", do)

    def moves(self) -> list[tuple[int, int]]:
        """(from, to) of every move, down and up."""
        times = ladder(self.steps, span=self.first_time, spacing=self.spacing)
        visits = travelled(len(times), self.travel_length, self.travel_repeat)
        path = [times[len(times) - 1 - index] if index >= 0 else CLEAN for index in visits]
        return list(itertools.pairwise(path))

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        noisy = self.rule == "plus" and problem.sigma > 0
        parts = spectrum(problem, rtol=self.rtol) if noisy else None
        moves = self.moves()
        x = first_state(problem, prior, moves[0][0], self.start, noise)
        x0 = x
        step = 0
        for t, u in moves:
            if u > t:  # a climb starts from the clean picture, which was not rectified
                x = renoised(prior, u, x0, x0, 1.0, noise)
                continue
            x0, e = prediction(prior, x, t)
            if parts is None:
                rectified = x0 + problem.linear.pinv(problem.residual(x0), rtol=max(self.rtol, 1e-6))
                x = renoised(prior, u, rectified, e, self.eta, noise)
            else:
                rectified, x = self.noisy_step(parts, prior, problem.sigma, u, x0, e, noise)
            level = prior.sigma(u) / prior.alpha(u)
            yield State(x=x, x0=x0, estimate=x if u == CLEAN else rectified, step=step, sigma=level)
            step += 1

    def noisy_step(
        self, parts: SpectralForm, prior: DiffusionPrior, sigma: float, u: int, x0: Tensor, e: Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """x0' and x_u of DDNM+."""
        level = prior.sigma(u)
        brought = prior.alpha(u) * sigma * parts.inverse
        old = level * math.sqrt(1 - self.eta**2)
        covered = level >= brought
        trust = torch.where(covered, 1.0, old / torch.where(covered, 1.0, brought))
        clean = parts.analyse(x0)
        rectified = clean + trust * parts.inverse * (parts.y - parts.s * clean)
        ahead = prior.alpha(u) * rectified
        if level > 0:
            std = torch.where(
                parts.measured & (level > brought), (level**2 - brought**2).clamp_min(0).sqrt(), level * self.eta
            )
            ahead = ahead + std * self.coordinates(parts, noise.normal("step", like=x0))
            ahead = ahead + torch.where(parts.measured, torch.zeros_like(parts.s), old) * self.coordinates(parts, e)
        else:
            noise.skip("step", x0)
        return parts.synthesise(rectified), parts.synthesise(ahead)

    def coordinates(self, parts: SpectralForm, e: Tensor) -> Tensor:
        """V^H e (B x N)."""
        return parts.analyse(e)


def travelled(count: int, length: int, repeat: int) -> list[int]:
    """Indices visited on the way from count - 1 down to -1 (the clean picture), climbs included.

    At every index that is a multiple of `length`, and high enough above the end, the way turns back up by `length`,
    repeat - 1 times.
    """
    left = dict.fromkeys(range(0, count - length, length), repeat - 1)
    visits = [count - 1]
    index = count - 1
    while index >= 0:
        index -= 1
        visits.append(index)
        if left.get(index, 0) > 0:
            left[index] -= 1
            for _ in range(length):
                index += 1
                visits.append(index)
    return visits
