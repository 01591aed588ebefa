"""The ancestral step of a diffusion, as weights of clean estimate and state (Ho et al. 2020, equation 7)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from priors.base import DiffusionPrior


def transition(prior: DiffusionPrior, t: int, u: int) -> tuple[float, float, float]:
    """Weights of x0 and of x_t in the mean of p(x_u | x_t, x0), and its standard deviation; u = -1: clean, no noise."""
    alpha_t, sigma_t, alpha_u, sigma_u = prior.alpha(t), prior.sigma(t), prior.alpha(u), prior.sigma(u)
    beta = 1 - (alpha_t / alpha_u) ** 2
    std = math.sqrt(beta) * sigma_u / sigma_t
    return alpha_u * beta / sigma_t**2, (sigma_u / sigma_t) ** 2 * math.sqrt(1 - beta), std
