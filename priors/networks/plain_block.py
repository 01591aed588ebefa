"""The residual block that both coders are made of."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PlainBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))), B x width x H x W; the identity before training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))
