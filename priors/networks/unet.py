"""A compact noise-conditional U-Net: convolutions, a noise embedding, no normalisation, no attention."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FourierEmbedding(nn.Module):
    """Scalar condition (B) -> sinusoids (B x features), frequencies spaced geometrically."""

    frequencies: Tensor

    def __init__(self, features: int, *, highest: float = 64.0) -> None:
        super().__init__()
        if features % 2:
            raise ValueError(f"features must be even, not {features}")
        ramp = torch.linspace(0.0, 1.0, features // 2)
        self.register_buffer("frequencies", 0.5 * (2 * highest) ** ramp, persistent=False)

    def forward(self, condition: Tensor) -> Tensor:
        phase = condition.float()[:, None] * self.frequencies[None, :]
        return torch.cat([phase.cos(), phase.sin()], dim=1)


class ResidualBlock(nn.Module):
    """x + conv(silu(scale * conv(silu(x)) + shift)); scale and shift come from the noise embedding."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * width)
        # A block that starts as the identity lets a deep stack without normalisation train from step one.
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        scale, shift = self.modulation(embedded).chunk(2, dim=1)
        if len(embedded) == 1:
            # One level for all pictures: scale and shift join the convolution and cost no pass over the picture.
            weight = self.first.weight * (1 + scale[0])[:, None, None, None]
            bias = torch.addcmul(self.first.bias + shift[0], self.first.bias, scale[0])  # type: ignore[arg-type]
            hidden = F.conv2d(F.silu(x), weight, bias, padding=1)
        else:
            hidden = self.first(F.silu(x))
            hidden = torch.addcmul(hidden + shift[..., None, None], hidden, scale[..., None, None])
        return self.second(F.silu(hidden, inplace=not torch.is_grad_enabled())).add_(x)


class UNet(nn.Module):
    """Residual U-Net on the pixel-unshuffled picture.

    Parameters
    ----------
    channels: channels of the picture that comes in and goes out.
    condition_channels: further input channels on the same grid (a measurement); 0 for an unconditional prior.
    widths: channels at each resolution, finest first; each level halves the grid of the one before.
    blocks: residual blocks of each level, on the way down and again on the way up (once at the coarsest).
    unshuffle: the picture enters as unshuffle^2 times the channels on a grid that many times smaller.
    embedding: width of the noise embedding.

    Input B x (channels + condition_channels) x H x W and a condition of shape B; output B x channels x H x W.
    Any H and W: the picture is mirrored up to a multiple of `multiple` and cropped back.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        condition_channels: int = 0,
        widths: Sequence[int] = (64, 96, 128),
        blocks: Sequence[int] = (2, 2, 4),
        unshuffle: int = 2,
        embedding: int = 256,
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks):
            raise ValueError(f"widths and blocks differ in length: {len(widths)} and {len(blocks)}")
        self.unshuffle = unshuffle
        self.multiple = unshuffle * 2 ** (len(widths) - 1)
        packed_in = (channels + condition_channels) * unshuffle**2
        packed_out = channels * unshuffle**2
        self.embed = nn.Sequential(
            FourierEmbedding(64), nn.Linear(64, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.enter = nn.Conv2d(packed_in, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.ModuleList(ResidualBlock(width, embedding) for _ in range(count))
            for width, count in zip(widths[:-1], blocks[:-1], strict=True)
        )
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in itertools.pairwise(widths))
        self.bottom = nn.ModuleList(ResidualBlock(widths[-1], embedding) for _ in range(blocks[-1]))
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(
            nn.ModuleList(ResidualBlock(width, embedding) for _ in range(count))
            for width, count in zip(widths[:-1], blocks[:-1], strict=True)
        )
        self.leave = nn.Conv2d(widths[0], packed_out, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = mirror_to_multiple(x, self.multiple).contiguous(memory_format=torch.channels_last)
        embedded = self.embed(condition[:1] if len(condition) > 1 and _all_equal(condition) else condition)
        hidden = self.enter(F.pixel_unshuffle(x, self.unshuffle))
        skips = []
        for level, shrink in zip(self.down, self.shrink, strict=True):
            for block in level:  # type: ignore[attr-defined]
                hidden = block(hidden, embedded)
            skips.append(hidden)
            hidden = shrink(hidden)
        for block in self.bottom:
            hidden = block(hidden, embedded)
        for level, grow, skip in zip(reversed(self.up), reversed(self.grow), reversed(skips), strict=True):
            hidden = F.pixel_shuffle(grow(hidden), 2) + skip
            for block in level:  # type: ignore[attr-defined]
                hidden = block(hidden, embedded)
        out = F.pixel_shuffle(self.leave(F.silu(hidden)), self.unshuffle)
        return out[..., :height, :width]


def _all_equal(values: Tensor) -> bool:
    return bool((values == values[0]).all())


def mirror_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend bottom and right by half-sample mirroring so that both sides are multiples of `multiple`."""
    for axis in (-2, -1):
        size = x.shape[axis]
        target = math.ceil(size / multiple) * multiple
        if target != size:
            index = torch.arange(target, device=x.device) % (2 * size)
            x = x.index_select(axis, torch.where(index < size, index, 2 * size - 1 - index))
    return x
