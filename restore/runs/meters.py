"""Wrappers that count and time what a solver uses: network calls and noise. They change no number."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from operators.common.randomness import Noise
from priors.base import Prior
from priors.calls import around, map_tensors
from priors.tiling import in_tiles, side_for

SMALLEST_TILE = 64  # of a picture; of a volume, the side that holds as many numbers


class Meter:
    """Counts of a prior of any kind: forward calls (nfe), backward passes, and the seconds spent in both.

    prior: the same prior, counted. autocast: run its network in bfloat16 where its operations allow. Where a device
    runs out of memory, the call is repeated once in tiles of half the picture, and so are all later ones;
    `retried_tile` says so. may_tile: whether it is; a batch that can be cut is made smaller first, which changes less.
    """

    def __init__(self, prior: Prior, *, autocast: bool = False) -> None:
        self.autocast, self.may_tile = autocast, True
        self.nfe = self.backward_passes = 0
        self.seconds = 0.0
        self.retried_tile: int | None = None
        self.backward_began: float | None = None
        self._axes = prior.network_axes
        self.prior = around(prior, self._measured)

    def _measured(self, call: Callable[..., Any], state: Tensor, *others: Any, **keywords: Any) -> Any:
        began = _now(state)
        if state.requires_grad:
            state = _Mark.apply(state, self, False)
        with torch.autocast(state.device.type, torch.bfloat16, enabled=self.autocast):
            answer = self._called(call, state, *others, **keywords)
        answer = map_tensors(lambda part: _Mark.apply(part, self, True) if part.requires_grad else part, answer)
        self.nfe += 1
        self.seconds += _now(state) - began
        return answer

    def _called(self, call: Callable[..., Any], state: Tensor, *others: Any, **keywords: Any) -> Any:
        if self.retried_tile is None:
            try:
                return call(state, *others, **keywords)
            except torch.OutOfMemoryError:
                half = max(state.shape[-self._axes :]) // 2
                if not self.may_tile or half < side_for(SMALLEST_TILE, self._axes):
                    raise
            if state.device.type == "cuda":
                torch.cuda.empty_cache()
            self.retried_tile = half
        tile = self.retried_tile
        overlap = min(64, tile // 2)
        return in_tiles(call, state, *others, axes=self._axes, tile=tile, overlap=overlap, **keywords)


class _Mark(torch.autograd.Function):
    """The identity; its backward starts or stops the clock of the prior's backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, meter: Meter, enters: bool) -> Tensor:
        ctx.meter, ctx.enters = meter, enters
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        meter: Meter = ctx.meter
        if ctx.enters:
            meter.backward_began = _now(grad[0])
        elif meter.backward_began is not None:
            meter.seconds += _now(grad[0]) - meter.backward_began
            meter.backward_passes += 1
            meter.backward_began = None
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
