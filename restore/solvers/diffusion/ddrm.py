"""DDRM: a diffusion run in the singular vectors of the operator, each at its own noise level.

Kawar, Elad, Ermon, Song 2022, "Denoising Diffusion Restoration Models", arXiv 2201.11793, repository
bahjat-kawar/ddrm. A = U diag(s) V^H; a bar means coordinates: x0_bar = V^H x0, y_bar = U^H y. Levels l_t = sigma_t /
alpha_t, sigma the noise of y. State x_t = alpha_t V x_bar. First state, at the largest time T (eq. 4):

    x_bar_i = y_bar_i / s_i + sqrt(l_T^2 - sigma^2 / s_i^2) z   where s_i l_T >= sigma,  start_bar_i + l_T z elsewhere

From t to u (eq. 7, 8), l = l_u, e_bar the noise prediction:

    s_i = 0:           x0_bar_i + l (sqrt(1 - eta^2) e_bar_i + eta z)
    s_i l < sigma:     x0_bar_i + l (sqrt(1 - eta^2) (y_bar_i - s_i x0_bar_i) / sigma + eta z)
    s_i l >= sigma:    (1 - eta_b) x0_bar_i + eta_b y_bar_i / s_i + sqrt(l^2 - eta_b^2 sigma^2 / s_i^2) z

The released code treats s_i l = sigma, which is the last step of a noise-free measurement, as s_i = 0, and scales the
first state by sigma_T in place of alpha_T (`ties`, `first_scale`). There the start is zero and T = 1000 - 1000 /
steps; ours begins nearer to the picture (`first_time`, `start`).

Linear operators with a spectral decomposition (`operator.svd`), and small ones without; Gaussian noise or its stand-in.
Cost: `steps` network calls, no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Fraction, NotNegative, Range

from ..base import Solver, State, expect_prior
from ..parts.ladder import TIMES, Spacing, ladder, prediction, with_next
from ..parts.spectral import SpectralForm, check_spectrum, spectrum
from ..parts.start import Start, start_picture

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class DDRM(Solver):
    """DDRM. Published values: preset "paper"; preset "released" is the public code to the last step."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"steps": 20, "eta": 0.85, "eta_b": 1.0, "first_time": TIMES, "spacing": "uniform", "start": "zero"},
        "released": {
            "steps": 20,
            "eta": 0.85,
            "eta_b": 1.0,
            "first_time": TIMES,
            "spacing": "uniform",
            "start": "zero",
            "ties": "free",
            "first_scale": "sigma",
            "rtol": 0.0,
        },
    }

    steps: Annotated[int, Range(1, TIMES), "times visited, network calls"] = 20
    eta: Annotated[Fraction, "share of fresh noise where the measurement says little or nothing"] = 0.85
    eta_b: Annotated[Fraction, "trust in the measurement where it is better than the state"] = 1.0
    first_time: Annotated[int, Range(1, TIMES), "times lie below this one"] = 400
    spacing: Spacing = "uniform"
    start: Start = "estimate"
    ties: Annotated[Literal["measured", "free"], "s_i l = sigma: as measured, or as s_i = 0 (released)"] = "measured"
    first_scale: Annotated[Literal["alpha", "sigma"], "scale of the first state; sigma: over l_T (released)"] = "alpha"
    rtol: Annotated[NotNegative, "singular values up to this share of the largest count as 0"] = 1e-3

    def check_problem(self, problem: Problem) -> None:
        check_spectrum(problem.linear, "DDRM")

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        parts = spectrum(problem, rtol=self.rtol)
        times = ladder(self.steps, span=self.first_time, spacing=self.spacing)
        x = self.first(problem, prior, parts, times[0], noise)
        for step, (t, u) in enumerate(with_next(times)):
            x0, e = prediction(prior, x, t)
            level = prior.sigma(u) / prior.alpha(u)
            x = prior.alpha(u) * parts.synthesise(self.ahead(problem, parts, x0, e, level, noise))
            yield State(x=x, x0=x0, estimate=x if u < 0 else x0, step=step, sigma=level)

    def first(self, problem: Problem, prior: DiffusionPrior, parts: SpectralForm, t: int, noise: Noise) -> Tensor:
        """x_T."""
        begin = start_picture(problem, self.start)
        level = prior.sigma(t) / prior.alpha(t)
        known = parts.s * level > problem.sigma
        mean = torch.where(known, parts.y * parts.inverse, parts.analyse(begin))
        of_y = torch.where(known, problem.sigma * parts.inverse, 0.0)
        std = (level**2 - of_y**2).clamp_min(0).sqrt()
        x = parts.synthesise(mean + std * parts.analyse(noise.normal("start", like=begin)))
        return x / level if self.first_scale == "sigma" else prior.alpha(t) * x

    def ahead(self, problem: Problem, parts: SpectralForm, x0: Tensor, e: Tensor, level: float, noise: Noise) -> Tensor:
        """x_bar of the next time (B x N)."""
        sigma, s = problem.sigma, parts.s
        better = parts.measured & ((s * level > sigma) if self.ties == "free" else (s * level >= sigma))
        worse = s * level < sigma
        worse = worse & parts.measured
        clean, kept = parts.analyse(x0), level * math.sqrt(1 - self.eta**2)
        free = clean + kept * parts.analyse(e)
        by_noise = clean + kept * (parts.y - s * clean) / (sigma if sigma > 0 else 1.0)
        by_data = (1 - self.eta_b) * clean + self.eta_b * parts.y * parts.inverse
        mean = torch.where(better, by_data, torch.where(worse, by_noise, free))
        if level == 0:
            noise.skip("step", x0)
            return mean
        of_y = torch.where(better, self.eta_b * sigma * parts.inverse, 0.0)
        std = torch.where(better, (level**2 - of_y**2).clamp_min(0).sqrt(), level * self.eta)
        return mean + std * parts.analyse(noise.normal("step", like=x0))
