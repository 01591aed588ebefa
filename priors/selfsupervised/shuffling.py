"""Ways to break the correlation of neighbouring noise: pixel-shuffle mosaics, batches, and random sub-samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mosaic(x: Tensor, factor: int, pad: int = 0) -> Tensor:
    """The factor^2 sub-pictures of x (every factor-th pixel) side by side, each framed by `pad` zeros.

    x: ... x H x W with sides that `factor` divides. Returns ... x (H + 2 factor pad) x (W + 2 factor pad); the
    sub-picture of offset (i, j) stands in row i, column j. Lee et al. 2022, section 3.2.
    """
    height, width = (side // factor for side in x.shape[-2:])
    parts = x.reshape(*x.shape[:-2], height, factor, width, factor).movedim(-3, -4)  # ... i, h, w, j
    parts = F.pad(parts.movedim(-1, -3), (pad, pad, pad, pad))  # ... i, j, h, w
    parts = parts.movedim(-3, -2)  # ... i, h, j, w
    return parts.reshape(*x.shape[:-2], factor * (height + 2 * pad), factor * (width + 2 * pad))


def unmosaic(x: Tensor, factor: int, pad: int = 0) -> Tensor:
    """What `mosaic` shuffled, in its place again, without the frames."""
    height, width = (side // factor for side in x.shape[-2:])
    parts = x.reshape(*x.shape[:-2], factor, height, factor, width)  # ... i, h, j, w
    parts = parts[..., pad : height - pad, :, pad : width - pad]
    parts = parts.movedim(-2, -1).movedim(-4, -3)  # ... h, i, w, j
    return parts.reshape(*x.shape[:-2], factor * (height - 2 * pad), factor * (width - 2 * pad))


def to_batch(x: Tensor, factor: int) -> Tensor:
    """The sub-pictures as entries of the batch: entry (factor i + j) B + b is offset (i, j) of picture b."""
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels, height // factor, factor, width // factor, factor)
    return parts.permute(3, 5, 0, 1, 2, 4).reshape(-1, channels, height // factor, width // factor)


def from_batch(x: Tensor, factor: int) -> Tensor:
    """What `to_batch` took apart, put together."""
    count, channels, height, width = x.shape
    parts = x.reshape(factor, factor, count // factor**2, channels, height, width)
    return parts.permute(2, 3, 4, 0, 5, 1).reshape(-1, channels, factor * height, factor * width)


def cells(x: Tensor, factor: int) -> Tensor:
    """The factor^2 pixels of every cell, B x C x factor^2 x H/factor x W/factor; pixel factor * dy + dx."""
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels, height // factor, factor, width // factor, factor)
    return parts.permute(0, 1, 3, 5, 2, 4).reshape(batch, channels, factor**2, height // factor, width // factor)


def picked(x: Tensor, choice: Tensor, factor: int) -> Tensor:
    """One pixel of every cell, the same for all channels. choice: B x H/factor x W/factor, 0 to factor^2 - 1."""
    parts = cells(x, factor)
    index = choice[:, None, None].expand(-1, parts.shape[1], -1, -1, -1)
    return parts.gather(2, index)[:, :, 0]


def permutations(batch: int, height: int, width: int, factor: int, generator: torch.Generator) -> Tensor:
    """A random order of the pixels of each cell, B x factor^2 x H/factor x W/factor."""
    return torch.rand(batch, factor**2, height // factor, width // factor, generator=generator).argsort(1)


def filled(x: Tensor, factor: int, value: float) -> Tensor:
    """x with rows below and columns to the right, all `value`, so that `factor` divides its sides; crop the answer."""
    missing = [-side % factor for side in x.shape[-2:]]
    return F.pad(x, (0, missing[1], 0, missing[0]), value=value) if any(missing) else x


def trimmed(x: Tensor, factor: int) -> Tensor:
    """The part of x from the top left whose sides `factor` divides."""
    height, width = (side - side % factor for side in x.shape[-2:])
    return x[..., :height, :width]


def reflected(x: Tensor, margin: int) -> Tensor:
    """x with a margin of its own mirror image on all sides (at most its side less one)."""
    rows, columns = (min(margin, side - 1) for side in x.shape[-2:])
    shape = x.shape
    flat = F.pad(x.reshape(-1, 1, *shape[-2:]), (columns, columns, rows, rows), mode="reflect")
    return flat.reshape(*shape[:-2], *flat.shape[-2:])


def without_margin(x: Tensor, margin: int, like: Tensor) -> Tensor:
    """What `reflected` put a margin around, of the size of `like`."""
    height, width = like.shape[-2:]
    top, left = (min(margin, side - 1) for side in (height, width))
    return x[..., top : top + height, left : left + width]
