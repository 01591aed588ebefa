"""Several linear operators on one picture, their measurements one after another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..common.errors import BadInput
from .linear import LinearOperator, check_same_space, in_space


class Stack(LinearOperator):
    """[A; B; ...]: the measurements of several operators on one picture, each flattened, one after another (B x M)."""

    def __init__(self, operators: Sequence[LinearOperator]) -> None:
        if not operators:
            raise BadInput("stack of no operators", wanted="at least one")
        check_same_space(operators, "stack")
        sizes = [math.prod(a.output_shape) for a in operators]
        super().__init__(
            operators[0].input_shape,
            (sum(sizes),),
            complex_input=operators[0].complex_input,
            complex_output=any(a.complex_output for a in operators),
        )
        self.parts = nn.ModuleList(operators)
        self.sizes = sizes

    def _forward(self, x: Tensor) -> Tensor:
        return torch.cat([part._forward(x).flatten(1) for part in self._operators()], dim=1)

    def _adjoint(self, y: Tensor) -> Tensor:
        back = [part._adjoint(piece) for part, piece in zip(self._operators(), self.split(y), strict=True)]
        return torch.stack(back).sum(0)

    def split(self, y: Tensor) -> tuple[Tensor, ...]:
        """The measurement of each operator in its own shape, real where that operator's is."""
        pieces = zip(torch.split(y, self.sizes, dim=1), self._operators(), strict=True)
        return tuple(in_space(p.reshape(y.shape[0], *a.output_shape), a.complex_output) for p, a in pieces)

    @property
    def observed(self) -> Tensor | None:
        masks = [part.observed for part in self._operators()]
        device = next((m.device for m in masks if m is not None), None)
        if device is None:
            return None
        full = [
            torch.ones(size, dtype=torch.bool, device=device)
            if mask is None
            else mask.expand(1, *part.output_shape).flatten().to(device)
            for mask, part, size in zip(masks, self._operators(), self.sizes, strict=True)
        ]
        return torch.cat(full)

    def _operators(self) -> list[LinearOperator]:
        return list(self.parts)  # type: ignore[arg-type]


def stack(operators: Sequence[LinearOperator]) -> Stack:
    """The operator x -> (A1 x, A2 x, ...), flattened and concatenated; `split` takes the result apart."""
    return Stack(operators)
