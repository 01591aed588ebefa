"""Priors of residual processes: what x_t and y together say about the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from operators.common.errors import BadInput
from operators.common.space import Affine

from ..base import Prior
from .process import Prediction, Process


class ResidualPrior(Prior):
    """A process and a predictor trained on it. `predict` answers in the process's units, in which its constants are.

    A subclass implements `predict`. One whose states live in a latent space also implements `encode`, `decode` and,
    where its network sees something else than the encoded measurement, `condition`.

    process: owns the marginal, the training target and the reverse steps.
    """

    calls = ("predict",)

    def __init__(
        self,
        process: Process,
        *,
        shift: float | None = None,
        scale: float | None = None,
        native_clip: tuple[float, float] | None = None,
        channels: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(
            space=Affine(process.shift if shift is None else shift, process.scale if scale is None else scale),
            native_clip=native_clip,
            channels=channels,
        )
        self.process = process
        self.kind = process.kind

    def predict(self, x_t: Tensor, y_up: Tensor, t: float, *, condition: Tensor | None = None) -> Prediction:
        """What x_t (B x C x H x W) and the measurement on its grid say about x0, y - x0 and the noise.

        condition: what `condition` returned for this measurement, or None where that is y_up itself.
        """
        raise TypeError(f"{type(self).__name__} does not implement predict")

    def encode(self, picture: Tensor) -> Tensor:
        """A picture in the space of the states: itself, or its latent."""
        return picture

    def decode(self, state: Tensor) -> Tensor:
        """The picture of a state; it may be larger at the bottom and the right, where `encode` had to extend it."""
        return state

    def condition(self, y: Tensor, y_up: Tensor, observed: Tensor | None = None) -> Tensor | None:
        """What the network sees of the measurement; None: what `encode` makes of y_up.

        observed: which entries of y were measured (without batch), None where all were; for networks that take a mask.
        """
        return None

    @property
    def native(self) -> Self:
        """Itself: all its answers are in the process's units."""
        return self


class NetworkPrior(ResidualPrior):
    """A network that was trained on `process`.

    network: (x_in B x C x H x W, times B, y B x C' x H' x W') -> one picture, or a sequence of `process.heads`. It is
    shown x_in = process.network_input(x_t, t) and process.network_time(t).
    """

    def __init__(
        self,
        network: nn.Module,
        process: Process,
        *,
        native_clip: tuple[float, float] | None = None,
        channels: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(process, native_clip=native_clip, channels=channels)
        self.network = network

    def predict(self, x_t: Tensor, y_up: Tensor, t: float, *, condition: Tensor | None = None) -> Prediction:
        seen = y_up if condition is None else condition
        times = torch.full((x_t.shape[0],), self.process.network_time(t), dtype=x_t.dtype, device=x_t.device)
        outputs = self.network(self.process.network_input(x_t, t), times, seen)
        return self.process.read(heads(outputs, self.process), x_t, y_up, t)


def heads(outputs: Tensor | Sequence[Tensor], process: Process) -> tuple[Tensor, ...]:
    """The outputs of a network as `process.heads` pictures; BadInput for another number."""
    pictures = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    if len(pictures) != process.heads:
        raise BadInput(f"the network gives {len(pictures)} pictures", wanted=f"{process.heads} for this {process.kind}")
    return pictures
