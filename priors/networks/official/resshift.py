"""The Swin U-Net of ResShift (Yue et al. 2023, arXiv 2307.12348).

Group-norm residual blocks, Swin layers, a low-quality picture that joins the state on channels after its own encoder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators.common.errors import BadInput

from ..unet import mirror_to_multiple
from .ladder import Shapes
from .pieces import joined
from .swin import MASKS, NORM_GROUPS, GroupNormFloat, SwinLayer, shift_mask
from .vqgan import VQGAN

ENCODER_WIDTH = 16


class SwinUNet(nn.Module):
    """What predicts x0 from the state, its time and the low-quality picture.

    forward(x, time, lq[, mask]): the state B x C x H x W, times B, the low-quality picture in [-1, 1], a mask for
    inpainting (one channel, 1 where pixels are missing, -1 elsewhere).
    image_size: side of the state it was trained on. lq_stages: halvings between the grid of `lq` and that of the
    state; 0 where both share one. lq_channels: of picture and mask together. swin: for each level, whether its first
    residual block carries a Swin layer. groups: of every group norm. mask: kind of `shift_mask` of shifted windows. Any
    size: state and picture are mirrored up to whole windows and cropped back.
    """

    def __init__(
        self,
        *,
        channels_in: int,
        channels: int,
        width: int,
        multipliers: Sequence[int],
        blocks: Sequence[int],
        swin: Sequence[bool],
        image_size: int,
        lq_stages: int,
        lq_channels: int,
        embedding: int,
        depth: int,
        heads: int,
        window: int,
        mlp_ratio: float,
        groups: int = NORM_GROUPS,
        mask: str = "released",
    ) -> None:
        super().__init__()
        self.width, self.lq_scale, self.lq_channels, self.mask = width, 2**lq_stages, lq_channels, mask
        self.multiple = max(min(window, image_size >> level) << level for level in range(len(multipliers)))
        time = 4 * width
        self.time_embed = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        self.feature_extractor = picture_encoder(lq_channels, lq_stages)
        entering = channels_in + (ENCODER_WIDTH * 2**lq_stages if lq_stages else lq_channels)

        def layer(features: int, level: int) -> SwinLayer:
            return SwinLayer(
                features,
                embedding=embedding,
                depth=depth,
                heads=heads,
                window=window,
                resolution=image_size >> level,
                mlp_ratio=mlp_ratio,
                groups=groups,
                mask=mask,
            )

        def norms(entering: int, features: int) -> TimeNormBlock:
            return TimeNormBlock(entering, features, time, groups)

        self.input_blocks = nn.ModuleList([Stage(nn.Conv2d(entering, width, 3, padding=1))])
        left, features = [width], width
        for level, multiplier in enumerate(multipliers):
            for index in range(blocks[level]):
                block = norms(features, multiplier * width)
                features = multiplier * width
                carried = [layer(features, level)] if swin[level] and index == 0 else []
                self.input_blocks.append(Stage(block, *carried))
                left.append(features)
            if level < len(multipliers) - 1:
                self.input_blocks.append(Stage(Halve(features, features)))
                left.append(features)
        middle = len(multipliers) - 1
        self.middle_block = Stage(norms(features, features), layer(features, middle), norms(features, features))
        self.output_blocks = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for index in range(blocks[level] + 1):
                parts: list[nn.Module] = [norms(features + left.pop(), multiplier * width)]
                features = multiplier * width
                if swin[level] and index == 0:
                    parts.append(layer(features, level))
                if level > 0 and index == blocks[level]:
                    parts.append(Double(features))
                self.output_blocks.append(Stage(*parts))
        self.out = nn.Sequential(
            GroupNormFloat(features, groups), nn.SiLU(), nn.Conv2d(features, channels, 3, padding=1)
        )

    def forward(self, x: Tensor, time: Tensor, *lq: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        seen = joined(*lq)
        if seen.shape[1] != self.lq_channels:
            raise BadInput(
                f"the low-quality picture and its mask have {seen.shape[1]} channels",
                wanted=f"{self.lq_channels} (3, and 1 for a mask)",
            )
        if seen.shape[-2:] != (height * self.lq_scale, width * self.lq_scale):
            raise BadInput(
                f"the low-quality picture is {tuple(seen.shape[-2:])} beside a state of {(height, width)}",
                wanted=f"{self.lq_scale} times the state's sides",
            )
        features = self.feature_extractor(mirror_to_multiple(seen, self.multiple * self.lq_scale))
        hidden = torch.cat([mirror_to_multiple(x, self.multiple), features], dim=1)
        embedded = self.time_embed(cosines(time, self.width).to(x.dtype))
        left = []
        for block in self.input_blocks:
            hidden = block(hidden, embedded)
            left.append(hidden)
        hidden = self.middle_block(hidden, embedded)
        for block in self.output_blocks:
            hidden = block(torch.cat([hidden, left.pop()], dim=1), embedded)
        return self.out(hidden)[..., :height, :width]


class Stage(nn.ModuleList):
    """Parts in a row; the residual blocks among them also take the time embedding."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__(parts)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        for part in self:
            x = part(x, time) if isinstance(part, TimeNormBlock) else part(x)
        return x


class TimeNormBlock(nn.Module):
    """Norm, SiLU, convolution, twice, plus a shortcut; the time scales and shifts the second norm."""

    def __init__(self, width_in: int, width_out: int, time: int, groups: int = NORM_GROUPS) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            GroupNormFloat(width_in, groups), nn.SiLU(), nn.Conv2d(width_in, width_out, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, 2 * width_out))
        # Identity stands where the released code keeps a dropout, which does nothing here but counts in the keys.
        self.out_layers = nn.Sequential(
            GroupNormFloat(width_out, groups), nn.SiLU(), nn.Identity(), nn.Conv2d(width_out, width_out, 3, padding=1)
        )
        self.skip_connection = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.emb_layers(time)[:, :, None, None].chunk(2, dim=1)
        norm, *rest = self.out_layers
        hidden = norm(self.in_layers(x)) * (1 + scale) + shift
        for layer in rest:
            hidden = layer(hidden)
        return self.skip_connection(x) + hidden


class Halve(nn.Module):
    """Half the size, by a convolution of stride 2."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width_in, width_out, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Double(nn.Module):
    """Twice the size: pixels repeated, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


def picture_encoder(channels: int, stages: int) -> nn.Sequential:
    """Brings the low-quality picture to the grid of the state: convolution, SiLU, halving, `stages` times."""
    layers: list[nn.Module] = []
    for stage in range(stages):
        width = ENCODER_WIDTH * 2**stage
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.SiLU(), Halve(width, 2 * width)]
        channels = 2 * width
    return nn.Sequential(*layers)


def cosines(time: Tensor, width: int) -> Tensor:
    """Times (B) -> B x width: cosines, then sines, frequencies 1e4^(-i / half)."""
    half = width // 2
    ramp = torch.arange(half, device=time.device, dtype=torch.float32)
    phase = time.float()[:, None] * torch.exp(ramp * (-math.log(10000) / half))[None, :]
    return torch.cat([phase.cos(), phase.sin()], dim=1)


def recognise(shapes: Shapes) -> dict[str, Any]:
    """Settings of `SwinUNet` from the shapes of a released file; KeyError names the first key that is not there."""
    width, entering = shapes["input_blocks.0.0.weight"][:2]
    multipliers: list[int] = []
    blocks: list[int] = []
    swin: list[bool] = []
    tables: list[tuple[int, ...]] = []
    sides: list[int] = []
    index, fresh = 1, True
    while (
        key := f"input_blocks.{index}.0.in_layers.2.weight"
    ) in shapes or f"input_blocks.{index}.0.op.weight" in shapes:
        if key not in shapes:
            fresh = True
        else:
            table = shapes.get(f"input_blocks.{index}.1.blocks.0.attn.relative_position_bias_table")
            if fresh:
                multipliers.append(shapes[key][0] // width)
                blocks.append(0)
                swin.append(table is not None)
                fresh = False
            if table is not None:
                level = len(blocks) - 1
                tables.append(table)
                mask = shapes.get(f"input_blocks.{index}.1.blocks.1.attn_mask")
                # windows x pixels of one is the grid; without a mask one window covers the whole of it
                side = math.isqrt(mask[0] * mask[1]) if mask is not None else (math.isqrt(table[0]) + 1) // 2
                sides.append(side << level)
            blocks[-1] += 1
        index += 1
    first = shapes["middle_block.1.blocks.0.attn.qkv.weight"]
    depth = 0
    while f"middle_block.1.blocks.{depth}.attn.qkv.weight" in shapes:
        depth += 1
    stages = 0
    while f"feature_extractor.{3 * stages}.weight" in shapes:
        stages += 1
    channels = shapes["out.2.weight"][0]
    tables.append(shapes["middle_block.1.blocks.0.attn.relative_position_bias_table"])
    return {
        "channels_in": entering - ENCODER_WIDTH * 2**stages if stages else channels,
        "channels": channels,
        "width": width,
        "multipliers": multipliers,
        "blocks": blocks,
        "swin": swin,
        "image_size": max(sides, default=64),
        "lq_stages": stages,
        "lq_channels": shapes["feature_extractor.0.weight"][1] if stages else entering - channels,
        "embedding": first[1],
        "depth": depth,
        "heads": tables[0][1],
        "window": (max(math.isqrt(table[0]) for table in tables) + 1) // 2,
        "mlp_ratio": shapes["middle_block.1.blocks.0.mlp.fc1.weight"][0] / first[1],
    }


def told_by_values(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Settings of `SwinUNet` that values tell: the kind of the stored masks of shifted windows, which other sizes need.

    state: of the shapes that `recognise` tells. BadInput where a mask is of no kind, or two are of different kinds.
    """
    kinds: dict[str, str] = {}
    for key, stored in state.items():
        if not key.endswith("attn_mask"):
            continue
        window, side = math.isqrt(stored.shape[1]), math.isqrt(stored.shape[0] * stored.shape[1])
        for kind in MASKS:
            if torch.equal(stored.float(), shift_mask(side, side, window, window // 2, kind)):
                kinds[kind] = key
                break
        else:
            raise BadInput(
                f"{key} is neither the mask of shifted windows that ResShift computes nor the textbook one",
                wanted="one of them: the mask at sizes other than the stored one follows from it",
                do="Fetch the file again; a network with masks of its own is not supported.",
            )
    if len(kinds) > 1:
        raise BadInput(
            f"the masks of shifted windows are of two kinds: {kinds['released']} is ResShift's, {kinds['textbook']} "
            "the textbook one",
            wanted="one kind in the whole network",
        )
    return {"mask": next(iter(kinds))} if kinds else {}


class LatentSwinUNet(nn.Module):
    """A Swin U-Net with the autoencoder whose latents it works on; calls go to the U-Net.

    network, autoencoder: settings of `SwinUNet` and of `VQGAN`.
    """

    def __init__(self, *, network: Mapping[str, Any], autoencoder: Mapping[str, Any]) -> None:
        super().__init__()
        self.network: nn.Module = SwinUNet(**network)
        self.autoencoder: nn.Module = VQGAN(**autoencoder)

    def forward(self, x: Tensor, time: Tensor, *lq: Tensor) -> Tensor:
        return self.network(x, time, *lq)
