"""What an operator is: shapes known at birth, a forward map, and for linear ones the exact adjoint beside it."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..common.errors import BadInput, BadType

Shape = tuple[int, ...]
# A solver moves the operator it is given while another thread may be at its first use: one walks the table of buffers,
# the other adds to it. Held for an instant, so one lock serves all operators and none has to be copied or stored.
_BUFFERS = threading.RLock()
SINGLE_OF = {torch.float64: torch.complex128, torch.float32: torch.complex64}


class Operator(nn.Module):
    """A differentiable map y = A(x) from B x input_shape to B x output_shape.

    A subclass sets its shapes in the constructor and implements `_forward`. Non-linear operators get `jvp` and `vjp`
    from automatic differentiation. Arrays are kept as float64 buffers and cast to the data's dtype by `constant`,
    so the same operator serves float32 reconstructions and float64 checks.
    """

    is_linear: ClassVar[bool] = False
    spatial: ClassVar[int] = 2  # axes of the picture after the channel axis: 3 for an operator on volumes
    channels: ClassVar[int | None] = None  # the only channel count that makes sense (3 for a colour filter array)

    def __init__(
        self,
        input_shape: Shape,
        output_shape: Shape,
        *,
        complex_input: bool = False,
        complex_output: bool = False,
    ) -> None:
        super().__init__()
        self.input_shape = check_shape(input_shape, "input_shape")
        self.output_shape = check_shape(output_shape, "output_shape")
        self.complex_input = complex_input
        self.complex_output = complex_output
        self._casts: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    # -- what a subclass implements -----------------------------------------------------------------------------

    def _forward(self, x: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not implement _forward")

    @property
    def observed(self) -> Tensor | None:
        """Boolean tensor broadcastable to B x output_shape: which entries of y are measured; None means all."""
        return None

    # -- what everybody calls -----------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """A(x). x: B x input_shape, real or complex as the operator says; BadInput for another shape."""
        self._check(x, self.input_shape, self.complex_input, "input")
        with full_precision(x):
            return self._forward(x)

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        """The derivative of A at x in direction v (B x output_shape)."""
        with warnings.catch_warnings():
            # torch warns about its own use of torch.jit when forward differentiation is first used in a process.
            warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
            return torch.func.jvp(self.forward, (x,), (v,))[1]

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        """The adjoint of the derivative of A at x applied to u (B x input_shape)."""
        # Inside inference mode, as a solver may be, nothing can be differentiated.
        with torch.inference_mode(False), torch.enable_grad():
            x, u = (t.clone() if t.is_inference() else t for t in (x, u))
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.forward(x), x, u)[0]

    @property
    def relaxed(self) -> Operator:
        """The map whose derivative `jvp` and `vjp` give: this one, unless it is a staircase.

        Rounding has derivative 0 almost everywhere, which steers nothing. An operator that rounds passes gradients
        straight through and names here what they belong to (Bengio et al. 2013, arXiv 1308.3432).
        """
        return self

    def direct(self, y: Tensor) -> Tensor:
        """The quick reconstruction of the field: filtered back-projection, zero filling, demosaicking, decoding.

        y: B x output_shape; returns B x input_shape. BadInput where the field has none.
        """
        raise BadInput(f"{type(self).__name__} has no direct reconstruction", do="Choose an iterative solver.")

    def constant(self, name: str, like: Tensor) -> Tensor:
        """The buffer `name` with the precision and on the device of `like`; real stays real, complex stays complex."""
        buffer: Tensor = getattr(self, name)
        precision = like.dtype.to_real() if like.is_complex() else like.dtype
        if precision not in SINGLE_OF:
            precision = torch.float32
        dtype = buffer.dtype
        if buffer.is_complex():
            dtype = SINGLE_OF[precision]
        elif buffer.is_floating_point():
            dtype = precision
        if buffer.dtype == dtype and buffer.device == like.device:
            return buffer
        key = (name, dtype, like.device)
        cast = self._casts.get(key)
        if cast is None:
            # Made under inference mode, a cast could never take part in a gradient later.
            with torch.inference_mode(False):
                cast = buffer.to(device=like.device, dtype=dtype)
            self._casts[key] = cast  # another thread may move the operator, and so empty this, at any time
        return cast

    def derived(self, name: str, make: Callable[[], Tensor], like: Tensor) -> Tensor:
        """`constant(name, like)` for an array that the state implies: made at first use, moved along, never saved."""
        if name not in self._buffers:
            with torch.inference_mode(False), full_precision(like):
                made = make()
            with _BUFFERS:
                self.register_buffer(name, made, persistent=False)
        return self.constant(name, like)

    def _check(self, data: Tensor, shape: Shape, is_complex: bool, what: str) -> None:
        if not isinstance(data, Tensor) or not (data.is_floating_point() or data.is_complex()):
            kind = str(getattr(data, "dtype", type(data).__name__))
            raise BadType(f"{what} of {type(self).__name__} is {kind}", wanted="a floating-point tensor")
        if tuple(data.shape[1:]) != shape or data.ndim != len(shape) + 1:
            raise BadInput(
                f"{what} of {type(self).__name__} has shape {tuple(data.shape)}",
                wanted=f"B x {' x '.join(map(str, shape))}",
                do="An operator is bound to its size: build one for this picture.",
            )
        if data.is_complex() and not is_complex:
            raise BadType(f"{what} of {type(self).__name__} is complex", wanted="real values")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Operator:
        self._casts = {}

        def on_complex_too(t: Tensor) -> Tensor:
            if not t.is_complex():
                return fn(t)
            # `.to(torch.float64)` means the precision: a module would drop imaginary parts.
            moved = fn(torch.zeros(0, dtype=t.dtype.to_real(), device=t.device))
            return t.to(device=moved.device, dtype=moved.dtype.to_complex())

        with _BUFFERS:
            return super()._apply(on_complex_too, recurse)  # type: ignore[no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_casts": {}}

    def __matmul__(self, other: Operator) -> Operator:
        from .algebra import compose

        return compose(self, other)

    def extra_repr(self) -> str:
        return f"{self.input_shape} -> {self.output_shape}"


class _Linear(torch.autograd.Function):
    """Apply a linear operator or its adjoint; the backward pass is the other one, to any order."""

    @staticmethod
    def forward(x: Tensor, operator: LinearOperator, adjoint: bool) -> Tensor:
        if not len(x):
            return operator._nothing(x, adjoint=adjoint)
        with full_precision(x):
            return operator._adjoint(x) if adjoint else operator._forward(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, LinearOperator, bool], output: Tensor) -> None:
        _, ctx.operator, ctx.adjoint = inputs

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None, None], x: Tensor, operator: LinearOperator, adjoint: bool) -> Any:
        x = x.movedim(in_dims[0], 0)
        y = _Linear.apply(x.flatten(0, 1), operator, adjoint)
        return y.unflatten(0, x.shape[:2]), 0

    @classmethod
    def on(cls, x: Tensor, operator: LinearOperator, *, adjoint: bool) -> Tensor:
        """`apply`, or the bare computation where no derivative is asked for: `apply` alone costs some 70 us."""
        if _watched(x):
            return cls.apply(x, operator, adjoint)  # type: ignore[no-any-return]
        with torch.no_grad():
            return cls.forward(x, operator, adjoint)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _Linear.apply(grad[0], ctx.operator, not ctx.adjoint), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:  # type: ignore[override]
        return _Linear.apply(tangents[0], ctx.operator, ctx.adjoint)


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
        return _Linear.on(x, self, adjoint=False)

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
        return _Linear.on(y, self, adjoint=True)

    @property
    def H(self) -> LinearOperator:
        """The adjoint as an operator; `A.H.H` is A."""
        from .algebra import Adjoint

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
        from .linear_solvers import conjugate_gradients

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
        from .linear_solvers import least_squares

        return least_squares(self, y, rtol=rtol).x

    def direct(self, y: Tensor) -> Tensor:
        """The quick reconstruction of the field; A^+ y where the subclass names no other."""
        return self.pinv(y)

    def norm(self, *, iterations: int = 50) -> float:
        """The largest singular value; exact from the SVD, otherwise by power iteration from a fixed start."""
        if self.svd is not None:
            return float(self.svd.s.max()) if self.svd.s.numel() else 0.0
        from .linear_solvers import spectral_norm

        return spectral_norm(self, iterations=iterations)

    def compact(self) -> LinearOperator:
        """The same physics with unobserved entries of y left out (y becomes B x M); self where all are observed."""
        if self.observed is None:
            return self
        from .algebra import Select

        return Select(self.output_shape, keep=self.observed, complex_values=self.complex_output) @ self  # type: ignore[return-value]

    def as_scipy(self) -> Any:
        """A scipy.sparse.linalg.LinearOperator on one flattened picture (float64)."""
        from .interop import to_scipy

        return to_scipy(self)

    def as_deepinv(self) -> Any:
        """A deepinv.physics.LinearPhysics; MissingExtra without deepinv."""
        from .interop import to_deepinv

        return to_deepinv(self)

    def __add__(self, other: LinearOperator) -> LinearOperator:
        from .algebra import Sum

        return Sum(self, other)

    def __mul__(self, factor: float) -> LinearOperator:
        from .algebra import Scaled

        return Scaled(self, factor=factor)

    __rmul__ = __mul__

    def __neg__(self) -> LinearOperator:
        return self * -1.0


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


def check_shape(shape: Any, name: str) -> Shape:
    """The shape as a tuple of positive integers, or BadInput."""
    try:
        sizes = tuple(int(s) for s in shape)
    except (TypeError, ValueError):
        raise BadInput(f"{name} is {shape!r}", wanted="sizes without the batch, such as (3, 256, 256)") from None
    if not sizes or any(s < 1 for s in sizes):
        raise BadInput(f"{name} is {sizes}", wanted="positive sizes without the batch, such as (3, 256, 256)")
    return sizes


def check_rho(rho: float | Tensor, like: Tensor) -> Tensor:
    """rho as a tensor that broadcasts over B x ...; BadInput for negative, non-finite or a wrong length."""
    value = torch.as_tensor(rho, dtype=like.real.dtype if like.is_complex() else like.dtype, device=like.device)
    if value.ndim > 0 and value.numel() not in (1, like.shape[0]):
        raise BadInput(
            f"rho has {value.numel()} entries", wanted=f"one number, or one for each of the {like.shape[0]} pictures"
        )
    if not bool(torch.isfinite(value).all()) or bool((value < 0).any()):
        raise BadInput(f"rho is {rho}", wanted="a finite number that is not negative")
    return value if value.ndim == 0 else value.reshape(-1, *[1] * (like.ndim - 1))
