"""The ramp filter of filtered back-projection with its windows.

Kak, Slaney, "Principles of Computerized Tomographic Imaging", 1988, equation 3.61: the band-limited ramp sampled in
space (1 / 4 ds^2 at 0, -1 / (pi k ds)^2 for odd k), so that the mean comes out right.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np

from ..common.settings import OneOf, check
from .redundancy import redundancy, view_weights

__all__ = ["WINDOWS", "padded", "ramp", "redundancy", "view_weights"]

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
