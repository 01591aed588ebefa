"""What a noise law answers: a draw, a log density, a variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..common.errors import BadInput, BadType
from ..common.randomness import NoiseSource
from ..common.settings import Checked

STREAM = "measurement"


@dataclass(frozen=True)
class NoiseModel(Checked):
    """The law of a measurement y given its clean value z, entry by entry; tensors B x ... of any shape.

    counts: whether z is an intensity, at least 0; below, the likelihood is continued, not defined. in_order: whether
    parts of a measurement, drawn one after another in the order of the array, are the measurement drawn at once.
    """

    counts: ClassVar[bool] = False
    in_order: ClassVar[bool] = True

    def sample(self, clean: Tensor, source: NoiseSource) -> Tensor:
        """One noisy measurement; all randomness from `source` (stream "measurement")."""
        raise TypeError(f"{type(self).__name__} does not implement sample")

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        """log p(y | z) of every entry, with constants; shaped like y."""
        raise TypeError(f"{type(self).__name__} does not implement log_likelihood")

    def mean(self, clean: Tensor) -> Tensor:
        """E[y] given z, entry by entry; z itself unless the law says otherwise."""
        return clean

    def variance(self, clean: Tensor) -> Tensor:
        """E |y - z|^2 given z, entry by entry: real, shaped like z; both parts together for complex data."""
        raise TypeError(f"{type(self).__name__} does not implement variance")

    def sigma_equiv(self, clean: Tensor, *, observed: Tensor | None = None) -> Tensor:
        """Root of the mean variance of each picture (B): the level of Gaussian noise that stands in for this one.

        observed: boolean, broadcastable to `clean`: entries that count; default all. Per real part for complex data.
        """
        variance = self.variance(clean) / (2 if clean.is_complex() else 1)
        if observed is None:
            return variance.flatten(1).mean(1).sqrt()
        counted = observed.to(variance.device).expand_as(variance)
        total = torch.where(counted, variance, torch.zeros_like(variance)).flatten(1).sum(1)
        return (total / counted.flatten(1).sum(1).clamp_min(1)).sqrt()


def refuse_negative(clean: Tensor, *, tolerance: float = 1e-6) -> Tensor:
    """The mean of a counting law, at least zero; BadInput where it is negative by more than rounding."""
    refuse_broken(clean)
    lowest = float(clean.min()) if clean.numel() else 0.0
    if lowest < -tolerance:
        raise BadInput(
            f"the clean measurement goes down to {lowest:.4g}",
            wanted="values of at least 0, as intensities have",
            do="Check the units of the picture and the operator.",
        )
    return clean.clamp_min(0.0)


def refuse_broken(clean: Tensor) -> Tensor:
    """The clean measurement, real and finite; BadType or BadInput otherwise."""
    refuse_complex(clean)
    if not bool(torch.isfinite(clean).all()):
        raise BadInput(f"the clean measurement holds {int((~torch.isfinite(clean)).sum())} NaN or infinite values")
    return clean


def refuse_complex(values: Tensor) -> None:
    """BadType for complex data: counts and intensities are real."""
    if values.is_complex():
        raise BadType(
            "the measurement is complex", wanted="real intensities", do="Use Gaussian noise for complex data."
        )


def floored(values: Tensor, floor: float) -> Tensor:
    """max(values, floor) whose gradient is still one below the floor, so that a descent can come back."""
    return values + (values.clamp_min(floor) - values).detach()
