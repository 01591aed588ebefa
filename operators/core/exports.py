"""An operator as other packages know it: SciPy's LinearOperator, deepinv's LinearPhysics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..common.errors import import_extra
from .shapes import Shape

Map = Callable[[Tensor], Tensor]


class Linear(Protocol):
    """What the other package has to know: the two maps, their shapes, and whether values are complex."""

    input_shape: Shape
    output_shape: Shape
    complex_input: bool
    complex_output: bool

    def forward(self, x: Tensor) -> Tensor: ...

    def adjoint(self, y: Tensor) -> Tensor: ...


def to_scipy(operator: Linear) -> Any:
    """A scipy.sparse.linalg.LinearOperator on one flattened picture, in double precision."""
    from scipy.sparse.linalg import LinearOperator as ScipyOperator

    def columns(function: Map, shape: Shape, is_complex: bool) -> Callable[[np.ndarray], np.ndarray]:
        def apply(vectors: np.ndarray) -> np.ndarray:
            array = np.asarray(vectors, dtype=np.complex128 if is_complex else np.float64)
            batch = array.reshape(array.shape[0], -1).T.reshape(-1, *shape)
            with torch.no_grad():
                result = function(torch.from_numpy(np.ascontiguousarray(batch)))
            return result.flatten(1).mT.reshape(-1, *array.shape[1:]).numpy()

        return apply

    forward = columns(operator.forward, operator.input_shape, operator.complex_input)
    adjoint = columns(operator.adjoint, operator.output_shape, operator.complex_output)
    return ScipyOperator(
        shape=(math.prod(operator.output_shape), math.prod(operator.input_shape)),
        dtype=np.complex128 if operator.complex_input or operator.complex_output else np.float64,
        matvec=forward,
        rmatvec=adjoint,
        matmat=forward,
        rmatmat=adjoint,
    )


def to_deepinv(operator: Linear) -> Any:
    """A deepinv.physics.LinearPhysics with the same A and A_adjoint, without noise."""
    physics = import_extra("deepinv", do="pip install 'restore[peers]'").physics
    return physics.LinearPhysics(
        A=lambda x, **_: operator.forward(x),
        A_adjoint=lambda y, **_: operator.adjoint(y),
        img_size=operator.input_shape,
    )
