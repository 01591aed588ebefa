"""Holes filled so that the bilaplacian vanishes there, which continues slopes through them.

S. B. Damelin, N. S. Hoang 2018, doi:10.1155/2018/3950312, as skimage.restoration.inpaint_biharmonic solves it.

    Lap^2 x = 0 where nothing was measured,     x = y elsewhere

Any operator that leaves pixels out and changes none of the others, any noise (what was measured stays). No settings, no
network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from operators import BadInput

from ..parts.one_step import OneStep

if TYPE_CHECKING:
    from ...problem import Problem


@dataclass(frozen=True)
class Biharmonic(OneStep):
    """The measured pixels, and between them the smoothest surface in the sense of thin plates."""

    def answer(self, problem: Problem) -> tuple[Tensor, Mapping[str, float]]:
        return filled(problem), {}


def filled(problem: Problem) -> Tensor:
    """y (B x C x H x W) with its holes filled, zeros where all is a hole; BadInput where nothing is missing."""
    from skimage.restoration import inpaint_biharmonic

    observed = problem.operator.observed
    if observed is None or tuple(problem.operator.output_shape) != tuple(problem.operator.input_shape):
        raise BadInput(
            "nothing is missing from this measurement",
            do="Choose another solver, or another baseline, for this operator.",
        )
    keep = observed.expand(problem.y.shape)
    pictures = []
    for y, there in zip(problem.y, keep, strict=True):
        # One mask serves all channels: a pixel is missing where any channel of it is.
        holes = ~there.all(0)
        if bool(holes.all()):  # nothing to continue from
            pictures.append(torch.zeros_like(y))
            continue
        picture = inpaint_biharmonic(
            y.double().cpu().numpy(), holes.cpu().numpy(), split_into_regions=True, channel_axis=0
        )
        pictures.append(torch.from_numpy(picture).to(problem.y))
    return torch.stack(pictures)
