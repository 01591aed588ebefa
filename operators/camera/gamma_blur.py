"""Blur of light seen through a tone curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from ..blurring.blur import Blur
from ..common.errors import BadInput
from ..core.base import Operator, Shape

FLOOR = 1e-4  # intensity under which a root's slope would grow without bound


class GammaBlur(Operator):
    """y = (h * x^g)^(1/g): stored values are bent by a tone curve, blur happens to the light before it.

    The kernel-free form of non-linear blur; saturated highlights spread further than in a blur of stored values.
    gamma: g, at least 1 (2.2 is customary). kernel, boundary, size, sigma, angle, length: those of `blur`.
    Values under FLOOR are taken as FLOOR.
    """

    beside_array = ("boundary", "gamma")
    blur: Blur

    def __init__(
        self,
        input_shape: Shape,
        *,
        gamma: float = 2.2,
        kernel: str | Tensor | np.ndarray | list[Any] = "gaussian",
        boundary: str = "circular",
        size: int | tuple[int, int] | None = None,
        sigma: float | tuple[float, float] | None = None,
        angle: float | None = None,
        length: float | None = None,
    ) -> None:
        number = isinstance(gamma, int | float) and not isinstance(gamma, bool)
        if not number or not 1 <= gamma < float("inf"):
            raise BadInput(f"gamma is {gamma!r}", wanted="a finite number of at least 1")
        blur = Blur(input_shape, kernel=kernel, boundary=boundary, size=size, sigma=sigma, angle=angle, length=length)
        super().__init__(blur.input_shape, blur.output_shape)
        self.blur, self.gamma = blur, float(gamma)

    def _forward(self, x: Tensor) -> Tensor:
        light = self.blur(x.clamp_min(FLOOR) ** self.gamma)
        return light.clamp_min(FLOOR**self.gamma) ** (1 / self.gamma)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, gamma={self.gamma:g}"
