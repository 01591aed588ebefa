"""Wrappers that count and time what a solver uses: network calls and noise. They change no number."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from operators.common.randomness import Noise
from priors.base import DiffusionPrior, WrappedPrior
from priors.diffusion.tiled import TiledPrior
from priors.residual.prior import ResidualPrior, WrappedResidual
from priors.residual.process import Prediction
from priors.residual.tiled import TiledResidual

SMALLEST_TILE = 64


class MeteredPrior(WrappedPrior):
    """A prior that counts its forward calls (nfe) and backward passes, and the seconds spent in both.

    autocast: run the prior in bfloat16 where its operations allow. Where a device runs out of memory, the call is
    repeated once in tiles of half the picture, and so are all later ones; `retried_tile` says so.
    """

    def __init__(self, prior: DiffusionPrior, *, autocast: bool = False) -> None:
        super().__init__(prior)
        self.autocast = autocast
        self.nfe = self.backward_passes = 0
        self.seconds = 0.0
        self.retried_tile: int | None = None
        self._backward_began: float | None = None

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        began = _now(z)
        if z.requires_grad:
            z = _Mark.apply(z, self, False)
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self.autocast):
            clean = self._call(z, sigma)
        if clean.requires_grad:
            clean = _Mark.apply(clean, self, True)
        self.nfe += 1
        self.seconds += _now(z) - began
        return clean

    def _call(self, z: Tensor, sigma: Tensor) -> Tensor:
        try:
            return self.prior.denoise_native(z, sigma)
        except torch.OutOfMemoryError:
            half = max(z.shape[-2:]) // 2
            if self.retried_tile is not None or half < SMALLEST_TILE:
                raise
        if z.device.type == "cuda":
            torch.cuda.empty_cache()
        self.retried_tile = half
        self.prior = TiledPrior(self.prior, tile=half, overlap=min(64, half // 2))
        return self.prior.denoise_native(z, sigma)


class MeteredResidual(WrappedResidual):
    """A residual prior that counts and times its calls, with the same second try in tiles as MeteredPrior."""

    backward_passes = 0  # its solvers do not differentiate

    def __init__(self, prior: ResidualPrior, *, autocast: bool = False) -> None:
        super().__init__(prior)
        self.autocast = autocast
        self.nfe = 0
        self.seconds = 0.0
        self.retried_tile: int | None = None

    def predict(self, x_t: Tensor, y_up: Tensor, t: float, *, condition: Tensor | None = None) -> Prediction:
        began = _now(x_t)
        with torch.autocast(x_t.device.type, torch.bfloat16, enabled=self.autocast):
            known = self._call(x_t, y_up, t, condition)
        self.nfe += 1
        self.seconds += _now(x_t) - began
        return known

    def _call(self, x_t: Tensor, y_up: Tensor, t: float, condition: Tensor | None) -> Prediction:
        try:
            return self.prior.predict(x_t, y_up, t, condition=condition)
        except torch.OutOfMemoryError:
            half = max(x_t.shape[-2:]) // 2
            if self.retried_tile is not None or half < SMALLEST_TILE:
                raise
        if x_t.device.type == "cuda":
            torch.cuda.empty_cache()
        self.retried_tile = half
        self.prior = TiledResidual(self.prior, tile=half, overlap=min(64, half // 2))
        return self.prior.predict(x_t, y_up, t, condition=condition)


Meter = MeteredPrior | MeteredResidual


class _Mark(torch.autograd.Function):
    """The identity; its backward starts or stops the clock of the prior's backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, meter: MeteredPrior, enters: bool) -> Tensor:
        ctx.meter, ctx.enters = meter, enters
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        meter: MeteredPrior = ctx.meter
        if ctx.enters:
            meter._backward_began = _now(grad[0])
        elif meter._backward_began is not None:
            meter.seconds += _now(grad[0]) - meter._backward_began
            meter.backward_passes += 1
            meter._backward_began = None
        return grad[0], None, None


class MeteredNoise:
    """A source of noise that times its draws."""

    def __init__(self, source: Noise) -> None:
        self.source = source
        self.seconds = 0.0

    def normal(self, stream: str, like: Tensor) -> Tensor:
        return self._timed(self.source.normal, stream, like)

    def uniform(self, stream: str, like: Tensor) -> Tensor:
        return self._timed(self.source.uniform, stream, like)

    def categorical(self, stream: str, logits: Tensor) -> Tensor:
        return self._timed(self.source.categorical, stream, logits)

    def skip(self, stream: str, like: Tensor) -> None:
        self.source.skip(stream, like)

    def _timed(self, draw: Callable[[str, Tensor], Tensor], stream: str, like: Tensor) -> Tensor:
        began = time.perf_counter()
        drawn = draw(stream, like)
        self.seconds += time.perf_counter() - began
        return drawn


def _now(data: Tensor) -> float:
    if data.is_cuda:
        torch.cuda.synchronize(data.device)
    return time.perf_counter()
