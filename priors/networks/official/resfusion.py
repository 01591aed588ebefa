"""The U-Net of Resfusion (Shi et al. 2024, arXiv 2311.14900): RDDM's, one head."""

from __future__ import annotations

from typing import Any

from .ladder import Shapes, ladder_widths
from .rddm import RDDMUNet


class ResfusionUNet(RDDMUNet):
    """forward(x, time, condition[, mask]): pictures in [-1, 1], the mask one-hot in two channels of -1 and 1."""


def recognise(shapes: Shapes) -> dict[str, Any]:
    """Settings of `ResfusionUNet` from the shapes of a released file."""
    return {
        "channels": shapes["final_conv.weight"][0],
        "channels_in": shapes["init_conv.weight"][1],
        "widths": ladder_widths(shapes),
    }
