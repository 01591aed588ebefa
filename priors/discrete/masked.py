"""Priors of pictures written as tokens: what the masked ones may be, given those that are seen."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.settings import Count, Positive

from ..base import Prior


class MaskedPrior(Prior):
    """p(token | the tokens that are seen), for every token of a picture at once.

    Tokens are whole numbers, B x the spatial axes of their grid (int64): 0 to `vocabulary` - 1, or `mask` where one is
    not known. A subclass implements `logits`, and `encode` and `decode` between pictures and tokens. Its space is the
    picture's own: a solver keeps tokens for itself and asks the problem about decoded pictures, which is what its
    states' estimates are too.

    A prior whose tokens are vectors implements `codes` and `render` too, of which `decode` and `picture` are made; a
    solver that follows the gradient of the data misfit asks for them.

    vocabulary: number of values a token may take. factor: pixels that a token covers along each axis. channels: of the
    pictures. native_clip: their legal range, or None. shift, scale: see `Prior`.
    """

    calls = ("logits",)
    kind = "masked"

    def __init__(
        self,
        vocabulary: Count,
        *,
        factor: Count = 1,
        shift: float = 0.0,
        scale: Positive = 1.0,
        native_clip: tuple[float, float] | None = None,
        channels: tuple[Count, ...] | None = None,
        spatial: Literal[2, 3] = 2,
    ) -> None:
        super().__init__(shift=shift, scale=scale, native_clip=native_clip, channels=channels, spatial=spatial)
        self.vocabulary, self.factor = int(vocabulary), int(factor)

    @property
    def mask(self) -> int:
        """The token that stands for one that is not known."""
        return self.vocabulary

    def logits(self, tokens: Tensor) -> Tensor:
        """Unnormalised log p of every value of every token (B x vocabulary x grid); seen tokens may get any."""
        raise TypeError(f"{type(self).__name__} does not implement logits")

    def encode(self, picture: Tensor) -> Tensor:
        """The tokens (B x grid) of a picture (B x C x H x W)."""
        raise TypeError(f"{type(self).__name__} does not implement encode")

    def decode(self, tokens: Tensor) -> Tensor:
        """The picture (B x C x factor x the grid) of tokens that are all known."""
        return self.render(self.vectors(tokens))

    def codes(self) -> Tensor:
        """The vectors that tokens stand for (vocabulary x D), float64."""
        raise TypeError(f"{type(self).__name__} does not implement codes")

    def render(self, vectors: Tensor) -> Tensor:
        """The picture of vectors (B x D x grid), which may lie between the codes; gradients pass through."""
        raise TypeError(f"{type(self).__name__} does not implement render")

    def nearest(self, vectors: Tensor) -> Tensor:
        """The tokens (B x grid) whose codes are nearest to vectors (B x D x grid)."""
        codes = self.codes().to(vectors)
        scores = torch.einsum("kd,bd...->bk...", codes, vectors)
        half = (codes.square().sum(1) / 2).reshape(-1, *[1] * (vectors.ndim - 2))
        return (scores - half).argmax(1)

    def vectors(self, tokens: Tensor) -> Tensor:
        """The code vectors (B x D x grid) of tokens that are all known, in single precision."""
        return self.codes().to(tokens.device, torch.float32)[tokens].movedim(-1, 1)

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The grid of the tokens of pictures shaped C x H x W: H and W over `factor`, rounded up."""
        return tuple(-(-side // self.factor) for side in shape[-self.spatial :])

    def picture(self, vectors: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The picture of vectors, cropped to a shape C x H x W; a gray one is the mean of the channels."""
        inside: Any = (..., *(slice(side) for side in shape[-self.spatial :]))
        whole = self.render(vectors)[inside]
        return whole if whole.shape[1] == shape[0] else whole.mean(1, keepdim=True)

    def probabilities(self, tokens: Tensor) -> Tensor:
        """p of every value of every token (B x vocabulary x grid): sums to 1; tokens that are seen are certain.

        BadInput for tokens outside 0 to `mask`.
        """
        if tokens.is_floating_point() or not bool(((tokens >= 0) & (tokens <= self.mask)).all()):
            raise BadInput("these are no tokens", wanted=f"whole numbers from 0 to {self.mask}, which is the mask")
        shares = torch.softmax(self.logits(tokens), dim=1)
        values = torch.arange(self.vocabulary, device=tokens.device).reshape(-1, *[1] * (tokens.ndim - 1))
        seen = (values == tokens[:, None]).to(shares)
        return torch.where(tokens[:, None] == self.mask, shares, seen)
