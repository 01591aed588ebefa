"""Shapes without the batch and numbers per picture: what an operator refuses before it computes."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor

from ..common.errors import BadInput

Shape = tuple[int, ...]
ComplexPictures = Annotated[bool, "whether pictures may be complex"]


def check_shape(shape: Any, name: str) -> Shape:
    """The shape as a tuple of positive integers, or BadInput."""
    try:
        sizes = tuple(int(s) for s in shape)
    except (TypeError, ValueError):
        raise BadInput(f"{name} is {shape!r}", wanted="sizes without the batch, such as (3, 256, 256)") from None
    if not sizes or any(s < 1 for s in sizes):
        raise BadInput(f"{name} is {sizes}", wanted="positive sizes without the batch, such as (3, 256, 256)")
    return sizes


def check_rho(rho: float | Tensor, like: Tensor) -> Tensor:
    """rho as a tensor that broadcasts over B x ...; BadInput for negative, non-finite or a wrong length."""
    value = torch.as_tensor(rho, dtype=like.real.dtype if like.is_complex() else like.dtype, device=like.device)
    if value.ndim > 0 and value.numel() not in (1, like.shape[0]):
        raise BadInput(
            f"rho has {value.numel()} entries", wanted=f"one number, or one for each of the {like.shape[0]} pictures"
        )
    if not bool(torch.isfinite(value).all()) or bool((value < 0).any()):
        raise BadInput(f"rho is {rho}", wanted="a finite number that is not negative")
    return value if value.ndim == 0 else value.reshape(-1, *[1] * (like.ndim - 1))
