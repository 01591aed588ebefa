"""Phase retrieval by Fienup's hybrid input-output.

Fienup 1982, doi:10.1364/AO.21.002758. The alternation itself, in equations, is in operators.optics.fienup. Here:
several random starts, of which each channel keeps the one that explains its measurement best. What a channel's
measurement leaves open is settled against the brightest channel (turned by 180 degrees, shifted); the picture as a
whole may still be turned. All channels share the phases of a start, which makes them agree more often.

Phase retrieval from amplitudes or intensities, any noise (its law is not used). No network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from torch import Tensor

from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Fraction, Range, Steps, above
from operators.optics.fienup import Fienup
from operators.optics.modulus import Modulus

from ..base import Solver, State

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

EVERY = 20  # iterations between states


@dataclass(frozen=True)
class HIO(Solver):
    """Hybrid input-output, then error reduction."""

    needs_prior: ClassVar[bool] = False
    needs_linear: ClassVar[bool] = False
    needs_modulus: ClassVar[bool] = True

    steps: Annotated[Steps, "iterations of both"] = 400
    reduction: Annotated[Fraction, "share of them that is error reduction, at the end"] = 0.1
    beta: Annotated[float, Range(above=0, high=1), "feedback"] = 0.9
    starts: Annotated[Steps, "random starts"] = 4
    low: Annotated[float, "least value of the picture"] = 0.0
    high: Annotated[float, "largest value of the picture, above `low`"] = 1.0

    def __post_init__(self) -> None:
        above("high", self.high, "low", self.low)

    @property
    def total(self) -> int:
        return -(-self.steps // EVERY)

    @property
    def width(self) -> int:
        return self.starts

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        operator = problem.operator
        if not isinstance(operator, Modulus):
            raise BadInput(
                f"hio finds lost phases and {type(operator).__name__} loses none",
                wanted="phase-retrieval or ptychography",
            )
        method = Fienup(
            steps=self.steps, reduction=self.reduction, beta=self.beta, low=self.low, high=self.high, every=EVERY
        )
        pictures = torch.stack([self._picture(operator, problem.y, noise) for _ in range(self.starts)])
        for step, x in method.run(operator, problem.y, pictures):
            yield State(x=x, x0=x, estimate=x, step=step)

    def _picture(self, operator: Modulus, y: Tensor, noise: Noise) -> Tensor:
        """A random picture, the same in every channel (B x input_shape)."""
        dtype = y.dtype.to_complex() if operator.complex_input else y.dtype
        like = torch.zeros(y.shape[0], *operator.input_shape, dtype=dtype, device=y.device)
        drawn = noise.normal("start", like=like)[:, :1].expand_as(like)
        return (drawn if operator.complex_input else drawn.abs()).contiguous()
