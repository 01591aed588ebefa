"""Unconditional samples of a diffusion prior: what it believes pictures look like before any measurement."""

from __future__ import annotations

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Count, Positive, checked

from ..base import DiffusionPrior
from ..schedules import karras_sigmas


@checked
@torch.no_grad()
def heun(
    prior: DiffusionPrior,
    like: Tensor,
    noise: Noise,
    *,
    steps: Count = 40,
    sigma_min: Positive = 0.002,
    sigma_max: Positive = 80.0,
) -> Tensor:
    """Samples from the probability-flow ODE by Heun's method (Karras et al. 2022, arXiv 2206.00364, algorithm 1).

    like: B x C x H x W, only its shape, dtype and device matter. steps: noise levels; 2 steps - 1 network calls.
    sigma_min, sigma_max: in the prior's native units. Returns B x C x H x W in the units of the view `prior`.
    """
    native = prior.native
    levels = karras_sigmas(steps, sigma_min=sigma_min, sigma_max=sigma_max)
    x = float(levels[0]) * noise.normal("start", like)  # line 2 of the algorithm
    for now, then in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        slope = (x - native.denoise(x, now)) / now  # line 4
        proposal = x + (then - now) * slope  # line 5
        if then > 0:
            ahead = (proposal - native.denoise(proposal, then)) / then  # line 7
            x = x + (then - now) * (slope + ahead) / 2  # line 8
        else:
            x = proposal
    return prior.space.to(x)
