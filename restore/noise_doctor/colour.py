"""How alike the noise of the colours is, and how normal its values are."""

from __future__ import annotations

import torch
from torch import Tensor

from .flat import alike_patches

NORMAL_RATIO = 2.9058  # of the central 95 % to the central 50 % of a normal distribution
MOST = 2_000_000


def colour_covariance(y: Tensor, side: int = 8) -> Tensor:
    """C x C covariance of the noise of the channels, from the flattest patches of B x C x H x W; float64."""
    patches = alike_patches(y, min(side, *y.shape[-2:]))
    flat = patches.transpose(0, 1).flatten(1)
    freedom = patches.shape[-1] ** 2 / (patches.shape[-1] ** 2 - 3)
    return flat @ flat.T / flat.shape[1] * freedom


def colour_correlation(covariance: Tensor) -> float:
    """Mean correlation of the pairs of channels; 0 for one channel, and where a channel does not vary."""
    deviations = covariance.diagonal().clamp_min(0).sqrt()
    if len(deviations) < 2 or float(deviations.min()) <= 0:
        return 0.0
    r = covariance / (deviations[:, None] * deviations)
    pairs = ~torch.eye(len(r), dtype=torch.bool, device=r.device)
    return float(r[pairs].mean())


def tail_ratio(y: Tensor, side: int = 8) -> float:
    """Tails of the noise in the flattest patches over those of normal noise: 1 for normal, above for heavier tails.

    The ratio of the central 95 % to the central 50 % of the values; 1 where nothing varies.
    """
    values = alike_patches(y, min(side, *y.shape[-2:])).flatten()
    values = values[:: max(1, len(values) // MOST)]
    places = torch.tensor([0.025, 0.25, 0.75, 0.975], dtype=values.dtype, device=values.device)
    q = values.sort().values[(places * (len(values) - 1)).round().long()]
    middle = float(q[2] - q[1])
    return 1.0 if middle == 0 else float(q[3] - q[0]) / middle / NORMAL_RATIO


def impulse_share(y: Tensor, sigma: float = 0.0) -> float:
    """Share of pixels that jump from all their neighbours to an end of the range: salt and pepper.

    sigma: of the other noise; a jump is at least a quarter of the range, and six times sigma.
    """
    centre = y[..., 1:-1, 1:-1]
    around = torch.stack([y[..., :-2, 1:-1], y[..., 2:, 1:-1], y[..., 1:-1, :-2], y[..., 1:-1, 2:]])
    ordered = around.sort(0).values
    spread = (ordered[2] - ordered[1]).abs()
    jump = (centre - (ordered[1] + ordered[2]) / 2).abs()
    at_end = (centre <= y.min()) | (centre >= y.max())
    return float((at_end & (jump > max(0.25, 6 * sigma)) & (jump > 4 * spread)).double().mean())
