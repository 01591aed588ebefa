"""Pixel2Pixel: noisy pairs drawn pixel by pixel from the most similar patches of the picture itself.

Q. Ma et al. 2025, "Pixel2Pixel: a pixelwise approach for zero-shot single image denoising", IEEE TPAMI; algorithm 1.

    bank[0 .. k-1](p) = centres of the k patches most like that of pixel p, in a window around it (0 is p itself)
    each step, for every pixel: i1, i2 uniform on 0 .. m-1;  i2 = i1: i2 <- (i2 + 1) mod m
    loss = |f(bank[i1]) - bank[i2]|  or its square;   x = f(y)

A = identity; pictures, stacks and volumes slice by slice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators.common.randomness import Noise
from operators.common.settings import Count, Positive, Range, Steps

from ..parts.small_networks import SmallNetworks
from .zero_shot import ZeroShot, drawn_for, halved

if TYPE_CHECKING:
    from ...problem import Problem

SLOPE = 0.2
CHUNK = 40  # offsets whose distances are compared at once
BY_LEVEL = ((10 / 255, 2), (25.5 / 255, 4), (float("inf"), 8))  # largest sigma, and the picks m up to it


@dataclass(frozen=True)
class Pixel2Pixel(ZeroShot):
    """A network of six layers, trained on pairs from a bank of similar pixels."""

    presets: ClassVar = {
        "paper": {"steps": 3000, "rate": 1e-3, "width": 64, "window": 40, "patch": 7, "error": "absolute"},
        "quick": {"steps": 500, "rate": 2e-3, "width": 48, "window": 20, "patch": 7},
        "camera": {"picks": 20, "error": "squared", "distance": "squared"},
    }

    steps: Annotated[Steps, "of the optimiser"] = 500
    rate: Annotated[Positive, "of AdamW at the start; halved at 1/2, 2/3 and 5/6 of the steps"] = 2e-3
    width: Annotated[Count, "features of the network"] = 48
    window: Annotated[int, Range(2), "side of the window of candidates, even"] = 20
    patch: Annotated[int, Range(1), "side of the compared patches, odd"] = 7
    picks: Annotated[int | None, Range(2), "m, of the bank; none: 2, 4 or 8 by the level of the noise"] = None
    distance: Annotated[Literal["absolute", "squared"], "between patches"] = "absolute"
    error: Annotated[Literal["absolute", "squared"], "that is made small"] = "absolute"

    def train(self, pictures: Tensor, problem: Problem, noise: Noise) -> Iterator[tuple[int, Tensor, dict[str, float]]]:
        picks = self.picks or next(m for most, m in BY_LEVEL if problem.sigma <= most)
        banks = [
            torch.stack([bank_of(p, self.window, self.patch, picks, self.distance)[0] for p in entry], dim=1)
            for entry in pictures
        ]  # each picks x N x C x H x W
        shape = partial(pixel_network, pictures.shape[2], self.width)
        networks = SmallNetworks(shape, noise, pictures, stream="weights", first="orthogonal", decay=0.01)
        marks = tuple(round(self.steps * share) for share in (1 / 2, 2 / 3, 5 / 6))
        for step in range(self.steps):
            first, drawn = (
                (drawn_for(pictures, noise, stream, each_channel=False) * picks).long().clamp(max=picks - 1)
                for stream in ("first", "second")
            )
            second = another(first, drawn, picks)

            def loss(k: int, first: Tensor = first, second: Tensor = second) -> Tensor:
                difference = networks(k, chosen(banks[k], first[k])) - chosen(banks[k], second[k])
                return difference.abs().mean() if self.error == "absolute" else difference.square().mean()

            losses = networks.learn(loss, halved(self.rate, step, marks))
            if self.shown(step):
                x = torch.stack([networks(k, entry).detach() for k, entry in enumerate(pictures)])
                yield step, x, {"loss": losses}


def pixel_network(channels: int, width: int) -> nn.Module:
    """Five 3 x 3 layers and a pointwise one (149 699 weights at width 64, three channels)."""
    widths = [channels, *[width] * 5]
    layers: list[nn.Module] = []
    for inside, outside in itertools.pairwise(widths):
        layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 1))


def bank_of(picture: Tensor, window: int, patch: int, count: int, distance: str = "squared") -> tuple[Tensor, Tensor]:
    """(centres of the most similar patches, count x C x H x W; their distances, count x H x W), nearest first.

    picture: C x H x W. Offsets -window/2 .. window/2 - 1 in rows and columns, around a picture that is reflected by
    window/2 + patch/2; distances are sums over the patch and the channels. Small pictures have smaller windows.
    """
    height, width = picture.shape[-2:]
    half, radius = window // 2, patch // 2
    radius = min(radius, min(height, width) - 2)
    half = min(half, min(height, width) - 1 - radius)
    margin = half + radius
    wide = F.pad(picture[None], (margin,) * 4, mode="reflect")[0]
    inner = wide[:, half : half + height + 2 * radius, half : half + width + 2 * radius]
    best, values = picture.new_full((0, height, width), torch.inf), picture.new_zeros(0, *picture.shape)
    offsets = [(dy, dx) for dy in range(-half, half) for dx in range(-half, half)]
    for start in range(0, len(offsets), CHUNK):
        near, seen = [best], [values]
        for dy, dx in offsets[start : start + CHUNK]:
            shifted = wide[:, half + dy : half + dy + inner.shape[1], half + dx : half + dx + inner.shape[2]]
            difference = inner - shifted
            each = difference.square() if distance == "squared" else difference.abs()
            near.append(_box(each.sum(0), 2 * radius + 1)[None])
            seen.append(shifted[None, :, radius : radius + height, radius : radius + width])
        distances, centres = torch.cat(near), torch.cat(seen)
        best, order = distances.topk(min(count, len(distances)), dim=0, largest=False, sorted=True)
        values = centres.gather(0, order[:, None].expand(-1, picture.shape[0], -1, -1))
    return values, best


def _box(plane: Tensor, side: int) -> Tensor:
    """Sums over squares of that side (valid part)."""
    rows = F.conv2d(plane[None, None], plane.new_ones(1, 1, side, 1))
    return F.conv2d(rows, plane.new_ones(1, 1, 1, side))[0, 0]


def chosen(bank: Tensor, index: Tensor) -> Tensor:
    """One entry of the bank for every pixel. bank: m x N x C x H x W; index: N x 1 x H x W."""
    return bank.gather(0, index[None].expand(1, *bank.shape[1:]))[0]


def another(first: Tensor, drawn: Tensor, count: int) -> Tensor:
    """The drawn indices, moved on by one (modulo count) where they are those of the first draw."""
    return torch.where(drawn == first, (drawn + 1) % count, drawn)
