"""Operators some of whose parameters are not known and are to be found together with the picture."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from ..common.errors import BadInput
from .operator import Operator
from .shapes import Shape

Unknowns = Mapping[str, Tensor]


class UnknownOperator(Operator):
    """y = A(x; unknowns): base of operators with parameters that a solver finds.

    A subclass implements `first`, `applied` and, where a value may be impossible, `legal`. Called as an operator it
    uses the values of `nominal`: those a solver begins with, which a caller may set. Values have one entry for each
    picture (B x ...), or a single one.
    """

    def __init__(self, input_shape: Shape, output_shape: Shape, *, nominal: Unknowns | None = None) -> None:
        super().__init__(input_shape, output_shape)
        self.nominal = {} if nominal is None else dict(nominal)

    def first(self, y: Tensor) -> dict[str, Tensor]:
        """Values to begin with, from the measurement (B x output_shape) alone."""
        raise TypeError(f"{type(self).__name__} does not implement first")

    def applied(self, x: Tensor, unknowns: Unknowns) -> Tensor:
        """A(x; unknowns), differentiable in both. x: B x input_shape."""
        raise TypeError(f"{type(self).__name__} does not implement applied")

    def legal(self, unknowns: Unknowns) -> dict[str, Tensor]:
        """The nearest values that are possible."""
        return dict(unknowns)

    def at(self, unknowns: Unknowns) -> UnknownOperator:
        """This operator with those values as its nominal ones."""
        known = copy.copy(self)
        known.nominal = {name: value.detach() for name, value in unknowns.items()}
        return known

    def _forward(self, x: Tensor) -> Tensor:
        if not self.nominal:
            raise BadInput(
                f"{type(self).__name__} has no values yet",
                do="Give nominal=..., or A.at(A.first(y)).",
            )
        return self.applied(x, {name: value.to(x) for name, value in self.nominal.items()})


class UnknownTone(UnknownOperator):
    """y = f x + M: one unknown gain f > 0 and an offset M of each pixel, shared by the channels.

    Low light and exposure as Fei et al. 2023 (arXiv 2304.01247, equation 9) model them. f and x are known only up to a
    common factor; what fixes it is the prior's idea of brightness.
    """

    LEAST_GAIN = 1e-3

    def __init__(self, input_shape: Shape, *, nominal: Unknowns | None = None) -> None:
        super().__init__(input_shape, input_shape, nominal=nominal)

    def first(self, y: Tensor) -> dict[str, Tensor]:
        """f such that the picture has the mean 1/2; no offset."""
        gain = (y.flatten(1).mean(1) / 0.5).clamp_min(self.LEAST_GAIN)
        return {"gain": gain.reshape(-1, *[1] * (y.ndim - 1)), "offset": torch.zeros_like(y[:, :1])}

    def applied(self, x: Tensor, unknowns: Unknowns) -> Tensor:
        return unknowns["gain"] * x + unknowns["offset"]

    def legal(self, unknowns: Unknowns) -> dict[str, Tensor]:
        return {**unknowns, "gain": unknowns["gain"].clamp_min(self.LEAST_GAIN)}

    def direct(self, y: Tensor) -> Tensor:
        """(y - M) / f at the nominal values, or those of `first`."""
        values = self.legal({k: v.to(y) for k, v in (self.nominal or self.first(y)).items()})
        return (y - values["offset"]) / values["gain"]
