"""The U-Net shape that RDDM, Resfusion, IR-SDE and DA-CLIP share; they differ in the parts they hang into it.

Each level: two residual blocks and an attention; on the way up both blocks take the two features that the way down
left at that level. The last level keeps its grid: its step to the next width is a 3x3 convolution.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .pieces import Sinusoids

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Parts:
    """What differs between the layouts.

    block: (channels in, channels out) of one convolution layer, with `proj` and perhaps `norm`.
    shortcut, plain: (in, out, kernel) convolutions beside a block, and without change of grid.
    attention: (level, width); middle: (width).
    """

    block: Callable[[int, int], nn.Module]
    shortcut: Callable[[int, int, int], nn.Module]
    plain: Callable[[int, int, int], nn.Module]
    attention: Callable[[int, int], nn.Module]
    middle: Callable[[int], nn.Module]


class Layer(nn.Module):
    """Convolution, norm, scale and shift, SiLU."""

    def __init__(self, proj: nn.Module, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.proj = proj
        self.norm = norm if norm is not None else nn.Identity()

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        x = self.norm(self.proj(x))
        if scale is not None and shift is not None:
            x = x * (scale + 1) + shift
        return nn.functional.silu(x)


class TimeBlock(nn.Module):
    """Two layers and a shortcut; the time embedding scales and shifts the first."""

    def __init__(self, parts: Parts, width_in: int, width_out: int, time_width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_width, 2 * width_out))
        self.block1 = parts.block(width_in, width_out)
        self.block2 = parts.block(width_out, width_out)
        self.res_conv = parts.shortcut(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.mlp(time)[:, :, None, None].chunk(2, dim=1)
        return self.block2(self.block1(x, scale, shift)) + self.res_conv(x)


class Ladder(nn.Module):
    """Stem, way down, middle: everything up to where decoders begin.

    widths: channels of the stem and of each further level, finest first.
    """

    def __init__(self, parts: Parts, channels_in: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.time_width = 4 * widths[0]
        self.init_conv = parts.plain(channels_in, widths[0], 7)
        self.time_mlp = nn.Sequential(
            Sinusoids(widths[0]),
            nn.Linear(widths[0], self.time_width),
            nn.GELU(),
            nn.Linear(self.time_width, self.time_width),
        )
        last = len(widths) - 2
        self.downs = nn.ModuleList()
        for level, (fine, coarse) in enumerate(itertools.pairwise(widths)):
            step = nn.Conv2d(fine, coarse, 4, 2, 1) if level < last else parts.plain(fine, coarse, 3)
            blocks = [TimeBlock(parts, fine, fine, self.time_width) for _ in range(2)]
            self.downs.append(nn.ModuleList([*blocks, parts.attention(level, fine), step]))
        self.mid_block1 = TimeBlock(parts, widths[-1], widths[-1], self.time_width)
        self.mid_attn = parts.middle(widths[-1])
        self.mid_block2 = TimeBlock(parts, widths[-1], widths[-1], self.time_width)

    def decoder(self, parts: Parts, *, skips: bool) -> nn.ModuleList:
        """Levels from coarse to fine; with `skips` each block also takes what the way down left."""
        levels = nn.ModuleList()
        for level, (fine, coarse) in reversed(list(enumerate(itertools.pairwise(self.widths)))):
            step = upsample(coarse, fine) if level > 0 else parts.plain(coarse, fine, 3)
            width_in = coarse + fine if skips else coarse
            blocks = [TimeBlock(parts, width_in, coarse, self.time_width) for _ in range(2)]
            levels.append(nn.ModuleList([*blocks, parts.attention(level, coarse), step]))
        return levels

    def encode(self, x: Tensor, time: Tensor, *context: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """(middle features, stem features, features left for the way up) of a padded picture."""
        x = stem = self.init_conv(x)
        left = []
        for level in self.downs:
            block1, block2, attention, step = level.children()
            x = block1(x, time)
            left.append(x)
            x = attention(block2(x, time), *context)
            left.append(x)
            x = step(x)
        x = self.mid_attn(self.mid_block1(x, time), *context)
        return self.mid_block2(x, time), stem, left


def climb(levels: nn.ModuleList, x: Tensor, time: Tensor, left: Sequence[Tensor], *context: Tensor) -> Tensor:
    """The way up; an empty `left` for a decoder without skips."""
    rest = list(left)
    for level in levels:
        block1, block2, attention, step = level.children()
        x = block1(torch.cat([x, rest.pop()], 1) if left else x, time)
        x = block2(torch.cat([x, rest.pop()], 1) if left else x, time)
        x = step(attention(x, *context))
    return x


def upsample(width_in: int, width_out: int) -> nn.Module:
    """Nearest-neighbour upsampling by 2 and a 3 x 3 convolution."""
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(width_in, width_out, 3, padding=1))


def ladder_widths(shapes: Shapes, prefix: str = "") -> tuple[int, ...]:
    """Widths told by the keys of a released file: the stem's, then that of each step down."""
    widths = [shapes[f"{prefix}init_conv.weight"][0]]
    while (key := f"{prefix}downs.{len(widths) - 1}.3.weight") in shapes:
        widths.append(shapes[key][0])
    return tuple(widths)
