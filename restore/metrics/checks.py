"""Refusals: what makes a score a number about these two pictures is checked before it is computed."""

from __future__ import annotations

import torch
from torch import Tensor

from operators.common.errors import BadInput, BadType


def check_pair(estimate: Tensor, truth: Tensor) -> None:
    """Two floating-point batches of one shape with finite values, or BadInput / BadType."""
    for what, x in (("estimate", estimate), ("truth", truth)):
        if not isinstance(x, Tensor):
            raise BadType(f"{what} is {type(x).__name__}", wanted="a torch.Tensor")
        if not (x.is_floating_point() or x.is_complex()):
            raise BadType(
                f"{what} has data type {x.dtype}", wanted="floating point", do="Divide stored codes by their maximum."
            )
    if estimate.shape != truth.shape:
        raise BadInput(
            f"estimate has shape {tuple(estimate.shape)}", wanted=f"{tuple(truth.shape)}, the shape of the truth"
        )
    if truth.ndim < 4:
        raise BadInput(f"pictures of shape {tuple(truth.shape)}", wanted="B x C x H x W or B x C x D x H x W")
    if truth[:1].numel() == 0 and truth.shape[0] > 0:
        raise BadInput(f"pictures of shape {tuple(truth.shape)} hold no pixels")
    if estimate.is_complex() != truth.is_complex():
        raise BadType(f"estimate is {estimate.dtype} and truth is {truth.dtype}", wanted="both real or both complex")
    for what, x in (("estimate", estimate), ("truth", truth)):
        bad = ~torch.isfinite(x.detach())
        if bool(bad.any()):
            first = tuple(int(i) for i in bad.nonzero()[0])
            raise BadInput(f"{what} holds {int(bad.sum())} values that are not finite, the first at {first}")


def check_range(data_range: tuple[float, float] | None) -> None:
    """A pair of finite numbers, low < high, or None."""
    if data_range is None:
        return
    low, high = data_range
    if not (abs(low) < float("inf") and abs(high) < float("inf") and low < high):
        raise BadInput(f"data_range is {data_range}", wanted="(lowest, highest) with lowest < highest")


def check_inside(x: Tensor, low: float, high: float, what: str, data_range: tuple[float, float], do: str) -> None:
    """BadInput, with the values found and `do`, unless all of x lies between low and high."""
    least, most = float(x.min()), float(x.max())
    if least < low or most > high:
        raise BadInput(
            f"{what} has values from {least:.6g} to {most:.6g}", wanted=f"values in {range_text(data_range)}", do=do
        )


def range_text(data_range: tuple[float, float]) -> str:
    """A range as messages show it."""
    return f"[{data_range[0]:.6g}, {data_range[1]:.6g}]"
