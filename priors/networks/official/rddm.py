"""The U-Nets of RDDM (Liu et al. 2024, arXiv 2308.13712): weight-standardised convolutions, group norm, two heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators.common.errors import BadInput

from ..unet import mirror_to_multiple
from .ladder import Ladder, Layer, Parts, Shapes, TimeBlock, climb, ladder_widths
from .pieces import FullAttention, LinearAttention, joined, residual_attention

GROUPS = 8  # of every group norm, as published; a setting of the training script, which no state dict carries


class StandardisedConv(nn.Conv2d):
    """Convolution whose filters are brought to mean 0 and variance 1 (Qiao et al. 2019, arXiv 1903.10520)."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.float()
        mean = weight.mean(dim=(1, 2, 3), keepdim=True)
        variance = weight.var(dim=(1, 2, 3), unbiased=False, keepdim=True)
        weight = ((weight - mean) * (variance + 1e-5).rsqrt()).to(self.weight.dtype)
        return F.conv2d(x, weight, self.bias, padding=self.padding)


def plain(width_in: int, width_out: int, kernel: int) -> nn.Conv2d:
    """A convolution of the same size, with bias."""
    return nn.Conv2d(width_in, width_out, kernel, padding=kernel // 2)


def parts_of(groups: int) -> Parts:
    """The parts that hang in the ladder, with group norms of so many groups."""
    return Parts(
        block=lambda a, b: Layer(StandardisedConv(a, b, 3, padding=1), nn.GroupNorm(groups, b)),
        shortcut=plain,
        plain=plain,
        attention=lambda _, width: residual_attention(width, LinearAttention(width)),
        middle=lambda width: residual_attention(width, FullAttention(width)),
    )


class RDDMUNet(Ladder):
    """One U-Net with one head; RDDM holds one or two of them, Resfusion one.

    forward(x, time, conditions...): the state B x channels x H x W, times B, pictures that join it on channels to
    channels_in; gives B x channels x H x W. Any H and W: mirrored up to a multiple of 2^(levels - 1), where the
    released code asks for divisible sides, and cropped back.
    """

    def __init__(self, *, channels: int, channels_in: int, widths: Sequence[int], groups: int = GROUPS) -> None:
        parts = parts_of(groups)
        super().__init__(parts, channels_in, widths)
        self.multiple = 2 ** (len(widths) - 2)
        self.ups = self.decoder(parts, skips=True)
        self.final_res_block = TimeBlock(parts, 2 * widths[0], widths[0], self.time_width)
        self.final_conv = nn.Conv2d(widths[0], channels, 1)

    def forward(self, x: Tensor, time: Tensor, *conditions: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        embedded = self.time_mlp(time)
        middle, stem, left = self.encode(mirror_to_multiple(joined(x, *conditions), self.multiple), embedded)
        out = climb(self.ups, middle, embedded, left)
        out = self.final_conv(self.final_res_block(torch.cat([out, stem], dim=1), embedded))
        return out[..., :height, :width]


class SharedEncoder(Ladder):
    """Two heads on one encoder: the first (residual) decodes the middle alone, the second (noise) with skips."""

    def __init__(self, *, channels: int, channels_in: int, widths: Sequence[int], groups: int = GROUPS) -> None:
        parts = parts_of(groups)
        super().__init__(parts, channels_in, widths)
        self.multiple = 2 ** (len(widths) - 2)
        self.ups_no_skip = self.decoder(parts, skips=False)
        self.final_res_block_1 = TimeBlock(parts, widths[0], widths[0], self.time_width)
        self.final_conv_1 = nn.Conv2d(widths[0], channels, 1)
        self.ups = self.decoder(parts, skips=True)
        self.final_res_block_2 = TimeBlock(parts, 2 * widths[0], widths[0], self.time_width)
        self.final_conv_2 = nn.Conv2d(widths[0], channels, 1)

    def forward(self, x: Tensor, time: Tensor, *conditions: Tensor) -> tuple[Tensor, Tensor]:
        height, width = x.shape[-2:]
        embedded = self.time_mlp(time)
        middle, stem, left = self.encode(mirror_to_multiple(joined(x, *conditions), self.multiple), embedded)
        first = self.final_res_block_1(climb(self.ups_no_skip, middle, embedded, ()), embedded)
        second = torch.cat([climb(self.ups, middle, embedded, left), stem], dim=1)
        second = self.final_res_block_2(second, embedded)
        return (
            self.final_conv_1(first)[..., :height, :width],
            self.final_conv_2(second)[..., :height, :width],
        )


class SeparateUNets(nn.Module):
    """One or two independent U-Nets, `unet0` and `unet1`; gives a tuple of their heads."""

    def __init__(
        self, *, count: int, channels: int, channels_in: int, widths: Sequence[int], groups: int = GROUPS
    ) -> None:
        super().__init__()
        for index in range(count):
            network = RDDMUNet(channels=channels, channels_in=channels_in, widths=widths, groups=groups)
            self.add_module(f"unet{index}", network)

    def forward(self, x: Tensor, time: Tensor, *conditions: Tensor) -> tuple[Tensor, ...]:
        return tuple(network(x, time, *conditions) for network in self.children())


def rddm(*, encoder: str, channels: int, channels_in: int, widths: Sequence[int], groups: int = GROUPS) -> nn.Module:
    """`encoder`: "single" (one network, one head), "two" (two networks) or "shared" (one encoder, two decoders).

    forward(x, time, conditions...) -> tuple of heads; the conditions are the measurement and, where the network was
    trained with one, a further picture such as a mask. groups: of every group norm.
    """
    if encoder == "shared":
        return SharedEncoder(channels=channels, channels_in=channels_in, widths=widths, groups=groups)
    if encoder not in ("single", "two"):
        raise BadInput(f"encoder is {encoder!r}", wanted="'single', 'two' or 'shared'")
    count = 2 if encoder == "two" else 1
    return SeparateUNets(count=count, channels=channels, channels_in=channels_in, widths=widths, groups=groups)


def recognise(shapes: Shapes) -> dict[str, Any]:
    """Settings of `rddm` from the shapes of a released file; KeyError names the first key that is not there."""
    if "ups_no_skip.0.3.1.weight" in shapes or "final_conv_1.weight" in shapes:
        encoder, prefix, head = "shared", "", "final_conv_1.weight"
    else:
        encoder = "two" if any(key.startswith("unet1.") for key in shapes) else "single"
        prefix, head = "unet0.", "unet0.final_conv.weight"
    return {
        "encoder": encoder,
        "channels": shapes[head][0],
        "channels_in": shapes[f"{prefix}init_conv.weight"][1],
        "widths": ladder_widths(shapes, prefix),
    }
