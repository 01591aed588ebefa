"""The algebra of operators that are diagonal in some basis: to the basis and back, singular values, their inverse."""

from __future__ import annotations

import torch
from torch import Tensor

from .differentiation import full_precision


def sandwich(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    """left @ x @ right over the last two axes, in the precision of x whatever autocast says."""
    with full_precision(x):
        return left @ x @ right


def kept(s: Tensor, rtol: float) -> Tensor:
    """Singular values above rtol times the largest, and 0 for the others."""
    return torch.where(s > rtol * s.max(), s, torch.zeros_like(s))


def divide(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0."""
    return torch.where(
        b > 0, a / torch.where(b > 0, b, torch.ones_like(b)), torch.zeros((), dtype=a.dtype, device=a.device)
    )
