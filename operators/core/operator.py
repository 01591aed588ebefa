"""What an operator is: shapes known at birth and a differentiable forward map."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..common.errors import BadInput, BadType
from ..common.metadata import Facts, Hints
from ..common.received import Received
from ..common.settings import Checked
from ..common.space import Space
from .differentiation import full_precision
from .shapes import Shape, check_shape, with_checked_shape

# A solver moves the operator it is given while another thread may be at its first use: one walks the table of buffers,
# the other adds to it. Held for an instant, so one lock serves all operators and none has to be copied or stored.
_BUFFERS = threading.RLock()
SINGLE_OF = {torch.float64: torch.complex128, torch.float32: torch.complex64}


class Operator(Checked, nn.Module):
    """A differentiable map y = A(x) from B x input_shape to B x output_shape.

    A subclass sets its shapes in the constructor, whose keyword-only parameters are its settings, held against their
    annotations (`operators.common.settings`), and implements `_forward`. Non-linear operators get `jvp` and `vjp`
    from automatic differentiation. Arrays are kept as float64 buffers and cast to the data's dtype by `constant`,
    so the same operator serves float32 reconstructions and float64 checks.
    """

    is_linear: ClassVar[bool] = False
    spatial: ClassVar[int] = 2  # axes of the picture after the channel axis: 3 for an operator on volumes
    channels: ClassVar[int | None] = None  # the only channel count that makes sense (3 for a colour filter array)
    # Settings that still mean something where an array (a kernel, a mask, angles) stands in place of what is described.
    beside_array: ClassVar[tuple[str, ...]] = ("boundary",)
    # Whether the parameter `mask` tells which entries of y were measured, as all do but a coded aperture.
    mask_marks_pixels: ClassVar[bool] = True

    def __init_subclass__(cls, **options: Any) -> None:
        if "__init__" in vars(cls):
            setattr(cls, "__init__", with_checked_shape(cls.__init__))  # noqa: B010
        super().__init_subclass__(**options)  # settings are checked first

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

    @classmethod
    def informed_by(
        cls,
        meta: Facts,
        output_shape: Shape | None,
        settings: Mapping[str, Any],
        *,
        fixed: Collection[str] = (),
    ) -> Hints:
        """What a file tells of this operator beside the `settings` of a task; nothing unless a subclass knows better.

        meta: what the file says of its picture. output_shape: of the measurement that the file holds (without batch);
        None where it holds the picture itself. fixed: parameters that the user gave, which no file overrules.
        """
        return Hints()

    @classmethod
    def received(
        cls, y: Tensor, arrays: Mapping[str, Tensor], settings: Mapping[str, Any], *, shape: Shape | None = None
    ) -> Received:
        """A measurement from elsewhere as this operator takes it; BadInput, with the remedy, for what it cannot be.

        y: B x ..., as its file holds it. arrays: parameters that the user gave. settings: those of the task. shape: of
        the picture, where the user said it.
        """
        return Received(y, dict(arrays))

    @property
    def support(self) -> Tensor | None:
        """Boolean, broadcastable to B x input_shape: False where the picture is 0 by definition; None: nowhere."""
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
                value = make()
            with _BUFFERS:
                self.register_buffer(name, value, persistent=False)
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
        return ComposedNonlinear(self, other)

    def extra_repr(self) -> str:
        return f"{self.input_shape} -> {self.output_shape}"


class ComposedNonlinear(Operator):
    """outer(inner(x)) where one of the two is not linear."""

    outer: Operator
    inner: Operator

    def __init__(self, outer: Operator, inner: Operator) -> None:
        check_chain(outer, inner)
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

    @property
    def support(self) -> Tensor | None:
        return self.inner.support


def check_chain(outer: Operator, inner: Operator) -> None:
    """BadType for anything but two operators, BadInput where the one does not give what the other takes."""
    if not isinstance(inner, Operator):
        is_space = isinstance(inner, Space)
        remedy = "Write A @ Decode(space, A.input_shape)." if is_space else "Apply an operator with A(x)."
        raise BadType(f"the right side of @ is {type(inner).__name__}", wanted="an operator", do=remedy)
    if outer.input_shape != inner.output_shape:
        raise BadInput(
            f"cannot compose: the inner operator gives {inner.output_shape}",
            wanted=f"{outer.input_shape} for the outer one",
        )
    if inner.complex_output and not outer.complex_input:
        raise BadType(
            "cannot compose: the inner operator gives complex values", wanted="real ones for the outer operator"
        )
