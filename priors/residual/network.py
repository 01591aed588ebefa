"""The compact U-Net as the predictor of any residual process, and its way to and from a weights file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from operators.common.settings import Positive

from . import from_table
from .prior import ResidualPrior, heads
from .process import Prediction, Process

GRAY_TO_RGB = 3
SMALL_PARTS = ("x0", "res", "residual")  # targets of the size of y - x0


class CompactPrior(ResidualPrior):
    """A process with a U-Net that sees (x_in, y) and the level of the time.

    network: priors.networks.unet.UNet with `unet_settings(process)`. gain: standard deviation of y - x0 in native
    units; heads that give a residual or a picture are scaled by it, and a picture is given as a correction of y, so
    that every output of the network itself is of size one. A gray picture is shown as three equal channels.
    """

    def __init__(self, network: nn.Module, process: Process, *, gain: Positive = 0.1) -> None:
        legal = (process.space.back(0.0), process.space.back(1.0))
        super().__init__(process, native_clip=legal, channels=(1, 3))
        self.network = network
        self.gain = gain

    def predict(self, x_t: Tensor, y_up: Tensor, t: float, *, condition: Tensor | None = None) -> Prediction:
        level = torch.full((x_t.shape[0],), self.process.level(t), device=x_t.device)
        seen = self.process.network_input(x_t, t)
        shown, beside = _three(seen).float(), _three(y_up).float()
        answers = outputs(self.network, self.process, shown, beside, level, gain=self.gain)
        if x_t.shape[1] == 1:
            answers = tuple(part.mean(1, keepdim=True) for part in answers)
        return self.process.read([part.to(x_t.dtype) for part in answers], x_t, y_up, t)


def outputs(
    network: nn.Module, process: Process, seen: Tensor, y: Tensor, level: Tensor, *, gain: float
) -> tuple[Tensor, ...]:
    """The heads of the network on `seen` and y (B x C x H x W) at B levels, in the units of their targets."""
    raw = network(torch.cat([seen, y], dim=1), level).float()
    parts = heads(raw.chunk(process.heads, dim=1), process)
    return tuple(_scaled(part, name, y, gain) for part, name in zip(parts, head_names(process), strict=True))


def _scaled(part: Tensor, name: str, y: Tensor, gain: float) -> Tensor:
    if name == "x0":
        return y + gain * part
    return gain * part if name in SMALL_PARTS else part


def head_names(process: Process) -> list[str]:
    """What each head gives: ["res", "noise"], ["x0"], ..."""
    objective = str(getattr(process, "objective", process.objectives[0]))
    return [objective] if process.heads == 1 else objective.split("_", 1)


def unet_settings(process: Process, base: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the U-Net for a process: `base` (widths, blocks, ...) with the channels that its heads need."""
    pictures = int(base.get("channels", GRAY_TO_RGB))
    wide = pictures * process.heads
    # A U-Net gives as many channels as `channels`; what comes in is x_t and y, two pictures.
    return {**base, "channels": wide, "condition_channels": 2 * pictures - wide}


def warm_start(network: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Names of the weights that another network's did not fit; all others are copied from it.

    The first convolution takes half of the other's for x_t and half for y; the last one starts at zero as in a fresh
    network, because its task is another.
    """
    own = network.state_dict()
    left: list[str] = []
    for name, value in own.items():
        start = weights.get(name)
        if name.startswith("leave.") or start is None:
            left.append(name)
        elif start.shape == value.shape:
            value.copy_(start)
        elif name == "enter.weight" and value.shape[1] == 2 * start.shape[1] and value.shape[0] == start.shape[0]:
            value.copy_(torch.cat([start, start], dim=1) / 2)
        else:
            left.append(name)
    network.load_state_dict(own)
    return left


def to_settings(process: Process, *, gain: float) -> dict[str, Any]:
    """What a weights file must say for `from_settings` to build the prior again."""
    return {"kind": "residual", "process": process.kind, "settings": dataclasses.asdict(process), "gain": gain}


def from_settings(network: nn.Module, table: Mapping[str, Any]) -> ResidualPrior:
    """The prior of a weights file."""
    return CompactPrior(network, from_table(table["process"], table["settings"]), gain=float(table["gain"]))


def _three(x: Tensor) -> Tensor:
    return x.expand(-1, GRAY_TO_RGB, -1, -1) if x.shape[1] == 1 else x
