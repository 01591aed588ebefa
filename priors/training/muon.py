"""Muon: momentum whose update matrix is replaced by its nearest orthogonal matrix.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the scale 0.2 sqrt(max(m, n)),
which gives updates the root mean square of AdamW's, is from J. Liu et al., arXiv 2502.16982, equation 4.
A convolution is flattened to (out, in * kernel) as in the original.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # quintic that drives singular values into about [0.7, 1.2] in five rounds


def orthogonalise(matrix: Tensor, *, rounds: int = 5) -> Tensor:
    """The matrix (m x n) with its singular values moved to about one, by Newton-Schulz iteration.

    Every iterate is a polynomial in X Xᵀ times X, so only the small Gram matrix is iterated: two products of the size
    of X in all instead of two a round.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    gram = x @ x.T
    product = torch.eye(len(gram), dtype=x.dtype, device=x.device)
    for _ in range(rounds):
        step = b * gram + c * gram @ gram
        step.diagonal().add_(a)
        product = step @ product
        gram = step @ gram @ step
    x = product @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay; for weights of two or more dimensions."""

    def __init__(
        self, parameters: Iterable[Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                velocity = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = torch.lerp(parameter.grad, velocity, group["momentum"])
                matrix = orthogonalise(update.reshape(update.shape[0], -1))
                scale = 0.2 * max(matrix.shape) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(matrix.reshape(parameter.shape), alpha=-group["lr"] * scale)


def split_parameters(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """(matrices for Muon, the rest for AdamW): hidden convolutions; ends, biases and embeddings."""
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    ends = ("enter.", "leave.")
    for name, parameter in network.named_parameters():
        hidden = parameter.ndim == 4 and not any(end in name for end in ends)
        (matrices if hidden else rest).append(parameter)
    return matrices, rest
