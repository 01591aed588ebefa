"""MASH: random masks whose share a test for correlation chooses, and local shuffling of the target.

H. Chihaoui, P. Favaro 2024, "Masked and shuffled blind spot denoising for real-world images", arXiv 2404.09389.

    m ~ Bernoulli(1 - ratio) per pixel and channel;  loss = mean |(1 - m) (f(m y) - target)|       (over all entries)
    gap = |std(f_0.8 - y) - std(f_0.2 - y)| in grey levels, two trial networks:  > 2: ratio 0.9 and shuffling;  < 1: 0.1
    target = y, and once, a while after the start, its flat 4 x 4 tiles permuted (the input never is)
    x = mean of f(m y) over ten masks

The network is the U-Net of Noise2Noise with shared weights, smaller than the published one. A = identity.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Count, Fraction, Natural, Positive, Steps
from priors.networks.noise2noise import Noise2NoiseUNet

from ..base import Mean
from ..parts.small_networks import SmallNetworks
from .zero_shot import ZeroShot, drawn_for

if TYPE_CHECKING:
    from ...problem import Problem

TRIALS = (0.8, 0.2)  # ratios of the two networks whose answers are compared
WIDE_GAP, NARROW_GAP = 2.0, 1.0  # grey levels of 255
RATIOS = (0.9, 0.5, 0.1)  # for correlated, unclear and independent noise
TILE = 4


@dataclass(frozen=True)
class MASH(ZeroShot):
    """Masked and shuffled training, for noise that may be correlated."""

    presets: ClassVar = {
        "paper": {"steps": 800, "trial_steps": 800, "rate": 4e-4, "width": 48},
        "quick": {"steps": 200, "trial_steps": 60, "rate": 3e-3, "width": 16},
    }

    steps: Annotated[Steps, "of the optimiser for the answer"] = 200
    trial_steps: Annotated[Steps, "of each of the two trial networks"] = 60
    rate: Annotated[Positive, "of Adam at the start, falling as a cosine"] = 3e-3
    width: Annotated[Count, "features of the network; 48 as published"] = 16
    ratio: Annotated[Fraction | None, "of the entries that are masked; none: by the test"] = None
    masks: Annotated[Count, "that an answer is the mean of"] = 10
    after: Annotated[Natural, "steps before the target is shuffled"] = 50
    textured: Annotated[Fraction, "of the largest deviation in 2 x 2 cells, from which a tile is left alone"] = 0.5

    def train(self, pictures: Tensor, problem: Problem, noise: Noise) -> Iterator[tuple[int, Tensor, dict[str, float]]]:
        ratios, shuffles, gaps = self._decided(pictures, noise)
        networks, targets = self._networks(pictures, noise, "weights"), pictures
        for step in range(self.steps):
            if step == min(self.after, self.steps - 1) and any(shuffles):
                order = drawn_for(pictures, noise, "shuffling", each_channel=False)
                estimates = self._answers(networks, pictures, ratios, noise, "before shuffling")
                targets = torch.stack(
                    [
                        shuffled(y, x, u, self.textured) if wanted else y
                        for y, x, u, wanted in zip(pictures, estimates, order, shuffles, strict=True)
                    ]
                )
            losses = self._step(networks, pictures, targets, ratios, noise, step, self.steps, "masks")
            if self.shown(step):
                x = self._answers(networks, pictures, ratios, noise, "answers")
                yield step, x, {"loss": losses, "gap": Mean(gaps), "ratio": Mean(torch.tensor(ratios))}

    def _decided(self, pictures: Tensor, noise: Noise) -> tuple[list[float], list[bool], Tensor]:
        """(ratio, whether to shuffle, gap in grey levels) of each picture."""
        if self.ratio is not None:
            return [self.ratio] * len(pictures), [self.ratio == RATIOS[0]] * len(pictures), torch.zeros(len(pictures))
        deviations = []
        for ratio in TRIALS:
            networks, same = self._networks(pictures, noise, f"trial {ratio}"), [ratio] * len(pictures)
            for step in range(self.trial_steps):
                self._step(networks, pictures, pictures, same, noise, step, self.trial_steps, f"trial masks {ratio}")
            x = self._answers(networks, pictures, same, noise, f"trial answers {ratio}")
            deviations.append((255 * (x - pictures)).flatten(1).std(1, correction=0))
        gaps = (deviations[0] - deviations[1]).abs()
        ratios = [ratio_for(gap) for gap in gaps.tolist()]
        return ratios, [ratio == RATIOS[0] for ratio in ratios], gaps

    def _networks(self, pictures: Tensor, noise: Noise, stream: str) -> SmallNetworks:
        shape = partial(Noise2NoiseUNet, channels=pictures.shape[2], width=self.width)
        return SmallNetworks(shape, noise, pictures, stream=stream)

    def _step(
        self,
        networks: SmallNetworks,
        pictures: Tensor,
        targets: Tensor,
        ratios: list[float],
        noise: Noise,
        step: int,
        steps: int,
        stream: str,
    ) -> Mean:
        drawn = drawn_for(pictures, noise, stream, each_channel=True)

        def loss(k: int) -> Tensor:
            mask = kept(drawn[k], ratios[k])
            return masked_loss(networks(k, mask * pictures[k]), targets[k], mask)

        return networks.learn(loss, self.rate * (1 + math.cos(math.pi * step / steps)) / 2)

    def _answers(
        self, networks: SmallNetworks, pictures: Tensor, ratios: list[float], noise: Noise, stream: str
    ) -> Tensor:
        total = torch.zeros_like(pictures)
        for _ in range(self.masks):
            drawn = drawn_for(pictures, noise, stream, each_channel=True)
            for k, y in enumerate(pictures):
                total[k] += networks(k, kept(drawn[k], ratios[k]) * y).detach()
        return total / self.masks


def ratio_for(gap: float) -> float:
    """Share of masked entries for a gap in grey levels: a wide one tells correlated noise, a narrow one independent."""
    return RATIOS[0] if gap > WIDE_GAP else RATIOS[2] if gap < NARROW_GAP else RATIOS[1]


def kept(uniform: Tensor, ratio: float) -> Tensor:
    """1 where U < 1 - ratio, else 0."""
    return (uniform < 1 - ratio).to(uniform.dtype)


def masked_loss(answer: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """mean over all entries of |(1 - m) (answer - target)|."""
    return ((1 - mask) * (answer - target)).abs().mean()


def deviations(estimate: Tensor) -> Tensor:
    """Standard deviation in each 2 x 2 cell of the channel mean times 255, on the grid of pixels (N x 1 x H x W)."""
    gray = 255 * estimate.mean(1, keepdim=True)
    mean = F.avg_pool2d(gray, 2, ceil_mode=True, count_include_pad=False)
    square = F.avg_pool2d(gray**2, 2, ceil_mode=True, count_include_pad=False)
    spread = (square - mean**2).clamp(min=0).sqrt()
    return spread.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., : gray.shape[-2], : gray.shape[-1]]


def shuffled(y: Tensor, estimate: Tensor, uniform: Tensor, threshold: float) -> Tensor:
    """y (N x C x H x W) with the pixels of every flat 4 x 4 tile in the order of the uniform numbers (N x 1 x H x W).

    A tile is flat where none of its cells deviates by `threshold` of the largest deviation. Tiles that the border cuts
    stay as they are.
    """
    height, width = (side - side % TILE for side in y.shape[-2:])
    spread = deviations(estimate)
    largest = spread.flatten(1).amax(1)[:, None, None, None]
    rough = spread >= threshold * largest.clamp(min=1e-12)
    tiles, order, stays = (_tiles(part[..., :height, :width]) for part in (y, uniform, rough))
    index = order.argsort(-1).expand(-1, tiles.shape[1], -1, -1, -1)
    moved = torch.where(stays.any(-1, keepdim=True), tiles, tiles.gather(-1, index))
    answer = y.clone()
    answer[..., :height, :width] = _untiled(moved)
    return answer


def _tiles(x: Tensor) -> Tensor:
    """N x C x rows x columns x 16."""
    count, channels, height, width = x.shape
    parts = x.reshape(count, channels, height // TILE, TILE, width // TILE, TILE)
    return parts.movedim(3, 4).reshape(count, channels, height // TILE, width // TILE, TILE**2)


def _untiled(tiles: Tensor) -> Tensor:
    count, channels, rows, columns = tiles.shape[:4]
    parts = tiles.reshape(count, channels, rows, columns, TILE, TILE).movedim(4, 3)
    return parts.reshape(count, channels, rows * TILE, columns * TILE)
