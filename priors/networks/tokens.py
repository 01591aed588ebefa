"""Networks of pictures written as tokens: a coder without a learned table, and what predicts hidden tokens.

Coder: finite scalar quantisation (Mentzer et al. 2023, arXiv 2309.15505). A token is a point of a product grid, D
numbers of which the d-th takes `levels[d]` even values of [-1, 1]; two levels each are the lookup-free codes {-1, 1}^D
of MAGVIT-v2 (Yu et al. 2023, arXiv 2310.05737).
Predictor: ConvNeXt blocks (Liu et al. 2022, arXiv 2201.03545) on the grid of tokens; it knows neither time nor place,
so it serves any grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .plain_block import PlainBlock
from .unet import mirror_to_multiple


class TokenCoder(nn.Module):
    """A picture as tokens on a grid four times coarser, and back.

    Parameters
    ----------
    channels: of the pictures. levels: how many values each number of a code takes, at least 2; the vocabulary is their
    product. widths: channels on the grids two and four times coarser than the picture. blocks: residual blocks on
    these, once in the encoder and once in the decoder. extra: further blocks of the decoder on the coarse grid.
    """

    factor = 4

    def __init__(
        self,
        *,
        channels: int = 3,
        levels: Sequence[int] = (4, 4, 4, 4, 4),
        widths: Sequence[int] = (48, 96),
        blocks: Sequence[int] = (2, 3),
        extra: int = 1,
    ) -> None:
        super().__init__()
        if min(levels) < 2:
            raise ValueError(f"levels must be at least 2 each, not {tuple(levels)}")
        fine, coarse = widths
        self.settings = {
            "channels": channels,
            "levels": list(levels),
            "widths": list(widths),
            "blocks": list(blocks),
            "extra": extra,
        }
        self.levels, self.vocabulary = tuple(int(n) for n in levels), math.prod(levels)
        numbers = len(self.levels)
        self.enter = nn.Conv2d(4 * channels, fine, 3, padding=1)
        self.down = nn.Sequential(*(PlainBlock(fine) for _ in range(blocks[0])))
        self.shrink = nn.Conv2d(fine, coarse, 2, stride=2)
        self.deep = nn.Sequential(*(PlainBlock(coarse) for _ in range(blocks[1])))
        self.leave_for_code = nn.Conv2d(coarse, numbers, 1)
        self.enter_from_code = nn.Conv2d(numbers, coarse, 3, padding=1)
        self.back = nn.Sequential(*(PlainBlock(coarse) for _ in range(blocks[1] + extra)))
        self.grow = nn.Conv2d(coarse, 4 * fine, 1)
        self.up = nn.Sequential(*(PlainBlock(fine) for _ in range(blocks[0])))
        self.leave = nn.Conv2d(fine, 4 * channels, 3, padding=1)

    def values(self, picture: Tensor) -> Tensor:
        """The numbers of [-1, 1] to be quantised (B x D x grid) of pictures in [-1, 1], mirrored up to the grid."""
        x = mirror_to_multiple(picture, self.factor).contiguous(memory_format=torch.channels_last)
        hidden = self.shrink(self.down(self.enter(F.pixel_unshuffle(x, 2))))
        return torch.tanh(self.leave_for_code(F.silu(self.deep(hidden))))

    def render(self, vectors: Tensor) -> Tensor:
        """The picture (B x C x 4 grid) of code vectors (B x D x grid), which may lie between the codes."""
        hidden = self.back(self.enter_from_code(vectors.contiguous(memory_format=torch.channels_last)))
        hidden = F.pixel_shuffle(self.grow(hidden), 2)
        return F.pixel_shuffle(self.leave(F.silu(self.up(hidden))), 2)

    def forward(self, picture: Tensor) -> Tensor:
        """The picture after its codes, straight-through where it is quantised, cropped to the size it came in."""
        values = self.values(picture).float()
        vectors = values + (nearest_levels(values, self.levels) - values).detach()
        return self.render(vectors)[..., : picture.shape[-2], : picture.shape[-1]]

    def codes(self) -> Tensor:
        """The vectors of all tokens in order (vocabulary x D), float64; the last number of a code changes fastest."""
        grids = [torch.linspace(-1, 1, n, dtype=torch.float64, device="cpu") for n in self.levels]
        return torch.cartesian_prod(*grids).reshape(self.vocabulary, len(self.levels))

    def tokens(self, values: Tensor) -> Tensor:
        """The tokens (B x grid, int64) whose codes are nearest to B x D x grid numbers."""
        steps = _steps(values, self.levels)
        total = torch.zeros_like(steps[:, 0])
        for number, count in enumerate(self.levels):
            total = total * count + steps[:, number]
        return total.long()


def nearest_levels(values: Tensor, levels: Sequence[int]) -> Tensor:
    """The nearest code vectors to B x D x grid numbers; beyond [-1, 1] the outermost."""
    most = _spans(values, levels)
    return _steps(values, levels) * (2 / most) - 1


def _steps(values: Tensor, levels: Sequence[int]) -> Tensor:
    most = _spans(values, levels)
    return ((values + 1) / 2 * most).round().clamp(min=torch.zeros_like(most), max=most)


def _spans(like: Tensor, levels: Sequence[int]) -> Tensor:
    spans = torch.tensor([n - 1 for n in levels], dtype=like.dtype, device=like.device)
    return spans.reshape(-1, *[1] * (like.ndim - 2))


class TokenBlock(nn.Module):
    """x + pointwise(gelu(pointwise(norm(depthwise(x))))); the norm is over the channels of each token alone."""

    def __init__(self, width: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Conv2d(width, expansion * width, 1)
        self.narrow = nn.Conv2d(expansion * width, width, 1)
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.narrow.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.around(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.narrow(F.gelu(self.widen(hidden)))


class TokenPredictor(nn.Module):
    """Tokens (B x rows x columns; `vocabulary` is the mask) -> unnormalised log p of each (B x vocabulary x grid).

    levels: of the codes: a token enters as the values of its numbers, one-hot, so that like codes look alike.
    """

    places: Tensor

    def __init__(
        self, *, levels: Sequence[int], width: int = 128, blocks: int = 6, kernel: int = 7, expansion: int = 4
    ) -> None:
        super().__init__()
        vocabulary, inputs = math.prod(levels), sum(levels) + 1
        choices = torch.cartesian_prod(*(torch.arange(n) for n in levels)).reshape(vocabulary, len(levels))
        places = torch.cat([F.one_hot(choices[:, d], n) for d, n in enumerate(levels)], dim=1)
        places = F.pad(places, (0, 1))
        mask = F.one_hot(torch.tensor([inputs - 1]), inputs)
        self.register_buffer("places", torch.cat([places, mask]).float(), persistent=False)
        self.enter = nn.Conv2d(inputs, width, 3, padding=1)
        self.blocks = nn.Sequential(*(TokenBlock(width, kernel, expansion) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Conv2d(width, vocabulary, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        # Beside the grid nothing is one-hot: zeros tell it from a masked token.
        hidden = self.blocks(self.enter(F.embedding(tokens, self.places).permute(0, 3, 1, 2)))
        return self.leave(self.norm(hidden.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class TokenNetwork(nn.Module):
    """A coder and the predictor of its tokens, stored together; the coder is not trained further.

    coder, predictor: settings of `TokenCoder` and, but for the levels, `TokenPredictor`.
    """

    def __init__(self, *, coder: Mapping[str, Any], predictor: Mapping[str, Any]) -> None:
        super().__init__()
        self.coder = TokenCoder(**coder).requires_grad_(False)
        self.predictor = TokenPredictor(levels=self.coder.levels, **predictor)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.predictor(tokens)
