"""What a noise law answers: a draw, a log density, a variance."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from ..errors import BadInput
from ..randomness import NoiseSource

STREAM = "measurement"


@dataclass(frozen=True)
class NoiseModel:
    """The law of a measurement y given its clean value z, entry by entry; tensors B x ... of any shape."""

    def sample(self, clean: Tensor, source: NoiseSource) -> Tensor:
        """One noisy measurement; all randomness from `source` (stream "measurement")."""
        raise TypeError(f"{type(self).__name__} does not implement sample")

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        """log p(y | z) of every entry, with constants; shaped like y."""
        raise TypeError(f"{type(self).__name__} does not implement log_likelihood")

    def variance(self, clean: Tensor) -> Tensor:
        """Variance of y given z, entry by entry (of the real part, for complex data)."""
        raise TypeError(f"{type(self).__name__} does not implement variance")


def require(name: str, value: float, *, positive: bool) -> None:
    """BadInput unless the parameter is finite and at least zero (above zero where `positive`)."""
    ok = isinstance(value, int | float) and math.isfinite(value) and (value > 0 if positive else value >= 0)
    if not ok:
        raise BadInput(f"{name} is {value!r}", wanted="a finite number " + ("above 0" if positive else "of at least 0"))


def refuse_negative(clean: Tensor, *, tolerance: float = 1e-6) -> Tensor:
    """The mean of a counting law, at least zero; BadInput where it is negative by more than rounding."""
    lowest = float(clean.min()) if clean.numel() else 0.0
    if lowest < -tolerance:
        raise BadInput(
            f"the clean measurement goes down to {lowest:.4g}",
            wanted="values of at least 0, as intensities have",
            do="Check the units of the picture and the operator.",
        )
    return clean.clamp_min(0.0)
