"""Fienup's hybrid input-output: alternate between measured amplitudes and the limits of the picture.

Fienup 1982, doi:10.1364/AO.21.002758; as projections Bauschke, Combettes, Luke 2002, doi:10.1364/JOSAA.19.001334.
With z = B x, B^H B = I, P_M z = a z / |z| (a the measured amplitudes) and P_S z = B clip(B^H z), the picture inside its
support, real and within limits:

    z <- z + P_S((1 + beta) P_M z - z) - beta P_M z                            (hybrid input-output)
    z <- P_S P_M z                                                             (error reduction, the last steps)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Protocol

import torch
from torch import Tensor

from ..common.settings import Checked, Count, Fraction, Range, above
from ..core.base import LinearOperator


class Amplitudes(Protocol):
    """A measurement of |B x|: B, y itself, and the amplitudes of B x as y has them."""

    linear: LinearOperator

    def forward(self, x: Tensor) -> Tensor: ...

    def restrict(self, y: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Fienup(Checked):
    """Settings of the alternation."""

    steps: Annotated[Count, "iterations"] = 200
    reduction: Annotated[Fraction, "share of them that is error reduction, at the end"] = 0.1
    beta: Annotated[float, Range(above=0, high=1), "feedback"] = 0.9
    low: Annotated[float, "least value of real pictures"] = 0.0
    high: Annotated[float, "largest value of real pictures, above `low`"] = 1.0
    every: Annotated[Count, "iterations between the estimates that `run` yields"] = 20

    def __post_init__(self) -> None:
        above("high", self.high, "low", self.low)

    def run(self, operator: Amplitudes, y: Tensor, pictures: Tensor) -> Iterator[tuple[int, Tensor]]:
        """(step, estimate) after every step.

        y: B x output_shape. pictures: starts x B x input_shape, random pictures that lend their phases; the estimate
        (B x input_shape) keeps, for each channel, the start that explains the measurement best.
        """
        amplitude = operator.restrict(y)
        starts = len(pictures)
        target = amplitude.repeat(starts, *[1] * (amplitude.ndim - 1))
        z = with_amplitude(operator.linear(pictures.flatten(0, 1)), target)
        hybrid = round(self.steps * (1 - self.reduction))
        for step in range(1, self.steps + 1):
            seen = with_amplitude(z, target)
            if step <= hybrid:
                z = z + self._inside(operator, (1 + self.beta) * seen - z) - self.beta * seen
            else:
                z = self._inside(operator, seen)
            if step % self.every == 0 or step == self.steps:
                runs = self._limited(operator, with_amplitude(z, target)).unflatten(0, (starts, -1))  # type: ignore[no-untyped-call]
                yield step, agreeing(best(operator, y, runs))

    def _limited(self, operator: Amplitudes, z: Tensor) -> Tensor:
        x = operator.linear.pinv(z)
        return x if x.is_complex() else x.clamp(self.low, self.high)

    def _inside(self, operator: Amplitudes, z: Tensor) -> Tensor:
        inside: Tensor = operator.linear(self._limited(operator, z))
        return inside


def best(operator: Amplitudes, y: Tensor, runs: Tensor) -> Tensor:
    """Of starts x B x C x ..., the run of each channel with the smallest misfit (B x C x ...)."""
    if len(runs) == 1 or not runs.numel():
        return runs[0]
    misfits = torch.stack([((operator.forward(run) - y) ** 2).flatten(2).sum(2) for run in runs])
    which = misfits.argmin(0)
    places = which.reshape(1, *which.shape, *[1] * (runs.ndim - 3)).expand(1, *runs.shape[1:])
    return runs.gather(0, places)[0]


def agreeing(x: Tensor) -> Tensor:
    """Channels of B x C x H x W turned by 180 degrees and shifted (cyclically) to match the brightest channel.

    Each channel's measurement leaves both open; what is common to all of them stays open.
    """
    if x.ndim != 4 or x.shape[1] == 1 or x.is_complex() or not x.numel():
        return x
    result = x.clone()
    brightest = x.square().flatten(2).sum(2).argmax(1)
    for entry, guide in zip(result, brightest.tolist(), strict=True):
        reference = torch.fft.fft2(entry[guide] - entry[guide].mean())
        for channel in set(range(len(entry))) - {guide}:
            candidates = torch.stack([entry[channel], entry[channel].flip((-2, -1))])
            spectra = torch.fft.fft2(candidates - candidates.mean((1, 2), keepdim=True))
            match, where = torch.fft.ifft2(reference * spectra.conj()).real.flatten(1).max(1)
            best = int(match.argmax())
            down, right = divmod(int(where[best]), x.shape[-1])
            entry[channel] = candidates[best].roll((down, right), (-2, -1))
    return result


def with_amplitude(z: Tensor, amplitude: Tensor) -> Tensor:
    """z with its modulus replaced; phase 0 where z is 0."""
    size = z.abs()
    nonzero = size > 0
    return torch.where(nonzero, z * (amplitude / torch.where(nonzero, size, torch.ones_like(size))), amplitude + 0j)
