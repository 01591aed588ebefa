"""Networks that are trained inside a solver: one for each picture of the batch, each as if it were alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from operators.common.randomness import Noise
from priors.training.loop import fast_bfloat16

from ..base import Mean

First = Literal["uniform", "orthogonal"]
LARGE = 4096  # numbers of a picture


class SmallNetworks:
    """One network of one shape for each picture, with its own weights, trained by Adam in step with the others.

    shape: makes a network without buffers, whose own weights are not used. first: weights uniform within
    1 / sqrt(inputs) of 0, torch's default, or orthogonal with biases of 0. decay: of the weights, apart from the
    gradient (AdamW). stream: of the draws. like: B x ..., whose device, precision and number of entries the networks
    have.
    """

    def __init__(
        self,
        shape: Callable[[], nn.Module],
        noise: Noise,
        like: Tensor,
        *,
        stream: str,
        first: First = "uniform",
        decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        with torch.device("meta"):  # its weights are drawn below, from `noise` alone
            self.module = shape()
        shapes = {name: parameter.shape for name, parameter in self.module.named_parameters()}
        count = sum(shape.numel() for shape in shapes.values())
        asked = like.new_zeros(len(like), count)
        drawn = noise.uniform(stream, asked) if first == "uniform" else noise.normal(stream, asked)
        self.weights = [_first_weights(numbers, shapes, first) for numbers in drawn]
        self.adam = torch.optim.AdamW(
            [value for weights in self.weights for value in weights.values()], betas=betas, weight_decay=decay
        )
        # Double precision is asked for to be exact; on small pictures bfloat16 saves nothing.
        large = like[0].numel() >= LARGE
        self.fast = large and like.dtype == torch.float32 and fast_bfloat16(like.device.type)
        self.device = like.device.type

    def __call__(self, k: int, x: Tensor) -> Tensor:
        """The k-th network's answer (N x C x ...)."""
        layout = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
        answer: Tensor = functional_call(self.module, self.weights[k], (x.contiguous(memory_format=layout),))
        return answer.to(x.dtype)

    def learn(self, loss: Callable[[int], Tensor], rate: float) -> Mean:
        """One step down the loss of each network (given its index); the losses before it."""
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.zero_grad()
        losses = []
        with torch.enable_grad():
            for k in range(len(self.weights)):
                # Inside another autocast torch would keep the first step's weights in its cache for all later ones.
                with torch.autocast(self.device, torch.bfloat16, enabled=self.fast, cache_enabled=False):
                    value = loss(k)
                value.backward()  # type: ignore[no-untyped-call]
                losses.append(value.detach())
        self.adam.step()
        return Mean(torch.stack(losses))


def _first_weights(numbers: Tensor, shapes: dict[str, torch.Size], first: First) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    sizes = [shape.numel() for shape in shapes.values()]
    parts = torch.split(numbers, sizes)
    inputs = 1
    for (name, shape), part in zip(shapes.items(), parts, strict=True):
        if len(shape) > 1:  # a kernel stands before its bias
            inputs = shape[1:].numel()
        value = (2 * part - 1) / math.sqrt(inputs) if first == "uniform" else _orthogonal(part, shape)
        layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
        found[name] = value.reshape(shape).clone(memory_format=layout).requires_grad_()
    return found


def _orthogonal(normal: Tensor, shape: torch.Size) -> Tensor:
    """Rows (or columns, where they are fewer) of unit length at right angles; biases 0."""
    if len(shape) == 1:
        return torch.zeros_like(normal)
    matrix = normal.reshape(shape[0], -1)
    wide = matrix.shape[0] < matrix.shape[1]
    q, r = torch.linalg.qr(matrix.T if wide else matrix)
    q = q * torch.diagonal(r).sign()
    return q.T if wide else q
