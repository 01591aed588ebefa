"""Three colour scales as small tables of anchors: sequential, diverging around grey, and cyclic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Ten equidistant colours of viridis (S. van der Walt, N. Smith 2015, CC0): equal steps look equal, also without colour.
SEQUENTIAL = (
    (68, 1, 84),
    (72, 40, 120),
    (62, 74, 137),
    (49, 104, 142),
    (38, 130, 142),
    (31, 158, 137),
    (53, 183, 121),
    (109, 205, 89),
    (180, 222, 44),
    (253, 231, 37),
)
# Blue below zero, grey at zero, red above: told apart with every common colour blindness.
DIVERGING = ((16, 62, 150), (98, 143, 204), (200, 200, 200), (224, 132, 84), (150, 30, 16))
# The ends meet, so that a phase of -pi and one of pi look the same.
CYCLIC = ((214, 96, 77), (224, 190, 80), (90, 174, 97), (67, 147, 195), (142, 90, 170), (214, 96, 77))

Anchors = Sequence[tuple[int, int, int]]


def paint(values: np.ndarray, anchors: Anchors) -> np.ndarray:
    """Colours for values in [0, 1] (any shape; clipped), uint8 with a last axis of 3. 256 colours at most."""
    places = np.linspace(0, 1, len(anchors))
    levels = np.linspace(0, 1, 256)
    table = np.stack([np.interp(levels, places, channel) for channel in np.transpose(anchors)], axis=-1)
    index = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    colours: np.ndarray = np.rint(table).astype(np.uint8)[index]
    return colours


def css_gradient(anchors: Anchors) -> str:
    """The scale as a CSS background, from left to right."""
    return f"linear-gradient(to right, {', '.join(f'rgb({r}, {g}, {b})' for r, g, b in anchors)})"
