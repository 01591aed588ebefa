"""Detectors that lose the phase: y = |B x| or |B x|^2 for a linear B with complex values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.randomness import generator
from ..core.base import LinearOperator, Operator, Shape
from .fienup import Fienup

Measure = Annotated[Literal["amplitude", "intensity"], "what a detector sees: |B x|, or its square"]


@dataclass(frozen=True)
class QuickSearch:
    """How `direct` searches: random starts, steps, and the share of them, at the end, that is error reduction."""

    starts: int = 2
    steps: int = 200
    reduction: float = 0.1


class Modulus(Operator):
    """y = |B x| ("amplitude") or |B x|^2 ("intensity").

    With z = B x and s = z / |z|, 0 where z is 0, the derivative in direction v is Re(conj(s) B v) and its adjoint
    Re B^H (s u) for amplitudes; for intensities s is 2 z.

    linear: B. A subclass whose measurement repeats numbers (the spectrum of a real picture is Hermitian) keeps one of
    each in B, and gives `spread`, its adjoint `gather` and its inverse `restrict`.
    """

    linear: LinearOperator
    quick = QuickSearch()

    def __init__(
        self, linear: LinearOperator, *, measure: Measure = "amplitude", output_shape: Shape | None = None
    ) -> None:
        if not linear.complex_output:
            raise BadInput(f"{type(linear).__name__} has real values", wanted="a linear operator with complex ones")
        shape = linear.output_shape if output_shape is None else output_shape
        super().__init__(linear.input_shape, shape, complex_input=linear.complex_input)
        self.linear, self.measure = linear, measure

    def _forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        return self.spread(z.abs() if self.measure == "amplitude" else (z * z.conj()).real)

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        turn = self._turn(self.linear(x)).conj() * self.linear(v)
        return self.spread(turn.real)

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        z, u = self.linear(x), self.gather(u)
        # Twice a real number is cheaper than twice a complex one.
        return self.linear.adjoint(z * (2 * u) if self.measure == "intensity" else torch.sgn(z) * u)

    def _turn(self, z: Tensor) -> Tensor:
        return torch.sgn(z) if self.measure == "amplitude" else 2 * z

    def direct(self, y: Tensor) -> Tensor:
        """Fienup's alternation from fixed random pictures, see `QuickSearch`; real pictures stay within [0, 1]."""
        self._check(y, self.output_shape, False, "measurement")
        starts, steps = self.quick.starts, self.quick.steps
        drawn = torch.from_numpy(generator(0, "modulus", 0, "start").random((starts, 1, 1, *self.input_shape[1:])))
        pictures = drawn.to(y).expand(starts, y.shape[0], *self.input_shape)
        pictures = pictures + 0j if self.complex_input else pictures.contiguous()
        *_, (_, estimate) = Fienup(every=steps, steps=steps, reduction=self.quick.reduction).run(self, y, pictures)
        return estimate

    # -- the layout of y ------------------------------------------------------------------------------------------

    def spread(self, values: Tensor) -> Tensor:
        """Moduli of B x in the layout of B (real) as the measurement y."""
        return values

    def gather(self, u: Tensor) -> Tensor:
        """The adjoint of `spread`."""
        return u

    def restrict(self, y: Tensor) -> Tensor:
        """|B x| in the layout of B, as y has it: its amplitudes, repeated numbers averaged, at least 0."""
        return self._amplitudes(y)

    def _amplitudes(self, y: Tensor) -> Tensor:
        kept = y.clamp_min(0)
        return kept if self.measure == "amplitude" else kept.sqrt()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, measure={self.measure!r}"
