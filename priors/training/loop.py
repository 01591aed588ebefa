"""The training loop: one for every objective. Resumable, averaged, and quiet about what it trains."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from operators.common import outside
from operators.common.atomic import atomic_path
from operators.common.errors import RestoreError
from operators.common.settings import Checked, Count, Fraction, NotNegative, Positive, Range, Seed

from .muon import load_moments, muon, split_parameters


class Objective(Protocol):
    """What a batch costs, and of which network (`architecture`, a name of `priors.files.checkpoints`)."""

    architecture: ClassVar[str]

    def loss(self, network: nn.Module, clean: Tensor, generator: torch.Generator, /) -> Tensor:
        """Scalar loss of a batch on the network's device; all randomness from `generator`, on the CPU."""

    def network_settings(self, base: Mapping[str, Any], /) -> dict[str, Any]:
        """Settings of the network that this objective trains."""

    def preconditioning(self) -> dict[str, Any]:
        """What a weights file must say for the prior to be built again."""


@dataclass(frozen=True)
class TrainingSettings(Checked):
    """One recipe. The rate is constant after `warmup` and falls linearly to zero over the last `decay` share.

    After each of the earlier rounds the rate has fallen to zero and rises once more, to `later_peak` of its height. The
    last round takes what `steps` leaves.
    """

    steps: Annotated[Count, "of the optimiser, all rounds together"]
    batch: Annotated[Count, "pictures of a step"] = 16
    muon_lr: Annotated[Positive, "rate of the matrices"] = 2e-3
    adam_lr: Annotated[Positive, "rate of everything else"] = 1e-3
    warmup: Annotated[Count, "steps in which a round's rate rises"] = 100
    decay: Annotated[Fraction, "share of a round in which its rate falls"] = 0.3
    earlier_rounds: Annotated[Sequence[int], Range(1), "steps of each round before the last"] = ()
    later_peak: Annotated[Positive, "height of the later rounds' rate, of that of the first"] = 0.5
    ema: Annotated[float, Range(0, below=1), "decay of the averaged weights, by step"] = 0.999
    seed: Seed = 0
    checkpoint_seconds: Annotated[NotNegative, "between two checkpoints"] = 120.0

    def rate(self, step: int) -> float:
        """Factor on both learning rates at this step (0-based)."""
        began, peak = 0, 1.0
        for ended in (*itertools.accumulate(self.earlier_rounds), self.steps):
            if step < min(ended, self.steps):
                break
            began, peak = ended, self.later_peak
        return peak * self._round(step - began, min(ended, self.steps) - began)

    def _round(self, step: int, steps: int) -> float:
        falling = 1.0 if step < steps * (1 - self.decay) else (steps - step) / (steps * self.decay)
        return min(1.0, (step + 1) / self.warmup) * max(falling, 0.0)


@dataclass(frozen=True)
class Progress:
    """Where a run stands: step, smoothed loss, seconds of training over all sessions, seconds a step in this one."""

    step: int
    loss: float
    seconds: float
    each: float


class Trainer:
    """Trains `network` in place; `average` is its exponential moving average, the weights to ship.

    checkpoint: file that a later run continues from (tensors and numbers only, loaded with weights_only).
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        settings: TrainingSettings,
        *,
        checkpoint: Path,
        device: str = "cpu",
    ) -> None:
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.objective, self.settings, self.checkpoint, self.device = objective, settings, checkpoint, device
        matrices, rest = split_parameters(self.network)
        self.optimisers: list[torch.optim.Optimizer] = [
            muon(matrices, lr=settings.muon_lr, bfloat16=fast_bfloat16(device)),
            torch.optim.AdamW(rest, lr=settings.adam_lr, betas=(0.9, 0.99), weight_decay=0.0),
        ]
        self.base_rates = [settings.muon_lr, settings.adam_lr]
        self.step, self.seconds, self.smoothed = 0, 0.0, float("nan")
        if checkpoint.exists():
            self._resume()

    def run(
        self,
        batches: Callable[[int], Iterator[Tensor]],
        report: Callable[[Progress], None],
        *,
        report_every: int = 100,
    ) -> Progress:
        """Train to the end. batches: start step -> endless batches; report: called every so many steps."""
        source = batches(self.step)
        saved = began = time.monotonic()
        first, done_before = self.step, self.seconds

        def progress() -> Progress:
            each = (self.seconds - done_before) / max(self.step - first, 1)
            return Progress(self.step, self.smoothed, self.seconds, each)

        while self.step < self.settings.steps:
            self._advance(next(source))
            now = time.monotonic()
            self.seconds = done_before + now - began
            if self.step % report_every == 0:
                report(progress())
            if now - saved > self.settings.checkpoint_seconds:
                self.save()
                saved = now
        self.save()
        return progress()

    def _advance(self, clean: Tensor) -> None:
        # One generator per step: a resumed run draws what an unbroken one would have drawn.
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.step)
        factor = self.settings.rate(self.step)
        for optimiser, base in zip(self.optimisers, self.base_rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = base * factor
        autocast = torch.autocast(self.device, torch.bfloat16, enabled=fast_bfloat16(self.device))
        with autocast:
            loss = self.objective.loss(self.network, clean.to(self.device), generator)
        self.network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self._average()
        value = float(loss.detach())
        self.smoothed = value if self.smoothed != self.smoothed else 0.99 * self.smoothed + 0.01 * value
        self.step += 1

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.settings.ema, (self.step + 1) / (self.step + 10))
        for mean, parameter in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(parameter, 1 - decay)
        for measured, value in zip(self.average.buffers(), self.network.buffers(), strict=True):
            measured.copy_(value)

    def go_on_from(self, weights: Mapping[str, Tensor], *, step: int, seconds: float) -> None:
        """Take weights alone for lack of a checkpoint: the optimisers' moments begin anew."""
        self.network.load_state_dict(weights)
        self.average.load_state_dict(weights)
        self.step, self.seconds = step, seconds

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers],
            "step": self.step,
            "seconds": self.seconds,
            "smoothed": self.smoothed,
        }
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.checkpoint) as temporary, temporary.open("wb") as file:
            torch.save(state, file)

    def _resume(self) -> None:
        try:
            state = torch.load(outside.checked(self.checkpoint), map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
                load_moments(optimiser, saved)
            self.step, self.seconds, self.smoothed = int(state["step"]), state["seconds"], state["smoothed"]
        except RestoreError:
            raise
        except Exception as error:  # a damaged file fails in many ways, and so does one of another network
            reason = outside.one_line(error, limit=120)
            raise outside.ReadError(
                self.checkpoint, f"no checkpoint of this recipe ({reason})", do="Delete it, or choose another --out."
            ) from error


def fast_bfloat16(device: str) -> bool:
    """Whether bfloat16 is done in hardware there; emulated, it is slower than float32."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
