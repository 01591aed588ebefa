"""The ramp filter of filtered back-projection with its windows, and Parker's weights for short scans.

Kak, Slaney, "Principles of Computerized Tomographic Imaging", 1988, equation 3.61: the band-limited ramp sampled in
space (1 / 4 ds^2 at 0, -1 / (pi k ds)^2 for odd k), so that the mean comes out right; D. Parker 1982,
doi:10.1118/1.595078.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np

from ..common.settings import OneOf, check

WINDOWS = ("ram-lak", "shepp-logan", "cosine", "hamming", "hann", "none")


def ramp(cells: int, *, spacing: float, window: str) -> np.ndarray:
    """The filter's transfer function on the rfft grid of `padded(cells)`, times the spacing of the convolution sum."""
    check("filter", window, Annotated[str, OneOf(WINDOWS)])
    length = padded(cells)
    if window == "none":
        return np.ones(length // 2 + 1)
    lags = np.minimum(np.arange(length), length - np.arange(length))
    kernel = np.zeros(length)
    kernel[0] = 1 / (4 * spacing**2)
    odd = lags % 2 == 1
    kernel[odd] = -1 / (np.pi * lags[odd] * spacing) ** 2
    transfer = np.fft.rfft(kernel).real * spacing
    f = np.arange(length // 2 + 1) / length  # cycles per cell, up to 1/2
    shape = {
        "ram-lak": np.ones_like(f),
        "shepp-logan": np.sinc(f),
        "cosine": np.cos(np.pi * f),
        "hamming": 0.54 + 0.46 * np.cos(2 * np.pi * f),
        "hann": 0.5 + 0.5 * np.cos(2 * np.pi * f),
    }
    return np.asarray(transfer * shape[window])


def padded(cells: int) -> int:
    """Length of the convolution: a power of two that leaves room for the whole kernel."""
    return max(64, 2 ** math.ceil(math.log2(2 * cells)))


def view_weights(angles: np.ndarray, *, period: float) -> np.ndarray:
    """The angle that each view stands for: half the way to its neighbours, within the range the views cover.

    period: pi for parallel beams, 2 pi for fans. The views beside one large gap (a limited angle) get no share of it.
    """
    if len(angles) == 1:
        return np.array([period])
    folded = np.mod(angles, period)
    order = np.argsort(folded, kind="stable")
    gaps = np.diff(folded[order], append=folded[order[0]] + period)
    second, largest = np.sort(gaps)[-2:]
    # Twice the next one: angles drawn at random seldom leave such a gap, a scan that stopped early always does.
    gaps[gaps.argmax()] = second if largest > 2 * second > 0 else largest
    weights = np.empty_like(folded)
    weights[order] = (gaps + np.roll(gaps, 1)) / 2
    return weights


def redundancy(angles: np.ndarray, fan_angles: np.ndarray) -> np.ndarray:
    """Weights V x cells that count every line once. angles: increasing, equidistant. fan_angles: of each cell.

    Over a full turn every line is seen twice: 1/2. Over less than that, Parker's smooth weights with the range of the
    scan less half a turn as the width of the overlap; what a scan of less than half a turn misses stays missed.
    """
    step = abs(angles[-1] - angles[0]) / max(len(angles) - 1, 1)
    span = step * len(angles)
    if span >= 2 * math.pi - step / 2 or len(angles) == 1:
        return np.full((len(angles), len(fan_angles)), 0.5)
    extra = (span - math.pi) / 2
    if extra <= 0:
        return np.ones((len(angles), len(fan_angles)))
    beta = (np.abs(angles - angles[0]) + step / 2)[:, None]
    # Turned against the fan, so that (beta, gamma) is (beta + pi + 2 gamma, -gamma) seen from the other side.
    gamma = np.clip(-fan_angles * np.sign(angles[-1] - angles[0]), -extra, extra)[None]
    rise = np.clip(beta / np.maximum(2 * (extra - gamma), 1e-12), 0, 1)
    fall = np.clip((math.pi + 2 * extra - beta) / np.maximum(2 * (extra + gamma), 1e-12), 0, 1)
    return np.asarray(np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2)
