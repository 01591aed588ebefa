"""Objectives of a prior of tokens: first its coder, then the predictor of hidden tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators.common.errors import BadInput
from operators.common.settings import Checked, NotNegative

from ..networks.tokens import TokenNetwork


@dataclass(frozen=True)
class CoderObjective(Checked):
    """Mean absolute error of the picture after its codes, and of the differences of its neighbours."""

    architecture: ClassVar[str] = "token-coder"
    edges: Annotated[NotNegative, "weight of the differences of neighbours"] = 0.5

    def loss(self, network: nn.Module, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Scalar loss of a batch of pictures in [-1, 1]; nothing is random."""
        error = network(clean).float() - clean
        down, across = error.diff(dim=-2).abs().mean(), error.diff(dim=-1).abs().mean()
        return error.abs().mean() + self.edges * (down + across) / 2

    def network_settings(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the coder."""
        return dict(base)

    def preconditioning(self) -> dict[str, Any]:
        """What the weights file must say."""
        return {"kind": "coder"}


@dataclass(frozen=True)
class TokensObjective(Checked):
    """The bound on -log p(tokens) of masked diffusion (Sahoo et al. 2024, arXiv 2406.07524, eq. 10), per token.

    There a share t of the tokens is hidden, t uniform, and the cross-entropy of the hidden ones is weighted by 1 / t.
    Here the number hidden is uniform over 1 to all, spread evenly over the batch, and the cross-entropy is their mean:
    the same expectation (Ou et al. 2024, arXiv 2406.03736), with less variance.
    """

    architecture: ClassVar[str] = "tokens"

    def loss(self, network: nn.Module, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Scalar loss, in nats a token, of a batch of pictures in [-1, 1]."""
        if not isinstance(network, TokenNetwork):
            raise BadInput(f"{type(network).__name__} predicts no tokens", wanted="a TokenNetwork")
        with torch.no_grad(), torch.autocast(clean.device.type, enabled=False):
            tokens = network.coder.tokens(network.coder.values(clean))
        hidden = hide(tokens, generator).to(clean.device)
        logits = network(torch.where(hidden, network.coder.vocabulary, tokens))
        surprise = F.cross_entropy(logits.float(), tokens, reduction="none")
        return ((surprise * hidden).flatten(1).sum(1) / hidden.flatten(1).sum(1)).mean()

    def network_settings(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of coder and predictor together."""
        return dict(base)

    def preconditioning(self) -> dict[str, Any]:
        """What the weights file must say."""
        return {"kind": "masked"}


def hide(tokens: Tensor, generator: torch.Generator) -> Tensor:
    """Which tokens (B x grid) to hide: uniform places, and a number uniform over 1 to all in each of B even parts."""
    count, each = len(tokens), tokens[0].numel()
    part = torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)
    number = (part / count * each).floor().long().clamp(max=each - 1) + 1
    rank = torch.rand(count, each, generator=generator).argsort(1).argsort(1)
    return (rank < number[:, None]).reshape(tokens.shape)
