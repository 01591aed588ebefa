"""Noise that a whole row or column shares."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from .white import NORMAL_MEDIAN

LEAST_LINES = 16
SIGNIFICANT = 3.0  # times the deviation that pixel noise alone leaves in a line
MEDIAN_LOSS = math.pi / 2  # variance of a median over that of a mean, normal numbers


@dataclass(frozen=True)
class LineNoise:
    """rows, columns: standard deviations of what a row or column shares, 0 where none is seen beyond pixel noise."""

    rows: float
    columns: float


def line_noise(y: Tensor) -> LineNoise:
    """Row and column noise of a picture (B x C x H x W) with a scene in it, of the mean over channels.

    Second differences across the lines take a smooth scene out; their median along a line is what the line shares, and
    the median over lines is deaf to edges of the scene. What pixel noise leaves in the median of a line is subtracted.
    """
    grey = y.double().mean(1)
    return LineNoise(rows=_across(grey), columns=_across(grey.transpose(-1, -2)))


def row_deviation(residual: Tensor) -> float:
    """Row noise of a flat field, dark frame or residual (... x H x W).

    sqrt(max(0, var(row means) - var_within / W)): what the noise of W pixels leaves in a mean is subtracted.
    """
    rows = residual.double().flatten(0, -3) if residual.ndim > 2 else residual.double()[None]
    within = rows.var(-1, correction=1).mean()
    between = rows.mean(-1).var(-1, correction=1).mean()
    return math.sqrt(max(0.0, float(between - within / rows.shape[-1])))


def _across(grey: Tensor) -> float:
    height, width = grey.shape[-2:]
    if height < LEAST_LINES or width < LEAST_LINES:
        return 0.0
    second = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    shared = second.median(-1).values
    inside = (second - shared[..., None]).abs().median(-1).values / NORMAL_MEDIAN
    pixel = float(inside.square().median()) * MEDIAN_LOSS / width
    whole = (float(shared.abs().median()) / NORMAL_MEDIAN) ** 2
    # Variances of medians of n lines scatter by about 2.3 / sqrt(n) of themselves; scenes leave a little more.
    if whole <= pixel * (1 + SIGNIFICANT * 2.3 / math.sqrt(height)) or whole - pixel < 1e-12:
        return 0.0
    return math.sqrt((whole - pixel) / 6)
