"""Plain regression in the dress of a process: one call takes the measurement to the picture. The honest control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor

from operators.common.randomness import Noise

from .process import Marginal, Prediction, Process, check_steps


@dataclass(frozen=True)
class RegressionProcess(Process):
    """x_0 = y, and the network gives the picture."""

    kind = "regression"
    objectives = ("x0",)

    penalty: Annotated[Literal["l1", "l2"], "of the loss: l1 gives the median, l2 the mean E[x0 | y]"] = "l2"

    @property
    def objective(self) -> str:
        return "x0"

    @property
    def length(self) -> int:
        return 1

    def marginal(self, t: float) -> Marginal:
        return Marginal(1.0, 0.0, 0.0) if t < 0 else Marginal(0.0, 1.0, 0.0)

    def times(self, steps: int | None = None) -> list[int]:
        """The one time there is, and the picture."""
        check_steps(self, steps, 1)
        return [0, -1]

    def start(self, y: Tensor, noise: Noise, t: float) -> Tensor:
        return y

    def targets(self, x0: Tensor, y: Tensor, eps: Tensor, t: int) -> tuple[Tensor, ...]:
        return (x0,)

    def read(self, outputs: Sequence[Tensor], x_t: Tensor, y: Tensor, t: float) -> Prediction:
        return self.from_x0(outputs[0], x_t, y, t)

    def loss(self, outputs: Sequence[Tensor], x0: Tensor, y: Tensor, eps: Tensor, t: int) -> Tensor:
        miss = outputs[0] - x0
        return (miss.abs() if self.penalty == "l1" else miss.square()).mean()

    def answer(self, x: Tensor, y: Tensor, prediction: Prediction, t: float, u: float, noise: Noise) -> Tensor:
        """The predicted picture."""
        return prediction.x0
