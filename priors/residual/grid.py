"""The measurement on the grid of the picture: the y of every residual process."""

from __future__ import annotations

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.core.base import LinearOperator, Operator


def on_grid(operator: Operator, y: Tensor) -> Tensor:
    """y brought to the grid of x (B x input_shape).

    y: B x output_shape. Bicubic enlargement where the operator makes pictures smaller; y itself where it is a picture
    of that size already (noise, blur, holes), as the published methods take it; otherwise the quick reconstruction of
    the field, which is the pseudo-inverse unless the operator names another. BadInput for a complex picture.
    """
    from operators.resampling.matrices import resize

    wanted, measured = tuple(operator.input_shape), tuple(operator.output_shape)
    if operator.complex_input:
        raise BadInput("the picture is complex", do="Residual diffusion takes real pictures; choose another solver.")
    own = type(operator).direct not in (LinearOperator.direct, Operator.direct)
    if measured == wanted and not operator.complex_output and not own:
        return y
    if not own and len(measured) == len(wanted) == 3 and measured[0] == wanted[0] and _smaller(measured, wanted):
        return resize(y, size=(wanted[1], wanted[2]))
    with torch.no_grad():
        return operator.direct(y)


def _smaller(measured: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(g <= w for g, w in zip(measured, wanted, strict=True))
