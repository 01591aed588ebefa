"""What every residual process shares: the Gaussian marginal x_t = a_t x0 + b_t y + s_t eps and its algebra.

| process | a_t | b_t | s_t |
|---|---|---|---|
| ResShift | 1 - eta_t | eta_t | kappa sqrt(eta_t) |
| RDDM | 1 - abar_t | abar_t | bbar_t |
| Resfusion | 2 sqrt(ah_t) - 1 | 1 - sqrt(ah_t) | sqrt(1 - ah_t) |
| IR-SDE | e^-Theta_t | 1 - e^-Theta_t | lambda sqrt(1 - e^-2 Theta_t) |
| I2SB | sb^2 / (sf^2 + sb^2) | sf^2 / (sf^2 + sb^2) | sf sb / sqrt(sf^2 + sb^2) |

Tables are float64 and never rounded; each process owns its schedule, training target and reverse step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Checked, Range, check
from operators.common.space import Affine

Clip = Annotated[tuple[float, float] | None, "range that what is predicted is clamped to, or none"]


class Marginal(NamedTuple):
    """Weights of x0, y and eps in x_t at one time."""

    a: float
    b: float
    s: float


@dataclass(frozen=True)
class Prediction:
    """What is believed of the parts of x_t (each B x C x H x W): the picture, the residual y - x0, and the noise.

    The three need not agree: a network with two heads, or one whose picture was clipped, may contradict itself, and
    each reverse step says which of them it uses.
    """

    x0: Tensor
    residual: Tensor
    eps: Tensor


@dataclass(frozen=True)
class Process(Checked):
    """Base of the processes, frozen dataclasses of their constants.

    kind: registry name. shift, scale: of the published native units (`space`). objectives: what a network
    may be trained to give; `objective` is the one this process is used with. Times are indices of the schedule.
    """

    kind: ClassVar[str] = ""
    shift: ClassVar[float] = 0.5
    scale: ClassVar[float] = 0.5
    objectives: ClassVar[tuple[str, ...]] = ()

    @property
    def space(self) -> Affine:
        """The published native units, seen from pictures."""
        return Affine(self.shift, self.scale)

    # -- what a process implements --------------------------------------------------------------------------------

    @property
    def heads(self) -> int:
        """Pictures a network gives."""
        return 1

    @property
    def length(self) -> int:
        """Times a network is trained on."""
        raise TypeError(f"{type(self).__name__} does not implement length")

    def marginal(self, t: float) -> Marginal:
        """a_t, b_t and s_t."""
        raise TypeError(f"{type(self).__name__} does not implement marginal")

    def times(self, steps: int | None = None) -> list[int]:
        """Times of a run, descending, with the one it ends at; `steps` of them, None: as published."""
        raise TypeError(f"{type(self).__name__} does not implement times")

    def targets(self, x0: Tensor, y: Tensor, eps: Tensor, t: int) -> tuple[Tensor, ...]:
        """What the heads should give at x_t."""
        raise TypeError(f"{type(self).__name__} does not implement targets")

    def read(self, outputs: Sequence[Tensor], x_t: Tensor, y: Tensor, t: float) -> Prediction:
        """The heads as a prediction."""
        raise TypeError(f"{type(self).__name__} does not implement read")

    def loss(self, outputs: Sequence[Tensor], x0: Tensor, y: Tensor, eps: Tensor, t: int) -> Tensor:
        """The published training loss, a mean over pixels."""
        raise TypeError(f"{type(self).__name__} does not implement loss")

    # -- what follows from the marginal ---------------------------------------------------------------------------

    def training_time(self, uniform: float) -> int:
        """The training time of a uniform number in [0, 1)."""
        return int(uniform * self.length)

    def diffuse(self, x0: Tensor, y: Tensor, eps: Tensor, t: float) -> Tensor:
        """x_t."""
        a, b, s = self.marginal(t)
        return a * x0 + b * y + s * eps

    def start(self, y: Tensor, noise: Noise, t: float) -> Tensor:
        """The state a run begins with at time t: x_t with y in the place of x0."""
        a, b, s = self.marginal(t)
        return (a + b) * y + s * noise.normal("start", y)

    def network_input(self, x_t: Tensor, t: float) -> Tensor:
        """x_t as the network sees it."""
        return x_t

    def network_time(self, t: float) -> float:
        """The number that tells the network the time."""
        return float(t)

    def level(self, t: float) -> float:
        """A number in about [-2, 0] that tells any of these processes' times to a network: how far x_t is from x0."""
        a, b, s = self.marginal(t)
        return math.log(max((b + s) / (a + b + s), 1e-4)) / 4

    def from_x0(self, x0: Tensor, x_t: Tensor, y: Tensor, t: float) -> Prediction:
        """The prediction that follows from a picture; eps is 0 where x_t holds no noise."""
        a, b, s = self.marginal(t)
        eps = (x_t - a * x0 - b * y) / s if s > 0 else torch.zeros_like(x0)
        return Prediction(x0, y - x0, eps)

    def from_eps(self, eps: Tensor, x_t: Tensor, y: Tensor, t: float) -> Prediction:
        """The prediction that follows from a noise; BadInput where x_t no longer holds the picture."""
        a, b, s = self.marginal(t)
        if a == 0:
            raise BadInput(f"x_t holds nothing of the picture at time {t:g}", do="Predict the picture or the residual.")
        x0 = (x_t - b * y - s * eps) / a
        return Prediction(x0, y - x0, eps)


def clipped(x: Tensor, clip: Clip) -> Tensor:
    """x within the legal range, or as it is."""
    return x if clip is None else x.clamp(*clip)


def check_steps(process: Process, steps: int | None, most: int) -> int:
    """The number of steps of a run: `most` where none was asked for, and never more."""
    if steps is not None:
        check("steps", steps, Annotated[int, Range(1, most)], where=f"this {process.kind} process")
    return most if steps is None else steps
