"""Noise whose standard deviation differs from pixel to pixel, for priors that know one level per picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeGuard

import torch
from torch import Tensor

from operators.common.errors import BadInput

MOST_LEVELS = 8  # calls that a map may cost


def is_map(sigma: float | Tensor, x: Tensor) -> TypeGuard[Tensor]:
    """Whether sigma says a number for each pixel of x (B x C x H x W): B or 1, C or 1, then the spatial axes of x."""
    if not isinstance(sigma, Tensor) or sigma.ndim != x.ndim or sigma.shape[2:] != x.shape[2:]:
        return False
    return sigma[0].numel() > 1


def check_map(sigma: Tensor, x: Tensor) -> Tensor:
    """The map as B x 1 or C x spatial axes, with the precision and on the device of x; BadInput for one that is not."""
    if sigma.shape[0] not in (1, x.shape[0]) or sigma.shape[1] not in (1, x.shape[1]):
        raise BadInput(
            f"sigma has shape {tuple(sigma.shape)}",
            wanted=f"{x.shape[0]} or 1, {x.shape[1]} or 1, and {' x '.join(map(str, x.shape[2:]))}",
        )
    levels = sigma.to(device=x.device, dtype=x.real.dtype if x.is_complex() else x.dtype)
    if not bool(torch.isfinite(levels).all()) or bool((levels < 0).any()):
        raise BadInput("sigma holds negative or infinite values", wanted="finite and not negative ones")
    return levels.expand(x.shape[0], *levels.shape[1:])


def by_octaves(denoise: Callable[[Tensor, Tensor], Tensor], z: Tensor, levels: Tensor) -> Tensor:
    """The answer by octaves: each pixel interpolated, in the logarithm of its level, between calls of one level each.

    denoise: (z, B levels) -> B x C x H x W. levels: a map, 0 where a pixel is clean. The calls of a picture span its
    own least and largest level above 0, at most an octave apart (MOST_LEVELS of them at most, then further apart), so
    that a constant map costs one call and is exact, and a picture does not depend on its neighbours in the batch.

    What the rule leaves out: a call of one level takes all neighbours of a pixel to be as noisy as the pixel.
    """
    flat = levels.flatten(1)
    noisy = flat > 0
    low = torch.where(noisy, flat, math.inf).amin(1)
    low = torch.where(torch.isfinite(low), low, 1.0)  # a clean picture: any level serves, its answer is not used
    high = torch.maximum(flat.amax(1), low)
    octaves = torch.log2(high / low)
    steps = torch.ceil(octaves - 1e-4).clamp(0, MOST_LEVELS - 1)  # calls of each picture, less one
    shape = (-1, *[1] * (levels.ndim - 1))
    safe = torch.where(levels > 0, levels, low.reshape(shape))
    share = torch.log2(safe / low.reshape(shape)) / torch.where(octaves > 0, octaves, 1.0).reshape(shape)
    place = share * steps.reshape(shape)  # where a pixel lies between the calls: 0 to steps
    total = torch.zeros_like(z)
    for k in range(int(steps.max()) + 1):
        at = torch.minimum(torch.full_like(steps, k), steps) / torch.where(steps > 0, steps, 1.0)
        weight = (1 - (place - k).abs()).clamp_min(0)
        total = total + weight * denoise(z, low * torch.exp2(at * octaves))
    return total
