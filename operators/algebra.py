"""Operators made of operators: composition, sum, scaling, stacking, adjoint, selection."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .base import LinearOperator, Operator, Shape
from .errors import BadInput, BadType


class Adjoint(LinearOperator):
    """A^H as an operator."""

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(
            operator.output_shape,
            operator.input_shape,
            complex_input=operator.complex_output,
            complex_output=operator.complex_input,
        )
        self.operator = operator

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator._adjoint(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.operator._forward(y)

    @property
    def H(self) -> LinearOperator:
        return self.operator


def compose(outer: Operator, inner: Operator) -> Operator:
    """outer @ inner: x -> outer(inner(x)); BadType for anything but two operators, BadInput where shapes differ."""
    if not isinstance(inner, Operator):
        raise BadType(
            f"the right side of @ is {type(inner).__name__}", wanted="an operator", do="Apply an operator with A(x)."
        )
    if outer.input_shape != inner.output_shape:
        raise BadInput(
            f"cannot compose: the inner operator gives {inner.output_shape}",
            wanted=f"{outer.input_shape} for the outer one",
        )
    if isinstance(outer, LinearOperator) and isinstance(inner, LinearOperator):
        return Composed(outer, inner)
    return ComposedNonlinear(outer, inner)


class ComposedNonlinear(Operator):
    """outer(inner(x)) where one of the two is not linear."""

    def __init__(self, outer: Operator, inner: Operator) -> None:
        super().__init__(
            inner.input_shape,
            outer.output_shape,
            complex_input=inner.complex_input,
            complex_output=outer.complex_output,
        )
        self.outer, self.inner = outer, inner

    def _forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))  # type: ignore[no-any-return]

    @property
    def observed(self) -> Tensor | None:
        return self.outer.observed


class Composed(LinearOperator):
    """The product of two linear operators; its adjoint is inner^H outer^H."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        super().__init__(
            inner.input_shape,
            outer.output_shape,
            complex_input=inner.complex_input,
            complex_output=outer.complex_output,
        )
        self.outer, self.inner = outer, inner

    def _forward(self, x: Tensor) -> Tensor:
        return self.outer._forward(self.inner._forward(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.inner._adjoint(self.outer._adjoint(y))

    @property
    def observed(self) -> Tensor | None:
        return self.outer.observed


class Sum(LinearOperator):
    """A + B."""

    def __init__(self, first: LinearOperator, second: LinearOperator) -> None:
        shapes = [(a.input_shape, a.output_shape) for a in (first, second)]
        if shapes[0] != shapes[1]:
            raise BadInput(
                f"cannot add an operator {shapes[1][0]} -> {shapes[1][1]}", wanted=f"{shapes[0][0]} -> {shapes[0][1]}"
            )
        super().__init__(
            *shapes[0],
            complex_input=first.complex_input or second.complex_input,
            complex_output=first.complex_output or second.complex_output,
        )
        self.first, self.second = first, second

    def _forward(self, x: Tensor) -> Tensor:
        return self.first._forward(x) + self.second._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.first._adjoint(y) + self.second._adjoint(y)


class Scaled(LinearOperator):
    """factor * A for a real factor; closed forms of A carry over."""

    def __init__(self, operator: LinearOperator, *, factor: float) -> None:
        super().__init__(
            operator.input_shape,
            operator.output_shape,
            complex_input=operator.complex_input,
            complex_output=operator.complex_output,
        )
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            raise BadType(
                f"an operator was multiplied by {type(factor).__name__}",
                wanted="a real number",
                do="Apply it with A(x).",
            )
        self.operator, self.factor = operator, float(factor)

    def _forward(self, x: Tensor) -> Tensor:
        return self.factor * self.operator._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.factor * self.operator._adjoint(y)

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        if self.factor == 0.0:
            return super().solve(rhs, rho)
        square = self.factor**2
        return self.operator.solve(rhs / square, rho / square)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        if self.factor == 0.0:
            return torch.zeros_like(self.adjoint(y))
        return self.operator.pinv(y, rtol=rtol) / self.factor

    def norm(self, *, iterations: int = 50) -> float:
        return abs(self.factor) * self.operator.norm(iterations=iterations)

    @property
    def observed(self) -> Tensor | None:
        return self.operator.observed


class Stack(LinearOperator):
    """[A; B; ...]: the measurements of several operators on one picture, each flattened, one after another (B x M)."""

    def __init__(self, operators: Sequence[LinearOperator]) -> None:
        if not operators:
            raise BadInput("stack of no operators", wanted="at least one")
        inputs = {a.input_shape for a in operators}
        if len(inputs) != 1:
            raise BadInput(f"cannot stack operators on inputs {sorted(inputs)}", wanted="one input shape")
        self_sizes = [torch.Size(a.output_shape).numel() for a in operators]
        super().__init__(
            operators[0].input_shape,
            (sum(self_sizes),),
            complex_input=any(a.complex_input for a in operators),
            complex_output=any(a.complex_output for a in operators),
        )
        self.parts = nn.ModuleList(operators)
        self.sizes = self_sizes
        self._observed = _stack_observed(operators)

    def _forward(self, x: Tensor) -> Tensor:
        return torch.cat([part._forward(x).flatten(1) for part in self._operators()], dim=1)

    def _adjoint(self, y: Tensor) -> Tensor:
        pieces = self.split(y)
        back = [
            part._adjoint(piece.real if piece.is_complex() and not part.complex_output else piece)
            for part, piece in zip(self._operators(), pieces, strict=True)
        ]
        return torch.stack(back).sum(0)

    def split(self, y: Tensor) -> tuple[Tensor, ...]:
        """The measurement of each operator in its own shape."""
        pieces = torch.split(y, self.sizes, dim=1)
        return tuple(p.reshape(y.shape[0], *a.output_shape) for p, a in zip(pieces, self._operators(), strict=True))

    @property
    def observed(self) -> Tensor | None:
        return self._observed

    def _operators(self) -> list[LinearOperator]:
        return list(self.parts)  # type: ignore[arg-type]


def _stack_observed(operators: Sequence[LinearOperator]) -> Tensor | None:
    masks = [a.observed for a in operators]
    if all(m is None for m in masks):
        return None
    full = [
        torch.ones(a.output_shape, dtype=torch.bool) if m is None else m.expand(a.output_shape)
        for a, m in zip(operators, masks, strict=True)
    ]
    return torch.cat([m.flatten() for m in full])


def stack(operators: Sequence[LinearOperator]) -> Stack:
    """The operator x -> (A1 x, A2 x, ...), flattened and concatenated; `split` takes the result apart."""
    return Stack(operators)


class Select(LinearOperator):
    """y -> y[keep] (row-major), the packed form of a masked measurement."""

    keep: Tensor

    def __init__(self, input_shape: Shape, *, keep: Tensor, complex_values: bool = False) -> None:
        keep = keep.expand(input_shape).flatten()
        super().__init__(input_shape, (int(keep.sum()),), complex_input=complex_values, complex_output=complex_values)
        self.register_buffer("keep", keep.nonzero()[:, 0])

    def _forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, self.keep]

    def _adjoint(self, y: Tensor) -> Tensor:
        full = y.new_zeros(y.shape[0], torch.Size(self.input_shape).numel())
        full[:, self.keep] = y
        return full.reshape(y.shape[0], *self.input_shape)

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        kept = torch.zeros(torch.Size(self.input_shape).numel(), device=rhs.device)
        kept[self.keep] = 1
        return rhs / (kept.reshape(self.input_shape).to(rhs.dtype) + rho)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        return self.adjoint(y)
