"""What methods have in common that train a small network on the one noisy picture and keep nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Count, Steps
from priors.selfsupervised.prior import MOST_CHANNELS

from ..base import Solver, State

if TYPE_CHECKING:
    from ...problem import Problem

LEAST_SIDE = 8  # pixels


@dataclass(frozen=True)
class ZeroShot(Solver):
    """Base of methods without a prior: y is all they have. They assume noise of mean 0.

    A picture of more than four channels is a stack, and a volume has slices. stack "slices": each slice is a picture,
    and the slices of one stack share a network; "volume": the network sees three axes (methods that can).
    """

    needs_prior: ClassVar[bool] = False
    needs_identity: ClassVar[bool] = True
    needs_gaussian: ClassVar[bool] = False
    differentiates: ClassVar[bool] = True  # its own network
    axes: ClassVar[tuple[int, ...]] = (2,)

    steps: Annotated[Steps, "of the optimiser"] = 600
    every: Annotated[Count, "steps between two states"] = 100
    stack: Annotated[Literal["slices", "volume"], "how more than four channels, or a volume, are seen"] = "slices"

    @property
    def total(self) -> int:
        return -(-self.steps // self.every)

    def iterate(self, problem: Problem, prior: Any, noise: Noise) -> Iterator[State]:
        """A state every `every` steps and at the end; `info["loss"]` is that of the last step."""
        pictures = self._apart(problem.y)
        for step, x, told in self.train(pictures, problem, noise):
            estimate = x.reshape(pictures.shape)
            if problem.y.ndim == 5 and pictures.ndim == 5 and self.stack == "slices":
                estimate = estimate.movedim(1, 2)
            answer = estimate.reshape(problem.y.shape).detach()
            yield State(x=answer, x0=answer, estimate=answer, step=step, info=told)

    def train(self, pictures: Tensor, problem: Problem, noise: Noise) -> Iterator[tuple[int, Tensor, dict[str, float]]]:
        """(step, estimate shaped like the pictures, what the trace tells). pictures: B x N x C x axes; see `_apart`."""
        raise TypeError(f"{type(self).__name__} does not implement train")

    def shown(self, step: int) -> bool:
        """Whether a state is due after a step (0-based)."""
        return (step + 1) % self.every == 0 or step + 1 == self.steps

    def _apart(self, y: Tensor) -> Tensor:
        """B x slices x channels x spatial axes, one slice where the picture is seen whole."""
        if y.is_complex():
            raise BadInput("the measurement is complex", wanted="real pictures", do="Denoise its parts apart.")
        if min(y.shape[-2:]) < LEAST_SIDE:
            raise BadInput(f"the picture is {y.shape[-2]} x {y.shape[-1]} pixels", wanted=f"at least {LEAST_SIDE}")
        stack, volume = y.ndim == 4 and y.shape[1] > MOST_CHANNELS, y.ndim == 5
        if self.stack == "volume" and (stack or volume):
            if 3 not in self.axes:
                raise BadInput(f"{type(self).__name__} sees slices alone", do="Leave solver.stack at 'slices'.")
            return y[:, None] if volume else y[:, None, None]
        if volume:
            return y.movedim(2, 1)
        return y[:, :, None] if stack else y[:, None]


def halved(rate: float, step: int, marks: tuple[int, ...]) -> float:
    """The rate at a step (0-based), halved at each mark that is reached."""
    return rate * 0.5 ** sum(step >= mark for mark in marks)


def drawn_for(pictures: Tensor, noise: Noise, stream: str, *, each_channel: bool) -> Tensor:
    """Uniform numbers for each pixel (and channel) of B x N x C x ..., B x N x (C or 1) x ..."""
    return noise.uniform(stream, pictures if each_channel else pictures[:, :, :1])


def squared(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference."""
    return torch.mean((a - b) ** 2)
