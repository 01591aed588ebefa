"""Operators from functions, matrices, SciPy and deepinv, and the way back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..common.errors import BadInput, BadType
from .base import SVD, LinearOperator, Operator, Shape, check_shape, full_precision

Map = Callable[[Tensor], Tensor]


class Function(Operator):
    """A user's differentiable function as an operator that is not linear."""

    def __init__(
        self,
        function: Map,
        *,
        input_shape: Shape,
        output_shape: Shape | None = None,
        complex_input: bool = False,
    ) -> None:
        shape, is_complex = _probe(function, input_shape, output_shape, complex_input)
        super().__init__(input_shape, shape, complex_input=complex_input, complex_output=is_complex)
        self.function = function

    def _forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class LinearFunction(LinearOperator):
    """A linear function and its adjoint; without one, the adjoint is the function's own backward pass."""

    def __init__(
        self,
        function: Map,
        adjoint: Map | None = None,
        *,
        input_shape: Shape,
        output_shape: Shape | None = None,
        complex_input: bool = False,
    ) -> None:
        shape, is_complex = _probe(function, input_shape, output_shape, complex_input)
        super().__init__(input_shape, shape, complex_input=complex_input, complex_output=is_complex)
        self.function, self.function_adjoint = function, adjoint

    def _forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        if self.function_adjoint is not None:
            return self.function_adjoint(y)
        # The backward pass of a linear map is its adjoint at any point, so at zero.
        with torch.inference_mode(False), torch.enable_grad():
            x = _zeros(self.input_shape, self.complex_input, y).requires_grad_()
            return torch.autograd.grad(self.function(x), x, y.clone())[0]


def from_function(
    forward: Map,
    adjoint: Map | None = None,
    *,
    input_shape: Shape,
    output_shape: Shape | None = None,
    complex_input: bool = False,
) -> LinearOperator:
    """A linear operator from a function of B x input_shape tensors.

    adjoint: of B x output_shape tensors; None takes the backward pass of `forward`, which must then be differentiable.
    output_shape: without the batch; None finds it (and whether y is complex) by one call on zeros.
    `operators.check` tells whether the two belong together.
    """
    return LinearFunction(
        forward, adjoint, input_shape=input_shape, output_shape=output_shape, complex_input=complex_input
    )


class Matrix(LinearOperator):
    """y = M x on flattened pictures. M: dense or sparse, real or complex; a complex M makes y complex."""

    matrix: Tensor
    transposed: Tensor

    def __init__(
        self, matrix: Any, *, input_shape: Shape, output_shape: Shape | None = None, complex_input: bool = False
    ) -> None:
        m = _as_tensor(matrix)
        shape = check_shape(input_shape, "input_shape")
        out = (m.shape[0],) if output_shape is None else check_shape(output_shape, "output_shape")
        if m.shape != (math.prod(out), math.prod(shape)):
            raise BadInput(
                f"the matrix is {m.shape[0]} x {m.shape[1]}",
                wanted=f"{math.prod(out)} x {math.prod(shape)} for {shape} -> {out}",
            )
        super().__init__(shape, out, complex_input=complex_input, complex_output=complex_input or m.is_complex())
        self.register_buffer("matrix", m)
        self.register_buffer("transposed", m.mH.coalesce() if m.is_sparse else m.mH)

    def _forward(self, x: Tensor) -> Tensor:
        return self._multiply("matrix", x, self.output_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        x = self._multiply("transposed", y, self.input_shape)
        return x.real if x.is_complex() and not self.complex_input else x

    def _multiply(self, name: str, x: Tensor, shape: Shape) -> Tensor:
        matrix = self.constant(name, x)
        common = torch.promote_types(matrix.dtype, x.dtype)
        product = torch.matmul(matrix.to(common), x.flatten(1).to(common).mT).mT
        return product.reshape(x.shape[0], *shape)

    @property
    def svd(self) -> SVD | None:
        """By dense algebra; None for a sparse, a large, or a complex matrix on real pictures."""
        mixed = self.matrix.is_complex() and not self.complex_input
        if self.matrix.is_sparse or mixed or self.matrix.shape[1] > DENSE_LIMIT:
            return None
        rank = min(self.matrix.shape)

        def basis(name: str, like: Tensor) -> Tensor:
            return self.derived(name, lambda: self._decomposed(name), like)

        def times(matrix: Tensor, x: Tensor, shape: Shape) -> Tensor:
            with full_precision(x):
                return torch.matmul(x.flatten(1).to(matrix.dtype), matrix.mT).reshape(x.shape[0], *shape)

        return SVD(
            s=basis("s", self.matrix.real),
            U=lambda c: times(basis("u", c), c, self.output_shape),
            Ut=lambda y: times(basis("u", y).mH, y, (rank,)),
            V=lambda c: times(basis("v", c), c, self.input_shape),
            Vt=lambda x: times(basis("v", x).mH, x, (self.matrix.shape[1],)),
        )

    def _decomposed(self, name: str) -> Tensor:
        u, s, vh = torch.linalg.svd(self.matrix, full_matrices=True)
        return {"u": u[:, : len(s)].contiguous(), "s": s, "v": vh.mH.contiguous()}[name]


DENSE_LIMIT = 4096  # columns of a matrix whose dense decomposition is worth its n^3


def from_matrix(
    matrix: Any, *, input_shape: Shape, output_shape: Shape | None = None, complex_input: bool = False
) -> LinearOperator:
    """A linear operator from a NumPy array, a torch tensor or a scipy.sparse matrix (rows: measurements).

    output_shape: None gives a vector. complex_input: whether pictures are complex; a complex matrix on real pictures
    has the real part of M^H y as its adjoint.
    """
    return Matrix(matrix, input_shape=input_shape, output_shape=output_shape, complex_input=complex_input)


def to_dense(operator: LinearOperator) -> Tensor:
    """The matrix of a small operator, measurements x unknowns, float64 or complex128; BadInput above 4096 unknowns."""
    unknowns = math.prod(operator.input_shape)
    if unknowns > DENSE_LIMIT:
        raise BadInput(f"the operator has {unknowns} unknowns", wanted=f"at most {DENSE_LIMIT} for a dense matrix")
    basis = torch.eye(unknowns, dtype=torch.complex128 if operator.complex_input else torch.float64)
    return operator(basis.reshape(unknowns, *operator.input_shape)).flatten(1).mT


def from_scipy(operator: Any, *, input_shape: Shape, output_shape: Shape | None = None) -> LinearOperator:
    """A linear operator from whatever scipy.sparse.linalg.aslinearoperator takes; it runs on the CPU, in double."""
    from scipy.sparse.linalg import aslinearoperator

    wrapped = aslinearoperator(operator)
    is_complex = np.issubdtype(np.dtype(wrapped.dtype or np.float64), np.complexfloating)
    shape = check_shape(input_shape, "input_shape")
    out = (wrapped.shape[0],) if output_shape is None else check_shape(output_shape, "output_shape")
    if wrapped.shape != (math.prod(out), math.prod(shape)):
        raise BadInput(
            f"the operator is {wrapped.shape[0]} x {wrapped.shape[1]}",
            wanted=f"{math.prod(out)} x {math.prod(shape)} for {shape} -> {out}",
        )
    return _Scipy(wrapped, shape, out, is_complex)


class _Scipy(LinearOperator):
    def __init__(self, wrapped: Any, input_shape: Shape, output_shape: Shape, is_complex: bool) -> None:
        super().__init__(input_shape, output_shape, complex_output=is_complex)
        self.wrapped = wrapped

    def _forward(self, x: Tensor) -> Tensor:
        return _through_numpy(self.wrapped.matmat, x, self.output_shape, self.complex_output)

    def _adjoint(self, y: Tensor) -> Tensor:
        return _through_numpy(self.wrapped.rmatmat, y, self.input_shape, False)


def _through_numpy(function: Callable[[np.ndarray], np.ndarray], x: Tensor, shape: Shape, is_complex: bool) -> Tensor:
    double = torch.complex128 if x.is_complex() else torch.float64
    if x.shape[0] == 0:
        result = torch.zeros(0, *shape, dtype=torch.complex128 if is_complex else torch.float64)
    else:
        array = np.ascontiguousarray(function(x.detach().to("cpu", double).flatten(1).mT.numpy()).T)
        result = torch.from_numpy(array if is_complex else np.ascontiguousarray(array.real)).reshape(-1, *shape)
    single = _real_dtype(x)
    return result.to(x.device, single.to_complex() if is_complex else single)


def from_deepinv(physics: Any, *, input_shape: Shape | None = None) -> Operator:
    """An operator from a deepinv physics object: linear where it has `A_adjoint`, else with derivatives by autograd.

    input_shape: without the batch; default: the physics' `img_size`. Its noise model is left behind: give the problem
    one of operators.noise. Its parameters are those it has now.
    """
    if not callable(getattr(physics, "A", None)):
        raise BadType(f"{type(physics).__name__} has no method A", wanted="a deepinv.physics.Physics")
    shape = input_shape if input_shape is not None else getattr(physics, "img_size", None)
    if shape is None:
        raise BadInput(f"{type(physics).__name__} does not say its img_size", do="Give input_shape=(C, H, W).")
    operator: Operator
    if callable(getattr(physics, "A_adjoint", None)):
        operator = LinearFunction(physics.A, physics.A_adjoint, input_shape=tuple(shape))
    else:
        operator = Function(physics.A, input_shape=tuple(shape))
    if isinstance(physics, nn.Module):
        operator.add_module("physics", physics)  # so that its arrays move with the operator
    return operator


def _probe(function: Map, input_shape: Shape, output_shape: Shape | None, complex_input: bool) -> tuple[Shape, bool]:
    """Output shape and whether it is complex, from one call on a zero picture."""
    zeros = _zeros(check_shape(input_shape, "input_shape"), complex_input, torch.zeros(1))
    with torch.no_grad():
        image = function(zeros)
    if not isinstance(image, Tensor):
        raise BadType(
            f"the function returned {type(image).__name__}",
            wanted="one tensor",
            do="Stack operators with operators.stack.",
        )
    if image.ndim < 2 or image.shape[0] != 1:
        raise BadInput(f"the function made {tuple(image.shape)} of {tuple(zeros.shape)}", wanted="1 x output_shape")
    if output_shape is not None and tuple(image.shape[1:]) != tuple(output_shape):
        raise BadInput(f"the function gives {tuple(image.shape[1:])}", wanted=f"output_shape {tuple(output_shape)}")
    return tuple(image.shape[1:]), image.is_complex()


def _zeros(shape: Shape, is_complex: bool, like: Tensor) -> Tensor:
    real = _real_dtype(like)
    dtype = real.to_complex() if is_complex else real
    return torch.zeros(like.shape[0], *shape, dtype=dtype, device=like.device)


def _real_dtype(x: Tensor) -> torch.dtype:
    return x.dtype.to_real() if x.is_complex() else x.dtype


def _as_tensor(matrix: Any) -> Tensor:
    """A float64 or complex128 tensor: dense, or COO where the matrix is sparse."""
    if hasattr(matrix, "tocoo"):
        coo = matrix.tocoo()
        indices = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
        m = torch.sparse_coo_tensor(
            indices, torch.from_numpy(np.array(coo.data)), coo.shape, check_invariants=True
        ).coalesce()
    else:
        m = torch.as_tensor(matrix).detach()
        m = m.coalesce() if m.is_sparse else m.clone()
    if m.ndim != 2:
        raise BadInput(f"the matrix has {m.ndim} axes", wanted="2")
    return m.to(torch.complex128 if m.is_complex() else torch.float64)
