"""A sensor's tone: gain and saturation, quantisation, gamma, haze."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.settings import Positive, Range
from ..core.base import Operator, Shape, check_shape

TINY = 1e-12


class HDR(Operator):
    """y = clip(pivot + gain (x - pivot), 0, 1): an exposure that saturates.

    The pivot is 0 for light hitting a sensor, 0.5 for the benchmark problem clip(2 z, -1, 1) on z = 2 x - 1 (Zheng et
    al. 2025). The derivative is gain where nothing is clipped and 0 where something is, which is the gradient of a
    one-sided likelihood: a saturated pixel pulls only an estimate that would not saturate. `direct` undoes the gain.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        gain: Annotated[Positive, "of the exposure"] = 2.0,
        pivot: Annotated[float, "the value that stays"] = 0.0,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        super().__init__(shape, shape)
        self.gain, self.pivot = float(gain), float(pivot)

    def _forward(self, x: Tensor) -> Tensor:
        return self._exposed(x).clamp(0, 1)

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        exposed = self._exposed(x)
        return torch.where(exposed == exposed.clamp(0, 1), self.gain * u, 0.0)

    def _exposed(self, x: Tensor) -> Tensor:
        exposed = self.gain * x
        return exposed + self.pivot * (1 - self.gain) if self.pivot else exposed

    def direct(self, y: Tensor) -> Tensor:
        """pivot + (y - pivot) / gain: right wherever nothing was clipped."""
        self._check(y, self.output_shape, False, "measurement")
        return self.pivot + (y - self.pivot) / self.gain

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, gain={self.gain:g}, pivot={self.pivot:g}"


class Quantise(Operator):
    """y = round((2^bits - 1) clip(x, 0, 1)) / (2^bits - 1): few grey levels.

    Gradients pass straight through the rounding (`relaxed` is the clipping alone). The exact likelihood
    of a level is that of noise model "quantised".
    """

    def __init__(self, input_shape: Shape, *, bits: Annotated[int, Range(1, 16), "the levels are 2^bits"] = 3) -> None:
        shape = check_shape(input_shape, "input_shape")
        super().__init__(shape, shape)
        self.bits = bits

    def _forward(self, x: Tensor) -> Tensor:
        levels = 2**self.bits - 1
        shown = x.clamp(0, 1)
        return shown + (torch.round(levels * shown) / levels - shown).detach()

    @property
    def relaxed(self) -> Operator:
        return HDR(self.input_shape, gain=1.0)

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """The nearest picture that is rounded to y: x clipped to the cell of each level, open at black and white."""
        half = 0.5 / (2**self.bits - 1)
        low = torch.where(y <= half, torch.full_like(y, -math.inf), y - half)
        high = torch.where(y >= 1 - half, torch.full_like(y, math.inf), y + half)
        return x.clamp(low, high)

    def direct(self, y: Tensor) -> Tensor:
        """The measurement itself."""
        self._check(y, self.output_shape, False, "measurement")
        return y.clone()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, bits={self.bits}"


class LowLight(Operator):
    """y = scale x^gamma, x floored at 0: a dark exposure seen through a tone curve."""

    def __init__(
        self,
        input_shape: Shape,
        *,
        scale: Annotated[Positive, "of the exposure"] = 0.5,
        gamma: Annotated[Positive, "of the tone curve; above 1 darkens"] = 2.2,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        super().__init__(shape, shape)
        self.scale, self.gamma = float(scale), float(gamma)

    def _forward(self, x: Tensor) -> Tensor:
        return self.scale * x.clamp_min(TINY) ** self.gamma

    def direct(self, y: Tensor) -> Tensor:
        """(y / scale)^(1 / gamma)."""
        self._check(y, self.output_shape, False, "measurement")
        return (y.clamp_min(0) / self.scale) ** (1 / self.gamma)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale={self.scale:g}, gamma={self.gamma:g}"


class Haze(Operator):
    """y = t x + (1 - t) a (Koschmieder 1924): scattered light over an attenuated scene."""

    transmission: Tensor

    def __init__(
        self,
        input_shape: Shape,
        *,
        transmission: Annotated[
            float | Tensor | np.ndarray,
            Range(above=0, high=1),
            "t: a number, or an array that broadcasts to the picture",
        ] = 0.5,
        airlight: Annotated[float, "a"] = 0.9,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        values = np.asarray(transmission, dtype=np.float64)
        try:
            np.broadcast_to(values, shape)
        except ValueError:
            raise BadInput(f"transmission has shape {values.shape}", wanted=f"one that broadcasts to {shape}") from None
        if not ((values > 0) & (values <= 1)).all():
            raise BadInput(f"transmission goes from {values.min():g} to {values.max():g}", wanted="values in (0, 1]")
        super().__init__(shape, shape)
        self.airlight = float(airlight)
        self.register_buffer("transmission", torch.from_numpy(np.array(values)))

    def _forward(self, x: Tensor) -> Tensor:
        t = self.constant("transmission", x)
        return t * x + (1 - t) * self.airlight

    def direct(self, y: Tensor) -> Tensor:
        """(y - (1 - t) a) / t."""
        self._check(y, self.output_shape, False, "measurement")
        t = self.constant("transmission", y)
        return (y - (1 - t) * self.airlight) / t

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, airlight={self.airlight:g}"
