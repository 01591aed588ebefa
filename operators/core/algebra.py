"""Operators made of operators: composition, sum, scaling, stacking, adjoint, selection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor, nn

from ..common.errors import BadInput, BadType
from .base import SVD, LinearOperator, Operator, Shape, check_rho


class Adjoint(LinearOperator):
    """A^H as an operator."""

    operator: LinearOperator

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

    def norm(self, *, iterations: int = 50) -> float:
        return self.operator.norm(iterations=iterations)

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
    if inner.complex_output and not outer.complex_input:
        raise BadType(
            "cannot compose: the inner operator gives complex values", wanted="real ones for the outer operator"
        )
    if isinstance(outer, LinearOperator) and isinstance(inner, LinearOperator):
        return Composed(outer, inner)
    return ComposedNonlinear(outer, inner)


class ComposedNonlinear(Operator):
    """outer(inner(x)) where one of the two is not linear."""

    outer: Operator
    inner: Operator

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

    outer: LinearOperator
    inner: LinearOperator

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
        return self.inner._adjoint(_in_space(self.outer._adjoint(y), self.inner.complex_output))

    @property
    def observed(self) -> Tensor | None:
        return self.outer.observed


class Sum(LinearOperator):
    """A + B."""

    first: LinearOperator
    second: LinearOperator

    def __init__(self, first: LinearOperator, second: LinearOperator) -> None:
        _check_operators((first, second), "add")
        if first.output_shape != second.output_shape:
            raise BadInput(f"cannot add an operator to {second.output_shape}", wanted=f"to {first.output_shape}")
        super().__init__(
            first.input_shape,
            first.output_shape,
            complex_input=first.complex_input,
            complex_output=first.complex_output or second.complex_output,
        )
        self.first, self.second = first, second

    def _forward(self, x: Tensor) -> Tensor:
        return self.first._forward(x) + self.second._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        first, second = (part._adjoint(_in_space(y, part.complex_output)) for part in (self.first, self.second))
        return first + second

    @property
    def observed(self) -> Tensor | None:
        """What either of the two observes."""
        first, second = self.first.observed, self.second.observed
        return None if first is None or second is None else first | second


class Scaled(LinearOperator):
    """factor * A for a real factor; closed forms of A carry over."""

    operator: LinearOperator
    factor: float

    def __init__(self, operator: LinearOperator, *, factor: float) -> None:
        super().__init__(
            operator.input_shape,
            operator.output_shape,
            complex_input=operator.complex_input,
            complex_output=operator.complex_output,
        )
        if isinstance(factor, bool) or not isinstance(factor, Real) or not math.isfinite(factor):
            raise BadType(
                f"an operator was multiplied by {type(factor).__name__}",
                wanted="a finite real number",
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
        return self.operator.solve(rhs / square, check_rho(rho, rhs) / square)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        if self.factor == 0.0:
            return torch.zeros_like(self.adjoint(y))
        return self.operator.pinv(y, rtol=rtol) / self.factor

    @property
    def svd(self) -> SVD | None:
        inside = self.operator.svd
        if inside is None or self.factor == 0.0:
            return None
        sign = math.copysign(1.0, self.factor)
        return SVD(
            s=abs(self.factor) * inside.s,
            U=lambda c: sign * inside.U(c),
            Ut=lambda y: sign * inside.Ut(y),
            V=inside.V,
            Vt=inside.Vt,
        )

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
        _check_operators(operators, "stack")
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
        return tuple(_in_space(p.reshape(y.shape[0], *a.output_shape), a.complex_output) for p, a in pieces)

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


class Select(LinearOperator):
    """y -> y[keep] (row-major), the packed form of a masked measurement."""

    keep: Tensor

    def __init__(self, input_shape: Shape, *, keep: Tensor, complex_values: bool = False) -> None:
        places = keep.expand(1, *input_shape).flatten().nonzero()[:, 0]
        if not len(places):
            raise BadInput("nothing is observed: the packed measurement would be empty", wanted="at least one entry")
        super().__init__(input_shape, (len(places),), complex_input=complex_values, complex_output=complex_values)
        self.register_buffer("keep", places)

    def _forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, self.constant("keep", x)]

    def _adjoint(self, y: Tensor) -> Tensor:
        full = y.new_zeros(y.shape[0], math.prod(self.input_shape))
        full[:, self.constant("keep", y)] = y
        return full.reshape(y.shape[0], *self.input_shape)

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """rhs / (1 + rho) on kept entries, rhs / rho (0 for rho = 0) on the others."""
        level = check_rho(rho, rhs)
        kept = self.gram(rhs)
        return kept / (1 + level) + torch.where(level > 0, (rhs - kept) / torch.where(level > 0, level, 1.0), 0.0)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        return self.adjoint(y)

    def norm(self, *, iterations: int = 50) -> float:
        return 1.0


def _check_operators(operators: Sequence[LinearOperator], verb: str) -> None:
    """Linear operators on one and the same space, or BadType, BadInput."""
    for other in operators:
        if not isinstance(other, LinearOperator):
            raise BadType(f"cannot {verb} {type(other).__name__}", wanted="linear operators")
        if other.input_shape != operators[0].input_shape:
            raise BadInput(
                f"cannot {verb} an operator on {other.input_shape}", wanted=f"one on {operators[0].input_shape}"
            )
        if other.complex_input != operators[0].complex_input:
            raise BadType(f"cannot {verb} an operator on real pictures and one on complex pictures")


def _in_space(values: Tensor, is_complex: bool) -> Tensor:
    """values, or their real part in a real space: the adjoint of reading real numbers as complex ones."""
    return values.real if values.is_complex() and not is_complex else values
