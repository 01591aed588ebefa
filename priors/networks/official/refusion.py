"""The conditional NAFNet of Refusion (Luo et al. 2023, arXiv 2304.08291): gates in place of activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .ladder import Shapes
from .pieces import ChannelNorm, Sinusoids, relative, zeros_to_multiple


class Gate(nn.Module):
    """One half of the channels times the other."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return first * second


class GatedBlock(nn.Module):
    """Depthwise convolution with channel attention, then a pointwise layer; the time scales and shifts both."""

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(Gate(), nn.Linear(time_width // 2, 4 * width))
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.conv3 = nn.Conv2d(width, width, 1)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1))
        self.gate = Gate()
        self.conv4 = nn.Conv2d(width, 2 * width, 1)
        self.conv5 = nn.Conv2d(width, width, 1)
        self.norm1, self.norm2 = ChannelNorm(width), ChannelNorm(width)
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift1, scale1, shift2, scale2 = self.mlp(time)[:, :, None, None].chunk(4, dim=1)
        hidden = self.norm1(x) * (scale1 + 1) + shift1
        hidden = self.gate(self.conv2(self.conv1(hidden)))
        x = x + self.conv3(hidden * self.sca(hidden)) * self.beta
        hidden = self.norm2(x) * (scale2 + 1) + shift2
        return x + self.conv5(self.gate(self.conv4(hidden))) * self.gamma


class RefusionNAFNet(nn.Module):
    """forward(x, time, condition) as `IRSDEUNet`; any size: zeros up to a multiple of 2^levels, cropped back.

    encoders, decoders: blocks per level, the decoders' from coarse to fine; middle: blocks at the coarsest grid.
    """

    def __init__(
        self,
        *,
        channels: int,
        channels_in: int,
        width: int,
        encoders: Sequence[int],
        middle: int,
        decoders: Sequence[int],
    ) -> None:
        super().__init__()
        self.multiple = 2 ** len(encoders)
        time = 4 * width
        self.time_mlp = nn.Sequential(Sinusoids(width), nn.Linear(width, 2 * time), Gate(), nn.Linear(time, time))
        self.intro = nn.Conv2d(2 * channels_in, width, 3, padding=1)
        self.ending = nn.Conv2d(width, channels, 3, padding=1)

        def blocks(count: int, features: int) -> nn.ModuleList:
            return nn.ModuleList(GatedBlock(features, time) for _ in range(count))

        wide = [width * 2**level for level in range(len(encoders) + 1)]
        self.encoders = nn.ModuleList(blocks(n, w) for n, w in zip(encoders, wide, strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, 2) for w in wide[:-1])
        self.middle_blks = blocks(middle, wide[-1])
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, 2 * w, 1, bias=False), nn.PixelShuffle(2)) for w in reversed(wide[1:])
        )
        self.decoders = nn.ModuleList(blocks(n, w) for n, w in zip(decoders, reversed(wide[:-1]), strict=True))

    def forward(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        embedded = self.time_mlp(time)
        hidden = self.intro(zeros_to_multiple(relative(x, condition), self.multiple))
        left = []
        for level, down in zip(self.encoders, self.downs, strict=True):
            hidden = run(level, hidden, embedded)  # type: ignore[arg-type]
            left.append(hidden)
            hidden = down(hidden)
        hidden = run(self.middle_blks, hidden, embedded)
        for level, up, skip in zip(self.decoders, self.ups, reversed(left), strict=True):
            hidden = run(level, up(hidden) + skip, embedded)  # type: ignore[arg-type]
        return self.ending(hidden)[..., :height, :width]


def run(blocks: nn.ModuleList, x: Tensor, time: Tensor) -> Tensor:
    """The features after all blocks, each of which sees the time."""
    for block in blocks:
        x = block(x, time)
    return x


def recognise(shapes: Shapes) -> dict[str, Any]:
    """Settings of `RefusionNAFNet` from the shapes of a released file."""

    def count(prefix: str) -> int:
        number = 0
        while f"{prefix}.{number}.conv1.weight" in shapes:
            number += 1
        return number

    levels = 0
    while f"downs.{levels}.weight" in shapes:
        levels += 1
    return {
        "channels": shapes["ending.weight"][0],
        "channels_in": shapes["intro.weight"][1] // 2,
        "width": shapes["intro.weight"][0],
        "encoders": [count(f"encoders.{level}") for level in range(levels)],
        "middle": count("middle_blks"),
        "decoders": [count(f"decoders.{level}") for level in range(levels)],
    }
