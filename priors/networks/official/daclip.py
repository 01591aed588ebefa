"""The U-Net of DA-CLIP (Luo et al. 2024, arXiv 2310.01018) that the MR Sampler runs: IR-SDE's with two contexts.

The coarsest level and the middle attend to an image embedding; a degradation embedding is weighed into a prompt that
joins the time embedding. Both are optional.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators.common.errors import BadInput

from .irsde import PARTS, IRSDEUNet, linear_attention
from .irsde import recognise as recognise_ladder
from .ladder import Parts, Shapes
from .pieces import HEAD_WIDTH, residual_attention
from .swin import NORM_GROUPS

LINEAR_LEVELS = 3  # levels before the ones that attend to the context


class CrossAttention(nn.Module):
    """Softmax attention of the pixels to a sequence (themselves without one)."""

    def __init__(self, width: int, context_width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width, width, bias=False)
        self.to_v = nn.Linear(context_width, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q, k, v = (
            z.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for z in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class GatedGELU(nn.Module):
    """A linear map whose one half gates the other."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width_in, 2 * width_out)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """Four times as wide through a gate, and back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GatedGELU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """Attention to the pixels, attention to the context, a gated layer; each on a norm, each added."""

    def __init__(self, width: int, context_width: int) -> None:
        super().__init__()
        self.attn1 = CrossAttention(width, width)
        self.attn2 = CrossAttention(width, context_width)
        self.ff = FeedForward(width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.attn1(normed, normed)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """A transformer block on the pixels of a feature map, added to it."""

    def __init__(self, width: int, context_width: int, groups: int = NORM_GROUPS) -> None:
        super().__init__()
        if width % HEAD_WIDTH:
            raise BadInput(f"a transformer level has {width} channels", wanted=f"a multiple of {HEAD_WIDTH}")
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, context_width)])
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        hidden = self.proj_in(self.norm(x))
        tokens = hidden.flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return x + self.proj_out(tokens.transpose(1, 2).reshape(hidden.shape))


class DACLIPUNet(IRSDEUNet):
    """forward(x, time, condition, text_context, image_context): as `IRSDEUNet`, times real-valued, contexts B x D.

    Without a degradation embedding the prompt is left out. Without an image embedding the attention to it sees zeros,
    which leaves its constant part.
    """

    def __init__(
        self,
        *,
        channels: int,
        channels_in: int,
        widths: Sequence[int],
        context_width: int,
        groups: int = NORM_GROUPS,
    ) -> None:
        def transformer(width: int) -> nn.Module:
            return residual_attention(width, SpatialTransformer(width, context_width, groups))

        parts = Parts(
            block=PARTS.block,
            shortcut=PARTS.shortcut,
            plain=PARTS.plain,
            attention=lambda level, width: (linear_attention if level < LINEAR_LEVELS else transformer)(width),
            middle=transformer,
        )
        super().__init__(channels=channels, channels_in=channels_in, widths=widths, parts=parts)
        self.context_width = context_width
        self.prompt = nn.Parameter(torch.zeros(1, self.time_width))
        self.text_mlp = nn.Sequential(
            nn.Linear(context_width, self.time_width), nn.SiLU(), nn.Linear(self.time_width, self.time_width)
        )
        self.prompt_mlp = nn.Linear(self.time_width, self.time_width)

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        condition: Tensor,
        text_context: Tensor | None = None,
        image_context: Tensor | None = None,
    ) -> Tensor:
        embedded = self.time_mlp(time)
        if text_context is not None:
            embedded = embedded + self.prompt_mlp(self.text_mlp(text_context).softmax(dim=1) * self.prompt)
        if image_context is None:
            image_context = x.new_zeros(x.shape[0], self.context_width)
        return self.run(x, condition, embedded, image_context[:, None, :])


def recognise(shapes: Shapes) -> dict[str, Any]:
    """Settings of `DACLIPUNet` from the shapes of a released file."""
    return {**recognise_ladder(shapes), "context_width": shapes["text_mlp.0.weight"][1]}
