"""Training on the measurement itself: crops, Adam, an average of the weights, and a state that a killed run resumes."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..base import Keeper
from ..training.loop import fast_bfloat16

Loss = Callable[[nn.Module, Tensor, torch.Generator, int], Tensor]
"""(network, crops, generator, step) -> the loss, a scalar; all randomness from the generator, on the CPU."""
Watch = Callable[[int, int], None]
Rate = Literal["cosine", "steps"]


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    crop: side in pixels, at most the picture's. multiple: crops' sides are multiples of it where the picture allows.
    rate: of Adam at the start; `falls` "cosine" to zero, or "steps": a tenth in the second half. clip: largest norm of
    the gradient, or None. average: decay of the mean of the weights, by step.
    """

    steps: int
    batch: int
    crop: int
    multiple: int = 1
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    falls: Rate = "cosine"
    clip: float | None = None
    average: float = 0.99
    keep_seconds: float = 20.0

    def rate_at(self, step: int) -> float:
        """The rate of a step (0-based)."""
        if self.falls == "steps":
            return self.rate * (1.0 if step < self.steps / 2 else 0.1)
        return self.rate * (1 + math.cos(math.pi * step / self.steps)) / 2


def train(
    network: nn.Module,
    pictures: Tensor,
    loss: Loss,
    plan: Training,
    *,
    seed: int,
    watch: Watch,
    keeper: Keeper | None = None,
) -> nn.Module:
    """The mean of the weights over the last steps of training, in evaluation mode; `network` itself is trained too.

    pictures: N x C x H x W in the network's units, on its device. seed: of crops and losses; step k draws the same
    whether or not the run was interrupted before. watch: called with (steps done, of how many). keeper: where the state
    is kept from time to time, and at Ctrl-C, and taken up from.
    """
    device = pictures.device.type
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    average = copy.deepcopy(network).requires_grad_(False)
    adam = torch.optim.Adam(network.parameters(), lr=plan.rate, betas=plan.betas)
    first = _resume(keeper, network, average, adam)
    kept, done = time.monotonic(), first
    try:
        for step in range(first, plan.steps):
            generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
            for group in adam.param_groups:
                group["lr"] = plan.rate_at(step)
            batch = crops(pictures, plan, generator).contiguous(memory_format=torch.channels_last)
            # Inside another autocast torch would keep the first step's weights in its cache for all later ones.
            with torch.autocast(device, torch.bfloat16, enabled=fast_bfloat16(device), cache_enabled=False):
                value = loss(network, batch, generator, step)
            adam.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            if plan.clip is not None:
                torch.nn.utils.clip_grad_norm_(network.parameters(), plan.clip)
            adam.step()
            _follow(average, network, min(plan.average, (1 + step) / (10 + step)))
            done = step + 1
            watch(done, plan.steps)
            if keeper is not None and time.monotonic() - kept > plan.keep_seconds:
                keeper.write(_state(network, average, adam, done))
                kept = time.monotonic()
    except KeyboardInterrupt:
        if keeper is not None:
            keeper.write(_state(network, average, adam, done))
        raise
    return average.eval()


def crops(pictures: Tensor, plan: Training, generator: torch.Generator) -> Tensor:
    """`batch` random crops, mirrored and turned at random (turned by 90 degrees where they are square)."""
    sides = [_side(plan, length) for length in pictures.shape[-2:]]
    cut = []
    for _ in range(plan.batch):
        index = _below(len(pictures), generator)
        top, left = (_below(n - s + 1, generator) for n, s in zip(pictures.shape[-2:], sides, strict=True))
        patch = pictures[index, :, top : top + sides[0], left : left + sides[1]]
        flips = [axis for axis in (-2, -1) if _below(2, generator)]
        patch = patch.flip(flips) if flips else patch
        cut.append(patch.transpose(-2, -1) if sides[0] == sides[1] and _below(2, generator) else patch)
    return torch.stack(cut)


def _side(plan: Training, length: int) -> int:
    side = min(plan.crop, length)
    return side - side % plan.multiple if side >= plan.multiple else side


def _below(bound: int, generator: torch.Generator) -> int:
    return int(torch.randint(bound, (1,), generator=generator))


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    for mean, parameter in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(parameter, 1 - decay)


def _state(network: nn.Module, average: nn.Module, adam: torch.optim.Adam, step: int) -> dict[str, Tensor]:
    state = {"step": torch.tensor(step)}
    for name, module in (("network", network), ("average", average)):
        state |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for index, moments in adam.state_dict()["state"].items():
        state |= {f"adam.{index}.{key}": torch.as_tensor(value) for key, value in moments.items()}
    return state


def _resume(keeper: Keeper | None, network: nn.Module, average: nn.Module, adam: torch.optim.Adam) -> int:
    """The step to go on from; 0 where nothing was kept, or what was kept is of another network."""
    state = None if keeper is None else keeper.read()
    if state is None or "step" not in state:
        return 0
    try:
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _under("adam", state).items():
            index, _, name = key.partition(".")
            moments.setdefault(int(index), {})[name] = value
        average.load_state_dict(_under("average", state))
        network.load_state_dict(_under("network", state))
        adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})
    except (RuntimeError, ValueError, KeyError):
        return 0
    return int(state["step"])


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix) + 1 :]: value for key, value in state.items() if key.startswith(f"{prefix}.")}
