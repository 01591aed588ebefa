"""Dark frames: what the camera adds when no light falls on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from operators import BadInput

from .lines import row_deviation


@dataclass(frozen=True)
class DarkNoise:
    """What dark frames say.

    frames: how many. pedestal: mean of each channel. read: standard deviation of a pixel from frame to frame, row
    noise taken out. rows: row noise. fixed: standard deviation over the pixels of what all frames share (None for one
    frame, where read holds it too). tails: excess kurtosis of the read noise, 0 for normal.
    """

    frames: int
    pedestal: tuple[float, ...]
    read: float
    rows: float
    fixed: float | None
    tails: float


def dark_noise(frames: Sequence[Tensor]) -> DarkNoise:
    """Read noise, row noise and fixed pattern of dark frames, each C x H x W and of one shape.

    With two frames or more the mean over frames is what they share; what is left of n frames has (n - 1)/n of the
    variance. The row means of W pixels hold read^2 / W, which is taken off the row noise.
    """
    if not frames:
        raise BadInput("no dark frame", do="Name one file at least with --dark.")
    shapes = {tuple(frame.shape) for frame in frames}
    if len(shapes) > 1:
        raise BadInput(f"dark frames of shapes {sorted(shapes)}", wanted="one shape for all of them")
    stack = torch.stack([frame.double() for frame in frames])
    count = len(stack)
    shared = stack.mean(0) if count > 1 else stack.mean((0, 2, 3)).view(-1, 1, 1).expand_as(stack[0])
    scale = math.sqrt(count / (count - 1)) if count > 1 else 1.0
    moving = (stack - shared) * scale
    rows = row_deviation(moving)
    pixels = moving - moving.mean(-1, keepdim=True)
    width = stack.shape[-1]
    variance = float(pixels.square().mean()) * width / max(width - 1, 1)
    tails = float(pixels.pow(4).mean()) / float(pixels.square().mean()) ** 2 - 3 if variance > 0 else 0.0
    fixed = None
    if count > 1:
        spatial = float((shared - shared.mean((-2, -1), keepdim=True)).square().mean())
        fixed = math.sqrt(max(0.0, spatial - (variance + rows**2) / count))
    pedestal = tuple(stack.mean((0, 2, 3)).tolist())
    return DarkNoise(count, pedestal, math.sqrt(variance), rows, fixed, tails)
