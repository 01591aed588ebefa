"""What a linear operator is, the exact adjoint beside the forward map, and what `@ + * .H` make of two of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from ..common.errors import BadInput, BadType
from .diagonal import divide
from .differentiation import Applied
from .exports import to_deepinv, to_scipy
from .linear_solvers import conjugate_gradients, least_squares, spectral_norm
from .operator import SINGLE_OF, ComposedNonlinear, Operator, check_chain
from .shapes import Shape, check_rho


@dataclass(frozen=True)
class SVD:
    """A = U diag(s) V^H in a fast basis.

    s: singular values (r,), not sorted. Vt: B x input_shape -> B x n, whose first r coordinates pair with s and whose
    rest span the null space. V: the inverse of Vt. Ut: B x output_shape -> B x r. U: its adjoint.
    """

    s: Tensor
    U: Callable[[Tensor], Tensor]
    Ut: Callable[[Tensor], Tensor]
    V: Callable[[Tensor], Tensor]
    Vt: Callable[[Tensor], Tensor]


class LinearOperator(Operator):
    """A linear map with `_forward` and `_adjoint` side by side; differentiating through one applies the other.

    Closed forms are the subclass's to give: override `solve` and `pinv`, or set `svd`, where the operator is diagonal
    in a fast basis; otherwise conjugate gradients serve.
    """

    is_linear = True

    def _adjoint(self, y: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not implement _adjoint")

    def forward(self, x: Tensor) -> Tensor:
        self._check(x, self.input_shape, self.complex_input, "input")
        return Applied.on(x, self, adjoint=False)

    def _nothing(self, x: Tensor, *, adjoint: bool) -> Tensor:
        """The image of an empty batch, whose transforms some releases of torch refuse."""
        shape, is_complex = (
            (self.input_shape, self.complex_input) if adjoint else (self.output_shape, self.complex_output)
        )
        precision = x.dtype.to_real() if x.is_complex() else x.dtype
        precision = precision if precision in SINGLE_OF else torch.float32
        return x.new_zeros((0, *shape), dtype=SINGLE_OF[precision] if is_complex else precision)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^H y. y: B x output_shape; returns B x input_shape (real for a real input space)."""
        self._check(y, self.output_shape, self.complex_output, "measurement")
        return Applied.on(y, self, adjoint=True)

    @property
    def H(self) -> LinearOperator:
        """The adjoint as an operator; `A.H.H` is A."""
        return Adjoint(self)

    @property
    def svd(self) -> SVD | None:
        """A fast singular value decomposition, or None."""
        return None

    def gram(self, x: Tensor) -> Tensor:
        """A^H A x; a subclass fuses the two where that is cheaper."""
        return self.adjoint(self.forward(x))

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        return self.forward(v)

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        return self.adjoint(u)

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """(A^H A + rho I)^-1 rhs. rhs: B x input_shape; rho >= 0, a number or one per batch entry."""
        rho = check_rho(rho, rhs)
        return conjugate_gradients(lambda x: self.gram(x) + rho * x, rhs, preconditioner=self.preconditioner(rho)).x

    def correction(self, residual: Tensor, rho: float | Tensor) -> Tensor:
        """(A^H A + rho I)^-1 A^H residual; a subclass works on the side of the measurement where that is smaller.

        residual: B x output_shape. rho >= 0, a number or one per batch entry.
        """
        return self.solve(self.adjoint(residual), rho)

    def preconditioner(self, rho: Tensor) -> Callable[[Tensor], Tensor] | None:
        """An approximate inverse of A^H A + rho I for conjugate gradients, or None."""
        return None

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """A^+ y, singular values under rtol times the largest left out (CGLS stopped at rtol where no SVD exists)."""
        self._check(y, self.output_shape, self.complex_output, "measurement")
        decomposition = self.svd
        if decomposition is not None:
            s = decomposition.s.to(device=y.device)
            kept = s > rtol * s.amax() if s.numel() else s > 0
            inverse = torch.where(kept, 1 / torch.where(kept, s, torch.ones_like(s)), torch.zeros_like(s))
            coordinates = decomposition.Ut(y)
            coordinates = coordinates * inverse.to(coordinates.real.dtype)
            null = math.prod(self.input_shape) - coordinates.shape[1]
            return decomposition.V(torch.nn.functional.pad(coordinates, (0, null)))
        return least_squares(self, y, rtol=rtol).x

    def direct(self, y: Tensor) -> Tensor:
        """The quick reconstruction of the field; A^+ y where the subclass names no other."""
        return self.pinv(y)

    def norm(self, *, iterations: int = 50) -> float:
        """The largest singular value; exact from the SVD, otherwise by power iteration from a fixed start."""
        if self.svd is not None:
            return float(self.svd.s.max()) if self.svd.s.numel() else 0.0
        return spectral_norm(self, iterations=iterations)

    def compact(self) -> LinearOperator:
        """The same physics with unobserved entries of y left out (y becomes B x M); self where all are observed."""
        if self.observed is None:
            return self
        return Select(self.output_shape, keep=self.observed, complex_values=self.complex_output) @ self  # type: ignore[return-value]

    def as_scipy(self) -> Any:
        """A scipy.sparse.linalg.LinearOperator on one flattened picture (float64)."""
        return to_scipy(self)

    def as_deepinv(self) -> Any:
        """A deepinv.physics.LinearPhysics; MissingExtra without deepinv."""
        return to_deepinv(self)

    def __matmul__(self, other: Operator) -> Operator:
        return Composed(self, other) if isinstance(other, LinearOperator) else ComposedNonlinear(self, other)

    def __add__(self, other: LinearOperator) -> LinearOperator:
        return Sum(self, other)

    def __mul__(self, factor: float) -> LinearOperator:
        return Scaled(self, factor=factor)

    __rmul__ = __mul__

    def __neg__(self) -> LinearOperator:
        return self * -1.0


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


class Composed(LinearOperator):
    """The product of two linear operators; its adjoint is inner^H outer^H."""

    outer: LinearOperator
    inner: LinearOperator

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        check_chain(outer, inner)
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
        return self.inner._adjoint(in_space(self.outer._adjoint(y), self.inner.complex_output))

    @property
    def observed(self) -> Tensor | None:
        return self.outer.observed

    @property
    def support(self) -> Tensor | None:
        return self.inner.support


class Sum(LinearOperator):
    """A + B."""

    first: LinearOperator
    second: LinearOperator

    def __init__(self, first: LinearOperator, second: LinearOperator) -> None:
        check_same_space((first, second), "add")
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
        first, second = (part._adjoint(in_space(y, part.complex_output)) for part in (self.first, self.second))
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

    def __init__(self, operator: LinearOperator, factor: float) -> None:
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

    @property
    def support(self) -> Tensor | None:
        return self.operator.support


class PartialIsometry(LinearOperator):
    """A linear operator whose singular values are 1, and 0 where it has a kernel: A^+ = A^H.

    A subclass gives `solve` where it has a cheaper form.
    """

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """rhs / (1 + rho) in the row space, rhs / rho (0 for rho = 0) in the kernel."""
        level = check_rho(rho, rhs)
        measured = self.gram(rhs)
        return measured / (1 + level) + divide(rhs - measured, level)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """A^H y, whatever rtol."""
        return self.adjoint(y)

    def norm(self, *, iterations: int = 50) -> float:
        """Without iterations: it is 1."""
        return 1.0


class Isometry(PartialIsometry):
    """A linear operator with A^H A = I: nothing is lost."""

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """rhs / (1 + rho)."""
        self._check(rhs, self.input_shape, self.complex_input, "right-hand side")
        return rhs / (1 + check_rho(rho, rhs))


class Select(PartialIsometry):
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


def check_same_space(operators: Sequence[LinearOperator], verb: str) -> None:
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


def in_space(values: Tensor, is_complex: bool) -> Tensor:
    """values, or their real part in a real space: the adjoint of reading real numbers as complex ones."""
    return values.real if values.is_complex() and not is_complex else values
