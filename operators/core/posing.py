"""An operator seen from another space: A'(z) = A(space.to(z)), linear where it can be."""

from __future__ import annotations

import torch
from torch import Tensor

from ..common.space import IDENTITY, Affine, Latent, Space
from .linear import Composed, LinearOperator
from .operator import ComposedNonlinear, Operator
from .shapes import Shape


class InSpace(Operator):
    """A'(z) = A(space.to(z)) for any operator A."""

    operator: Operator
    space: Space

    def __init__(self, operator: Operator, space: Space) -> None:
        super().__init__(
            space.own_shape(operator.input_shape),
            operator.output_shape,
            complex_input=operator.complex_input,
            complex_output=operator.complex_output,
        )
        self.operator, self.space = operator, space

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator(self.space.to(x))  # type: ignore[no-any-return]

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        if isinstance(self.space, Affine):
            return self.space.scale * self.operator.vjp(self.space.to(x), u)
        with torch.inference_mode(False), torch.enable_grad():
            x, u = (t.clone() if t.is_inference() else t for t in (x, u))
            z = x.detach().requires_grad_()
            picture = self.space.to(z)
            return torch.autograd.grad(picture, z, self.operator.vjp(picture.detach(), u))[0]

    def direct(self, y: Tensor) -> Tensor:
        return self.space.back(self.operator.direct(y))

    @property
    def observed(self) -> Tensor | None:
        return self.operator.observed


class Decode(Operator):
    """x = space.to(z) as an operator, so that `A @ Decode(space, shape)` measures what a latent z means.

    space: a Space, such as Latent. input_shape: of the pictures x (the shape of z is the space's to say). A problem
    whose operator ends in one is solved for z, and answered in pictures.
    """

    def __init__(self, space: Space, input_shape: Shape) -> None:
        super().__init__(space.own_shape(tuple(input_shape)), input_shape)
        self.space = space

    def _forward(self, x: Tensor) -> Tensor:
        return self.space.sized(self.output_shape).to(x)


def apart(operator: Operator) -> tuple[Operator, Space]:
    """(A, space) of an operator A @ Decode(space), however it was put together; itself and the identity otherwise."""
    if not isinstance(operator, Composed | ComposedNonlinear):
        return operator, IDENTITY
    if isinstance(operator.inner, Decode):
        return operator.outer, operator.inner.space
    inner, space = apart(operator.inner)
    return (operator, space) if inner is operator.inner else (operator.outer @ inner, space)


def keeps_linear(space: Space) -> bool:
    """Whether a linear operator stays linear, up to an offset of y, when seen from the space."""
    return all(
        isinstance(part, Affine) or (isinstance(part, Latent) and isinstance(part.decode, LinearOperator))
        for part in space.parts
    )
