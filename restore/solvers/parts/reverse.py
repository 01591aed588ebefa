"""Down a ladder of noise levels with a denoiser: the reverse diffusion that posterior samplers run inside a step.

Karras, Aittala, Aila, Laine 2022, arXiv 2206.00364, equations 1 and 6, for x = x0 + s n.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor

from operators.common.randomness import Noise

if TYPE_CHECKING:
    from priors.base import DiffusionPrior


def in_range(prior: DiffusionPrior, x0: Tensor) -> Tensor:
    """x0 kept in the prior's legal range, where it has one."""
    return x0 if prior.clip is None else x0.clamp(*prior.clip)


def clean(prior: DiffusionPrior, x: Tensor, sigma: float) -> Tensor:
    """E[x0 | x0 + sigma n = x], kept in the prior's legal range where it has one."""
    return in_range(prior, prior.denoise(x, sigma))


def reversed_from(
    prior: DiffusionPrior, x: Tensor, levels: Sequence[float], noise: Noise | None = None, *, stream: str = "reverse"
) -> Tensor:
    """x, noisy at the first of the falling levels, brought to the last by Euler steps; one network call for each.

    Without noise: the probability flow dx/ds = (x - D(x; s)) / s. With noise: the stochastic equation of twice that
    drift, which adds sqrt(2 s ds) n in every step but one that ends at 0.
    """
    for s, following in pairwise(levels):
        slope = (x - clean(prior, x, s)) / s
        if noise is None:
            x = x + (following - s) * slope
            continue
        x = x + 2 * (following - s) * slope
        if following > 0:
            x = x + (2 * s * (s - following)) ** 0.5 * noise.normal(stream, like=x)
    return x
