"""Adam on one tensor (Kingma, Ba 2015, arXiv 1412.6980, algorithm 1); the first step of torch's takes seconds."""

from __future__ import annotations

import torch
from torch import Tensor


class Adam:
    """m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, x -= rate m^ / (sqrt(v^) + eps), the hats free of their bias."""

    def __init__(
        self, like: Tensor, *, rate: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        self.rate, self.betas, self.eps, self.steps = rate, betas, eps, 0
        self.first, self.second = torch.zeros_like(like), torch.zeros_like(like)

    def stepped(self, x: Tensor, gradient: Tensor) -> Tensor:
        """x after one step (a new tensor, without gradients)."""
        self.steps += 1
        first, second = self.betas
        self.first.lerp_(gradient, 1 - first)
        self.second.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        spread = (self.second / (1 - second**self.steps)).sqrt_().add_(self.eps)
        return x.detach().addcdiv(self.first, spread, value=-self.rate / (1 - first**self.steps))
