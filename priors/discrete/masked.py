"""Priors of pictures written as tokens: what the masked ones may be, given those that are seen."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.settings import Count

from ..base import Prior


class MaskedPrior(Prior):
    """p(token | the tokens that are seen), for every token of a picture at once.

    Tokens are whole numbers, B x the spatial axes of their grid (int64): 0 to `vocabulary` - 1, or `mask` where one is
    not known. A subclass implements `logits`, and `encode` and `decode` between pictures and tokens. Its space is the
    picture's own: a solver keeps tokens for itself and asks the problem about decoded pictures, which is what its
    states' estimates are too.

    vocabulary: number of values a token may take. channels: of the pictures. native_clip: their legal range, or None.
    """

    calls = ("logits",)
    kind = "masked"

    def __init__(
        self,
        vocabulary: Count,
        *,
        native_clip: tuple[float, float] | None = None,
        channels: tuple[Count, ...] | None = None,
        spatial: Literal[2, 3] = 2,
    ) -> None:
        super().__init__(native_clip=native_clip, channels=channels, spatial=spatial)
        self.vocabulary = int(vocabulary)

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
        """The picture (B x C x H x W) of tokens that are all known."""
        raise TypeError(f"{type(self).__name__} does not implement decode")

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
