"""Tokens that follow a Markov chain: a prior of tokens whose probabilities, and whose posteriors, are exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Range

from .masked import MaskedPrior

MOST_STATES = 1_000_000


class TokenChain(MaskedPrior):
    """A first-order chain along the rows of the grid, one after another, with a linear decoder.

    p(z) = first[z_1] prod_l transition[z_(l-1), z_l]; equal rows of the transition make the tokens independent. The
    picture of a token is the patch offset + sum_d code_d basis_d, factor x factor pixels.

    grid: rows and columns of tokens. first: K probabilities. transition: K x K, rows sum to 1. codes: K x D vectors.
    basis: D x C x factor x factor. offset: added to every pixel. BadInput where these do not fit.
    """

    def __init__(
        self,
        grid: tuple[Annotated[int, Range(1)], Annotated[int, Range(1)]],
        first: Tensor,
        transition: Tensor,
        codes: Tensor,
        basis: Tensor,
        *,
        offset: float = 0.0,
        native_clip: tuple[float, float] | None = None,
    ) -> None:
        count = len(first)
        if transition.shape != (count, count) or len(codes) != count or len(basis) != codes.shape[1]:
            raise BadInput(
                f"shapes {tuple(first.shape)}, {tuple(transition.shape)}, {tuple(codes.shape)}, {tuple(basis.shape)}",
                wanted="K, K x K, K x D and D x C x factor x factor",
            )
        sums = torch.cat([first.sum()[None], transition.sum(1)])
        if bool((first < 0).any()) or bool((transition < 0).any()) or not torch.allclose(sums, torch.ones_like(sums)):
            raise BadInput("first and transition are no probabilities", wanted="numbers of [0, 1], rows that sum to 1")
        super().__init__(count, factor=basis.shape[-1], native_clip=native_clip, channels=(basis.shape[1],))
        self.shape, self.offset, self.name = tuple(grid), offset, "token-chain"
        self.first: Tensor
        self.transition: Tensor
        self.table: Tensor
        self.basis: Tensor
        for name, value in (("first", first), ("transition", transition), ("table", codes), ("basis", basis)):
            self.register_buffer(name, value.double())

    @property
    def length(self) -> int:
        """Number of tokens of a picture."""
        return self.shape[0] * self.shape[1]

    def logits(self, tokens: Tensor) -> Tensor:
        """log p(token | the tokens that are seen), exactly, by the forward and backward recursions; float64."""
        flat = tokens.flatten(1)
        values = torch.arange(self.vocabulary, device=tokens.device)
        allowed = ((flat[..., None] == values) | (flat[..., None] == self.mask)).double()  # B x L x K
        ahead, behind = [self.first.expand(len(flat), -1)], [torch.ones_like(allowed[:, 0])]
        for place in range(1, flat.shape[1]):
            ahead.append(_normal((ahead[-1] * allowed[:, place - 1]) @ self.transition))
            behind.append(_normal((behind[-1] * allowed[:, -place]) @ self.transition.T))
        shares = torch.stack(ahead, 1) * torch.stack(behind[::-1], 1)
        return _normal(shares).log().movedim(-1, 1).reshape(len(tokens), -1, *tokens.shape[1:])

    def encode(self, picture: Tensor) -> Tensor:
        """The tokens whose patches are nearest to the picture's, compared where they lie inside it."""
        rows, columns = self.shape
        below, beside = rows * self.factor - picture.shape[-2], columns * self.factor - picture.shape[-1]
        patches = torch.einsum("kd,dcij->kcij", self.table, self.basis) + self.offset
        x = torch.nn.functional.pad(picture.double(), (0, beside, 0, below))
        inside = torch.nn.functional.pad(torch.ones_like(picture[:1, :1]).double(), (0, beside, 0, below))
        x, inside = (_patches(part, self.factor) for part in (x, inside))
        square = ((x[:, None] - patches[None, :, :, None, None]) * inside[:, None]).square()
        return square.sum((2, -2, -1)).argmin(1)

    def codes(self) -> Tensor:
        return self.table

    def vectors(self, tokens: Tensor) -> Tensor:
        return self.table[tokens].movedim(-1, 1)

    def render(self, vectors: Tensor) -> Tensor:
        return torch.nn.functional.conv_transpose2d(vectors, self.basis.to(vectors), stride=self.factor) + self.offset

    def states(self) -> Tensor:
        """All token pictures there are (K^L x grid); BadInput for more than a million."""
        if self.vocabulary**self.length > MOST_STATES:
            raise BadInput(f"{self.vocabulary} ^ {self.length} states", wanted=f"at most {MOST_STATES}")
        values = torch.arange(self.vocabulary)
        return torch.cartesian_prod(*[values] * self.length).reshape(-1, *self.shape)

    def log_prob(self, tokens: Tensor) -> Tensor:
        """log p(z) of token pictures (B), float64."""
        flat = tokens.flatten(1)
        return self.first.log()[flat[:, 0]] + self.transition.log()[flat[:, :-1], flat[:, 1:]].sum(1)

    def posterior(self, log_likelihood: Callable[[Tensor], Tensor]) -> Tensor:
        """p(z | y) of every one of `states()`; log_likelihood: log p(y | picture) of their pictures (B x C x H x W)."""
        states = self.states()
        return torch.softmax(self.log_prob(states) + log_likelihood(self.decode(states)), dim=0)

    def sample(self, count: int, noise: Noise) -> Tensor:
        """Token pictures drawn from p (count x grid)."""
        tokens = [noise.categorical("chain 0", self.first.log().expand(count, -1))]
        for place in range(1, self.length):
            tokens.append(noise.categorical(f"chain {place}", self.transition.log()[tokens[-1]]))
        return torch.stack(tokens, 1).reshape(count, *self.shape)


def _normal(shares: Tensor) -> Tensor:
    return shares / shares.sum(-1, keepdim=True)


def _patches(x: Tensor, factor: int) -> Tensor:
    """B x C x rows x columns x factor x factor."""
    return x.unfold(2, factor, factor).unfold(3, factor, factor)
