"""Laws that are drawn by inverting their distribution function at a uniform number."""

from __future__ import annotations

import torch
from torch import Tensor

from .errors import BadInput, BadType


def below_one(uniform: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers of [0, 1) rounded to `dtype`; what rounding would carry to 1 stays the largest number below it."""
    largest = 1 - torch.finfo(dtype).eps / 2
    return uniform.clamp(max=largest).to(dtype)


def check_real(like: Tensor) -> None:
    """BadType unless `like` holds real floating-point numbers, as uniform draws do."""
    if not like.is_floating_point():
        raise BadType(f"uniform numbers were asked for as {like.dtype}", wanted="a real floating-point type")


def places(logits: Tensor) -> Tensor:
    """A zero for each categorical draw (shape of `logits` without its last axis), in the precision of the inversion.

    That is float64, and float32 on devices that have no other.
    BadInput for logits without a class, with NaN or +infinity, or where a draw has no class of finite logit.
    """
    if logits.ndim < 2 or logits.shape[-1] == 0 or not logits.is_floating_point():
        raise BadInput(
            f"logits have shape {tuple(logits.shape)} and type {logits.dtype}", wanted="real numbers, B x ... x classes"
        )
    best = logits.detach().amax(-1)
    if not bool(torch.isfinite(best).all()):
        raise BadInput(
            "logits hold NaN, +infinity, or -infinity for all classes of a draw",
            wanted="numbers, or -infinity for classes that cannot be drawn",
        )
    precision = torch.float32 if logits.device.type == "mps" else torch.float64
    return torch.zeros(best.shape, dtype=precision, device=logits.device)


def categorical(uniform: Tensor, logits: Tensor) -> Tensor:
    """The class k with F(k - 1) <= u < F(k), F the running sum of softmax(logits) along the last axis.

    uniform: B x ... in [0, 1), in the precision to compute in. logits: B x ... x classes, -infinity for a class that
    cannot be drawn. Returns int64, B x ..., from 0 to classes - 1.
    """
    running = torch.softmax(logits.detach().to(uniform.dtype), -1).cumsum(-1)
    total = running[..., -1:]
    # The running sum ends at 1 up to rounding; a target below its end always meets a class of positive probability.
    target = torch.minimum(uniform[..., None] * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(running, target, right=True)[..., 0]
