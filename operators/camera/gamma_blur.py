"""Blur of light seen through a tone curve."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from ..blurring.blur import Blur
from ..blurring.kernels.settings import Angle, KernelSource, Length, Sigma, Size
from ..blurring.padding import Boundary
from ..common.settings import Range
from ..core.base import Operator, Shape

FLOOR = 1e-4  # intensity under which a root's slope would grow without bound


class GammaBlur(Operator):
    """y = (h * x^g)^(1/g): stored values are bent by a tone curve, blur happens to the light before it.

    The kernel-free form of non-linear blur; saturated highlights spread further than in a blur of stored values.
    Settings of the kernel are those of `blur`. Values under FLOOR are taken as FLOOR.
    """

    beside_array = ("boundary", "gamma")
    blur: Blur

    def __init__(
        self,
        input_shape: Shape,
        *,
        gamma: Annotated[float, Range(1), "g; 2.2 is customary"] = 2.2,
        kernel: KernelSource = "gaussian",
        boundary: Boundary = "circular",
        size: Size = None,
        sigma: Sigma | None = None,
        angle: Angle | None = None,
        length: Length | None = None,
    ) -> None:
        blur = Blur(input_shape, kernel=kernel, boundary=boundary, size=size, sigma=sigma, angle=angle, length=length)
        super().__init__(blur.input_shape, blur.output_shape)
        self.blur, self.gamma = blur, float(gamma)

    def _forward(self, x: Tensor) -> Tensor:
        light = self.blur(x.clamp_min(FLOOR) ** self.gamma)
        return light.clamp_min(FLOOR**self.gamma) ** (1 / self.gamma)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, gamma={self.gamma:g}"
