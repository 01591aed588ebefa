"""Noise from wavelet coefficients: one level where it is white, a ladder of scales where it is not."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..tasks import measurement

NORMAL_MEDIAN = 0.6744897501960817  # of |n| for n ~ N(0, 1)
LEVELS = 3  # of the Haar pyramid
MOST = 500_000  # coefficients of a band that are looked at
LEAST_SIDE = 8  # pixels, of the smallest band that is looked at


def white_level(y: Tensor) -> float:
    """Standard deviation of the noise if it is white: median of the finest diagonal wavelet band, over 0.6745.

    y: B x C x H x W. Donoho, Johnstone 1994. Fine texture raises it; noise whose neighbours are alike lowers it, to a
    half on demosaicked pictures and to an eighth on pictures that a camera smoothed.
    """
    return measurement.estimate_sigma(y)


def haar_variances(y: Tensor, levels: int = LEVELS) -> list[float]:
    """Robust variances of the orthonormal Haar pyramid, summed over its three bands, finest first.

    y: B x C x H x W. V_j = sum over bands of (median |band| / 0.6745)^2, mean over pictures and channels; white noise
    gives 3 sigma^2 at every j. Ends before bands of fewer than 8 pixels a side; at least one where a side has two.
    """
    rest, variances = y.to(torch.promote_types(y.dtype, torch.float32)), []
    for j in range(levels):
        height, width = (side - side % 2 for side in rest.shape[-2:])
        if min(height, width) < (2 * LEAST_SIDE if j else 2):
            break
        a, b = rest[..., 0:height:2, 0:width:2], rest[..., 0:height:2, 1:width:2]
        c, d = rest[..., 1:height:2, 0:width:2], rest[..., 1:height:2, 1:width:2]
        bands = ((a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2)
        medians = torch.stack([_median(band) for band in bands])
        variances.append(float((medians / NORMAL_MEDIAN).square().sum(0).mean()))
        rest = (a + b + c + d) / 2
    return variances


def _median(band: Tensor) -> Tensor:
    """Of the magnitudes of each picture and channel (B x C, float64); every n-th of a large band."""
    values = band.flatten(2)
    return values[..., :: max(1, values.shape[-1] // MOST)].double().abs().median(-1).values


def parseval_level(variances: list[float]) -> float:
    """Standard deviation of noise of any spectrum from the bands of a Haar pyramid, finest first.

    sigma^2 = sum_j V_j / 4^j + V_J / (3 4^J): Parseval's identity, each band weighted by its share of the coefficients,
    and what lies below the coarsest band taken to have its density. Texture raises it.
    """
    total = sum(v / 4 ** (j + 1) for j, v in enumerate(variances))
    return math.sqrt(total + variances[-1] / (3 * 4 ** len(variances)))
