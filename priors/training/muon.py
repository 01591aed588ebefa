"""Muon: momentum whose update matrix is replaced by its nearest orthogonal matrix.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the scale 0.2 sqrt(max(m, n)),
which gives updates the root mean square of AdamW's, is from J. Liu et al., arXiv 2502.16982, equation 4.
A convolution is flattened to (out, kernel * in): orthogonalisation does not see the order of columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # quintic that drives singular values into about [0.7, 1.2] in five rounds
MOMENTUM = 0.95


def muon(weights: Sequence[Tensor], *, lr: float, bfloat16: bool) -> torch.optim.Optimizer:
    """The optimiser of convolutions (out x in x h x w, channels last), by torch's own Muon or by ours.

    bfloat16: whether the device has it in hardware. torch's Muon (2.9 and later) iterates in bfloat16 only; emulated,
    that took 3 to 35 times as long as ours, and with hardware 0.8 of it, so there and in older torch ours stays.
    """
    matrices = [as_matrix(weight.detach()) for weight in weights]  # they share the memory of the weights
    if bfloat16 and hasattr(torch.optim, "Muon"):
        optimiser: torch.optim.Optimizer = torch.optim.Muon(
            matrices, lr=lr, momentum=MOMENTUM, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
        )
    else:
        optimiser = GramMuon(matrices, lr=lr)

    def take_gradients(*_: Any) -> None:
        for matrix, weight in zip(matrices, weights, strict=True):
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad)

    optimiser.register_step_pre_hook(take_gradients)
    return optimiser


def as_matrix(weight: Tensor) -> Tensor:
    """A convolution's weights as (out, h * w * in): the same memory where they are kept channels last."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def load_moments(optimiser: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """The moments of `optimiser.state_dict()`; its settings are the recipe's, whichever Muon wrote the file."""
    state = {key: _as_written_now(entry) for key, entry in saved["state"].items()}
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _as_written_now(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Checkpoints of before torch's Muon was used kept a convolution's moments in its own shape."""
    return {"momentum_buffer": as_matrix(entry["momentum"])} if "momentum" in entry else entry


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


class GramMuon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised in the precision of the matrices by `orthogonalise`."""

    def __init__(self, matrices: Iterable[Tensor], *, lr: float) -> None:
        super().__init__(matrices, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                velocity = state["momentum_buffer"].lerp_(matrix.grad, 1 - MOMENTUM)
                update = orthogonalise(torch.lerp(matrix.grad, velocity, MOMENTUM))
                matrix.add_(update, alpha=-group["lr"] * 0.2 * max(matrix.shape) ** 0.5)


def split_parameters(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """(matrices for Muon, the rest for AdamW): hidden convolutions; ends, biases, embeddings and depthwise ones.

    Weights that need no gradient are in neither.
    """
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    ends = ("enter.", "leave.")
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        hidden = parameter.ndim == 4 and parameter.shape[1] > 1 and not any(end in name for end in ends)
        (matrices if hidden else rest).append(parameter)
    return matrices, rest
