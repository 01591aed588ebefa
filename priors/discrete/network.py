"""The trained prior of tokens: a coder and the predictor of hidden tokens."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from operators.common.settings import Count, Positive

from ..networks.tokens import TokenNetwork
from .masked import MaskedPrior

RGB = 3


class TokenPrior(MaskedPrior):
    """Tokens of 4 x 4 pixels whose codes are points of a product grid (priors.networks.tokens).

    A gray picture is coded as three equal channels. encode and decode are single precision inside.
    """

    def __init__(
        self,
        network: TokenNetwork,
        *,
        shift: float = 0.5,
        scale: Positive = 0.5,
        channels: tuple[Count, ...] = (1, RGB),
        spatial: Literal[2] = 2,
    ) -> None:
        coder = network.coder
        super().__init__(
            coder.vocabulary,
            factor=coder.factor,
            shift=shift,
            scale=scale,
            native_clip=(-1.0, 1.0),
            channels=channels,
            spatial=spatial,
        )
        self.network = network
        self.register_buffer("table", coder.codes(), persistent=False)
        self.table: Tensor

    def logits(self, tokens: Tensor) -> Tensor:
        return self.network(tokens).float()

    def encode(self, picture: Tensor) -> Tensor:
        coder = self.network.coder
        return coder.tokens(coder.values(picture.float().expand(-1, RGB, -1, -1)))

    def codes(self) -> Tensor:
        return self.table

    def render(self, vectors: Tensor) -> Tensor:
        return self.network.coder.render(vectors.float()).to(vectors.dtype)

    def nearest(self, vectors: Tensor) -> Tensor:
        return self.network.coder.tokens(vectors)


def from_network(network: torch.nn.Module) -> TokenPrior:
    """The prior of a network as a weights file describes it; TypeError for one of another architecture."""
    if not isinstance(network, TokenNetwork):
        raise TypeError(f"{type(network).__name__} is no TokenNetwork")
    return TokenPrior(network)
