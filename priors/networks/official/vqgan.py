"""The quantising autoencoder of latent diffusion (Rombach et al. 2022, arXiv 2112.10752) that ResShift works in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..unet import mirror_to_multiple
from .ladder import Shapes
from .swin import NORM_GROUPS


class VQGAN(nn.Module):
    """Pictures B x 3 x H x W in [-1, 1] and their latents B x embedding x H/f x W/f, f = 2^(levels - 1).

    `encode` does not quantise, `decode` does. Any size: `encode` mirrors the picture up to a multiple of f, and
    `decode` gives that size, which the caller crops.
    """

    def __init__(
        self,
        *,
        channels: int,
        width: int,
        multipliers: Sequence[int],
        blocks: Sequence[int],
        latent: int,
        embedding: int,
        codes: int,
    ) -> None:
        super().__init__()
        self.factor = 2 ** (len(multipliers) - 1)
        widths = [width * multiplier for multiplier in multipliers]
        self.encoder = Encoder(channels, width, widths, blocks, latent)
        self.decoder = Decoder(channels, widths, blocks, latent)
        self.quantize = Codebook(codes, embedding)
        self.quant_conv = nn.Conv2d(latent, embedding, 1)
        self.post_quant_conv = nn.Conv2d(embedding, latent, 1)

    def encode(self, x: Tensor) -> Tensor:
        return self.quant_conv(self.encoder(mirror_to_multiple(x, self.factor)))

    def quantise(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(the nearest codes, shaped as z; their numbers, B x h x w)."""
        book = self.quantize.embedding.weight
        flat = z.movedim(1, -1)
        # |z - e|^2 less |z|^2, which does not change the nearest
        distance = book.square().sum(1) - 2 * flat @ book.T
        index = distance.argmin(-1)
        return book[index].movedim(-1, 1), index

    def decode(self, z: Tensor) -> Tensor:
        return self.decode_features(self.quantise(z)[0])

    def decode_features(self, z: Tensor) -> Tensor:
        """The picture of latents as they are, without looking up codes."""
        return self.decoder(self.post_quant_conv(z))


class Codebook(nn.Module):
    """The vectors that latents are rounded to."""

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, width)


class Encoder(nn.Module):
    """Pictures to latents."""

    def __init__(self, channels: int, stem: int, widths: Sequence[int], blocks: Sequence[int], latent: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels, stem, 3, padding=1)
        self.down = nn.ModuleList()
        features = stem
        for level, width in enumerate(widths):
            row = [Block(features if index == 0 else width, width) for index in range(blocks[level])]
            parts: dict[str, nn.Module] = {"block": nn.ModuleList(row)}
            if level < len(widths) - 1:
                parts["downsample"] = nn.ModuleDict({"conv": nn.Conv2d(width, width, 3, stride=2)})
            self.down.append(nn.ModuleDict(parts))
            features = width
        self.mid = middle(features)
        self.norm_out = norm(features)
        self.conv_out = nn.Conv2d(features, latent, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            for block in level["block"]:  # type: ignore[index]
                x = block(x)
            if "downsample" in level:  # type: ignore[operator]
                x = level["downsample"]["conv"](F.pad(x, (0, 1, 0, 1)))  # type: ignore[index]
        return self.conv_out(F.silu(self.norm_out(through(self.mid, x))))


class Decoder(nn.Module):
    """Latents to pictures."""

    def __init__(self, channels: int, widths: Sequence[int], blocks: Sequence[int], latent: int) -> None:
        super().__init__()
        features = widths[-1]
        self.conv_in = nn.Conv2d(latent, features, 3, padding=1)
        self.mid = middle(features)
        levels: list[nn.Module] = []
        for level, width in reversed(list(enumerate(widths))):
            row = [Block(features if index == 0 else width, width) for index in range(blocks[level] + 1)]
            parts: dict[str, nn.Module] = {"block": nn.ModuleList(row)}
            if level > 0:
                parts["upsample"] = nn.ModuleDict({"conv": nn.Conv2d(width, width, 3, padding=1)})
            levels.insert(0, nn.ModuleDict(parts))  # the file counts them from the finest
            features = width
        self.up = nn.ModuleList(levels)
        self.norm_out = norm(features)
        self.conv_out = nn.Conv2d(features, channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = through(self.mid, self.conv_in(z))
        for level in reversed(self.up):
            for block in level["block"]:  # type: ignore[index]
                x = block(x)
            if "upsample" in level:  # type: ignore[operator]
                x = level["upsample"]["conv"](F.interpolate(x, scale_factor=2, mode="nearest"))  # type: ignore[index]
        return self.conv_out(F.silu(self.norm_out(x)))


class Block(nn.Module):
    """Norm, SiLU, convolution, twice, plus a shortcut."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(width_in), norm(width_out)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(hidden)))


class PixelAttention(nn.Module):
    """x + attention between all pixels, one head over all channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = norm(width)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(x)
        q, k, v = (project(hidden).flatten(2).transpose(1, 2) for project in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        return x + self.proj_out(mixed)


def norm(width: int) -> nn.GroupNorm:
    """Group normalisation as the published autoencoder has it."""
    return nn.GroupNorm(NORM_GROUPS, width, eps=1e-6)


def middle(width: int) -> nn.ModuleDict:
    """The middle of encoder and decoder: a residual block and attention."""
    return nn.ModuleDict(
        {"block_1": Block(width, width), "attn_1": PixelAttention(width), "block_2": Block(width, width)}
    )


def through(parts: nn.ModuleDict, x: Tensor) -> Tensor:
    """The features after each part in turn."""
    for part in parts.values():
        x = part(x)
    return x


def recognise(shapes: Shapes) -> dict[str, Any]:
    """Settings of `VQGAN` from the shapes of a released file."""
    width, channels = shapes["encoder.conv_in.weight"][:2]
    multipliers: list[int] = []
    blocks: list[int] = []
    while (key := f"encoder.down.{len(blocks)}.block.0.conv1.weight") in shapes:
        multipliers.append(shapes[key][0] // width)
        count, level = 0, len(blocks)
        while f"encoder.down.{level}.block.{count}.conv1.weight" in shapes:
            count += 1
        blocks.append(count)
    codes, embedding = shapes["quantize.embedding.weight"]
    return {
        "channels": channels,
        "width": width,
        "multipliers": multipliers,
        "blocks": blocks,
        "latent": shapes["decoder.conv_in.weight"][1],
        "embedding": embedding,
        "codes": codes,
    }
