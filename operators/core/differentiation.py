"""One linear map under automatic differentiation: its derivative is itself, its backward pass the adjoint."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor


class Pair(Protocol):
    """A map and its adjoint, and what either makes of an empty batch."""

    def _forward(self, x: Tensor) -> Tensor: ...

    def _adjoint(self, y: Tensor) -> Tensor: ...

    def _nothing(self, x: Tensor, *, adjoint: bool) -> Tensor: ...


class Applied(torch.autograd.Function):
    """A linear operator or its adjoint, applied; the backward pass is the other one, to any order."""

    @staticmethod
    def forward(x: Tensor, operator: Pair, adjoint: bool) -> Tensor:
        if not len(x):
            return operator._nothing(x, adjoint=adjoint)
        with full_precision(x):
            return operator._adjoint(x) if adjoint else operator._forward(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Pair, bool], output: Tensor) -> None:
        _, ctx.operator, ctx.adjoint = inputs

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None, None], x: Tensor, operator: Pair, adjoint: bool) -> Any:
        x = x.movedim(in_dims[0], 0)
        y = Applied.apply(x.flatten(0, 1), operator, adjoint)
        return y.unflatten(0, x.shape[:2]), 0

    @classmethod
    def on(cls, x: Tensor, operator: Pair, *, adjoint: bool) -> Tensor:
        """`apply`, or the bare computation where no derivative is asked for: `apply` alone costs some 70 us."""
        if _watched(x):
            return cls.apply(x, operator, adjoint)  # type: ignore[no-any-return]
        with torch.no_grad():
            return cls.forward(x, operator, adjoint)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return Applied.apply(grad[0], ctx.operator, not ctx.adjoint), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:  # type: ignore[override]
        return Applied.apply(tangents[0], ctx.operator, ctx.adjoint)


def _watched(x: Tensor) -> bool:
    """Whether anything differentiates through x, in either mode, or maps over it."""
    return (
        (x.requires_grad and torch.is_grad_enabled())
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad.unpack_dual(x).tangent is not None  # type: ignore[no-untyped-call]
    )


def full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """A context in which products keep the precision of x: physics is not a network, whatever autocast is on."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()
