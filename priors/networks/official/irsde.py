"""The conditional U-Net of IR-SDE (Luo et al. 2023, arXiv 2301.11699): no norm in the blocks, no bias, any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .ladder import Ladder, Layer, Parts, Shapes, TimeBlock, climb, ladder_widths
from .pieces import LinearAttention, reflect_to_multiple, relative, residual_attention


def plain(width_in: int, width_out: int, kernel: int) -> nn.Conv2d:
    """A convolution of the same size, without bias."""
    return nn.Conv2d(width_in, width_out, kernel, padding=kernel // 2, bias=False)


def linear_attention(width: int) -> nn.Module:
    """Linear attention with a residual connection."""
    return residual_attention(width, LinearAttention(width))


PARTS = Parts(
    block=lambda a, b: Layer(plain(a, b, 3)),
    shortcut=plain,
    plain=plain,
    attention=lambda _, width: linear_attention(width),
    middle=linear_attention,
)


class IRSDEUNet(Ladder):
    """forward(x, time, condition): pictures B x C x H x W in [0, 1], times B from 0 to T; gives the noise.

    The network sees (x - condition, condition). Any size: reflected to a multiple of 2^levels, cropped back.
    """

    def __init__(self, *, channels: int, channels_in: int, widths: Sequence[int], parts: Parts = PARTS) -> None:
        super().__init__(parts, 2 * channels_in, widths)
        self.multiple = 2 ** (len(widths) - 1)
        self.ups = self.decoder(parts, skips=True)
        self.final_res_block = TimeBlock(parts, 2 * widths[0], widths[0], self.time_width)
        self.final_conv = nn.Conv2d(widths[0], channels, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        return self.run(x, condition, self.time_mlp(time))

    def run(self, x: Tensor, condition: Tensor, embedded: Tensor, *context: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        seen = reflect_to_multiple(relative(x, condition), self.multiple)
        middle, stem, left = self.encode(seen, embedded, *context)
        out = climb(self.ups, middle, embedded, left, *context)
        out = self.final_conv(self.final_res_block(torch.cat([out, stem], dim=1), embedded))
        return out[..., :height, :width]


def recognise(shapes: Shapes) -> dict[str, Any]:
    """Settings of `IRSDEUNet` from the shapes of a released file."""
    return {
        "channels": shapes["final_conv.weight"][0],
        "channels_in": shapes["init_conv.weight"][1] // 2,
        "widths": ladder_widths(shapes),
    }
