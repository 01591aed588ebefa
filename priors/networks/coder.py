"""A small autoencoder whose latents a diffusion prior works on, and the two of them in one network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .plain_block import PlainBlock
from .unet import UNet, mirror_to_multiple

FACTOR = 4
# Luma and chroma of RGB, orthonormal rows; and which 4 x 4 cosine patterns of them the first latents are, in order.
COLOURS = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))
PATTERNS = ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2, 0, 0), (0, 1, 1), (0, 0, 2), (0, 2, 0))

# In photographs in [-1, 1], rounded: the standard deviation of those patterns' coefficients, and the mean of a pixel.
START_STD = (3.0, 0.5, 0.5, 1.2, 0.65, 0.3, 0.3, 0.3)
START_MEAN = -0.17


class Coder(nn.Module):
    """Pictures B x 3 x H x W in [-1, 1] and their latents B x latent x H/4 x W/4 of mean 0 and variance 1 a channel.

    encode: a 4 x 4 linear transform of blocks plus what a residual network adds; decode: its transpose likewise. Before
    training the networks add nothing and the transform is that of the lowest cosine patterns, so that a picture comes
    back as its blocks' averages and slopes. Any size: `encode` mirrors the picture up to a multiple of 4, and `decode`
    gives that size, which the caller crops.

    latent: channels of the latents, at most 8. widths: of the residual networks on the half and on the quarter grid,
    encoder first. blocks: their residual blocks in the same order.
    """

    def __init__(
        self,
        *,
        latent: int = 8,
        widths: Sequence[int] = (40, 80, 56, 112),
        blocks: Sequence[int] = (2, 2, 3, 3),
    ) -> None:
        super().__init__()
        if not 1 <= latent <= len(PATTERNS) or len(widths) != 4 or len(blocks) != 4:
            raise ValueError(f"a coder of {latent} channels, widths {widths} and blocks {blocks}")
        self.latent = latent
        self.settings = {"latent": latent, "widths": list(widths), "blocks": list(blocks)}
        half, quarter, quarter_out, half_out = widths[0], widths[1], widths[3], widths[2]
        self.block_enter = nn.Conv2d(3, latent, FACTOR, stride=FACTOR)
        self.enter = nn.Conv2d(12, half, 3, padding=1)
        self.encode_half = nn.Sequential(*(PlainBlock(half) for _ in range(blocks[0])))
        self.shrink = nn.Conv2d(half, quarter, 2, stride=2)
        self.encode_quarter = nn.Sequential(*(PlainBlock(quarter) for _ in range(blocks[1])))
        self.leave = nn.Conv2d(quarter, latent, 3, padding=1)
        self.block_leave = nn.ConvTranspose2d(latent, 3, FACTOR, stride=FACTOR)
        self.decode_enter = nn.Conv2d(latent, quarter_out, 3, padding=1)
        self.decode_quarter = nn.Sequential(*(PlainBlock(quarter_out) for _ in range(blocks[3])))
        self.grow = nn.Conv2d(quarter_out, 4 * half_out, 1)
        self.decode_half = nn.Sequential(*(PlainBlock(half_out) for _ in range(blocks[2])))
        self.decode_leave = nn.Conv2d(half_out, 12, 3, padding=1)
        # What the latents' mean and variance are is measured while training; decode sees them standardised.
        self.standard = nn.BatchNorm2d(latent, affine=False, momentum=0.01)
        for last in (self.leave, self.decode_leave):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self._begin_with_cosines()

    @torch.no_grad()
    def _begin_with_cosines(self) -> None:
        """Orthonormal patterns; gains make a photograph's latents and back again about right from the first step."""
        phase = math.pi * (torch.arange(FACTOR) + 0.5) / FACTOR
        cosines = [torch.cos(k * phase) * math.sqrt((1 if k == 0 else 2) / FACTOR) for k in range(3)]
        for channel, (colour, row, column) in enumerate(PATTERNS[: self.latent]):
            block = torch.outer(cosines[row], cosines[column])
            pattern = torch.tensor(COLOURS[colour])[:, None, None] * block
            self.block_enter.weight[channel] = pattern
            self.block_leave.weight[channel] = pattern * START_STD[channel]
        nn.init.zeros_(self.block_enter.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.block_leave.bias, START_MEAN)  # type: ignore[arg-type]

    def encode(self, x: Tensor) -> Tensor:
        x = mirror_to_multiple(x, FACTOR).contiguous(memory_format=torch.channels_last)
        hidden = self.encode_half(self.enter(F.pixel_unshuffle(x, 2)))
        hidden = self.encode_quarter(self.shrink(hidden))
        return self.standard(self.block_enter(x) + self.leave(F.silu(hidden)))  # type: ignore[no-any-return]

    def decode(self, z: Tensor) -> Tensor:
        hidden = self.decode_quarter(self.decode_enter(z))
        hidden = self.decode_half(F.pixel_shuffle(self.grow(hidden), 2))
        return self.block_leave(z) + F.pixel_shuffle(self.decode_leave(F.silu(hidden)), 2)  # type: ignore[no-any-return]

    def forward(self, x: Tensor, latent_noise: Tensor) -> Tensor:
        """The picture that comes back when noise of that kind is added to its latents (B x latent x H/4 x W/4)."""
        return self.decode(self.encode(x) + latent_noise)


class LatentNetwork(nn.Module):
    """A trained coder, which stays as it is, and the network that denoises its latents.

    coder: settings of `Coder`. denoiser: settings of `UNet`, whose channels are the coder's latents. Input and output
    of `forward` are latents, as those of `UNet`.
    """

    def __init__(self, *, coder: Mapping[str, Any], denoiser: Mapping[str, Any]) -> None:
        super().__init__()
        self.coder = Coder(**coder).eval().requires_grad_(False)
        self.denoiser = UNet(**{"unshuffle": 1, **denoiser, "channels": self.coder.latent})

    def train(self, mode: bool = True) -> LatentNetwork:
        super().train(mode)
        self.coder.eval()
        return self

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        return self.denoiser(z, condition)  # type: ignore[no-any-return]
