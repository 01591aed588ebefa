"""Shapes without the batch and numbers per picture: what an operator refuses before it computes."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from operator import index
from typing import Annotated, Any, TypeVar

import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.settings import shown

Shape = tuple[int, ...]
MOST = 2**32  # numbers of one picture, or of one measurement: 16 GB in single precision
ComplexPictures = Annotated[bool, "whether pictures may be complex"]


def check_shape(shape: Any, name: str) -> Shape:
    """The shape as a tuple of whole numbers of at least 1 with a product of at most MOST, or BadInput."""
    wanted = "positive sizes without the batch, such as (3, 256, 256)"
    try:
        if isinstance(shape, str | bytes) or any(isinstance(size, bool) for size in shape):
            raise TypeError
        sizes = tuple(index(size) for size in shape)
    except (TypeError, ValueError, OverflowError):
        raise BadInput(f"{name} is {shown(shape)}", wanted=wanted) from None
    if not sizes or any(size < 1 for size in sizes):
        raise BadInput(f"{name} is {shown(sizes)}", wanted=wanted)
    if math.prod(sizes) > MOST:
        raise BadInput(f"{name} is {shown(sizes)}", wanted=f"at most {MOST:.2g} numbers", do="Take a part of it.")
    return sizes


Constructor = TypeVar("Constructor", bound=Callable[..., None])


def with_checked_shape(constructor: Constructor) -> Constructor:
    """A constructor that is handed its `input_shape` as `check_shape` returns it; another one as it is.

    What does not fit into memory all the same is BadInput.
    """
    names = list(inspect.signature(constructor).parameters)
    if names[1:2] != ["input_shape"]:
        return constructor

    @functools.wraps(constructor)
    def checking(self: Any, *shape: Any, **settings: Any) -> None:
        if shape:
            shape = (check_shape(shape[0], "input_shape"), *shape[1:])
        elif "input_shape" in settings:
            settings["input_shape"] = check_shape(settings["input_shape"], "input_shape")
        try:
            constructor(self, *shape, **settings)
        except (MemoryError, OverflowError) as error:
            kind = "does not fit into memory" if isinstance(error, MemoryError) else "leaves the range of numbers"
            raise BadInput(
                f"{type(self).__name__} with these sizes and settings {kind} ({error})", do="Take smaller ones."
            ) from error

    return checking  # type: ignore[return-value]


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
