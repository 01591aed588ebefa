"""Zero-shot Noise2Noise: two halves of one picture, each predicted from the other.

Y. Mansour, R. Heckel 2023, arXiv 2303.11253, section 3.

    D1, D2 = mean of the two diagonals of every 2 x 2 cell (of the odd and even corners of every 2 x 2 x 2 cell)
    p_i = D_i(y) - f(D_i(y))                                                          (f predicts the noise)
    loss = (|D1 - p2|^2 + |D2 - p1|^2) / 2 + (|p1 - D1(y - f(y))|^2 + |p2 - D2(y - f(y))|^2) / 2      (eqs. 5 and 6)
    x = y - f(y)

The noise must be independent from pixel to pixel. A = identity; pictures, stacks, volumes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from torch import Tensor, nn

from operators.common.randomness import Noise
from operators.common.settings import Count, Positive

from ..parts.small_networks import SmallNetworks
from .zero_shot import ZeroShot, halved, squared

if TYPE_CHECKING:
    from ...problem import Problem

SLOPE = 0.2


@dataclass(frozen=True)
class ZSN2N(ZeroShot):
    """A network of three layers, trained on the two diagonals of the picture."""

    axes: ClassVar[tuple[int, ...]] = (2, 3)
    presets: ClassVar = {
        "paper": {"steps": 2000, "rate": 1e-3, "width": 48, "mark": 1500},
        "quick": {"steps": 600, "rate": 2e-3, "width": 48, "mark": 400},
    }

    rate: Annotated[Positive, "of Adam at the start"] = 2e-3
    width: Annotated[Count, "features of the network"] = 48
    mark: Annotated[Count, "steps after which the rate is halved, again and again"] = 400

    def train(self, pictures: Tensor, problem: Problem, noise: Noise) -> Iterator[tuple[int, Tensor, dict[str, float]]]:
        networks = SmallNetworks(
            partial(small_network, pictures.shape[2], self.width, axes=pictures.ndim - 3),
            noise,
            pictures,
            stream="weights",
        )
        marks = tuple(range(self.mark, self.steps, self.mark))

        def loss(k: int) -> Tensor:
            residual, consistency = pair_losses(lambda z: networks(k, z), pictures[k])
            return residual + consistency

        for step in range(self.steps):
            losses = networks.learn(loss, halved(self.rate, step, marks))
            if self.shown(step):
                x = pictures.clone()
                for k in range(len(pictures)):
                    x[k] -= networks(k, pictures[k]).detach()
                yield step, x, {"loss": losses}


def small_network(channels: int, width: int, *, axes: int) -> nn.Module:
    """Two 3 x 3 layers and a pointwise one (22 275 weights at width 48, three channels)."""
    convolution = nn.Conv2d if axes == 2 else nn.Conv3d
    return nn.Sequential(
        convolution(channels, width, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        convolution(width, width, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        convolution(width, channels, 1),
    )


def halves(y: Tensor) -> tuple[Tensor, Tensor]:
    """(D1, D2): the means over the corners of odd and of even parity of every cell of 2 pixels (N x C x 2 or 3 axes).

    In a picture [[a, b], [c, d]] these are (b + c) / 2 and (a + d) / 2. Odd last rows, columns and slices are dropped.
    """
    axes = y.ndim - 2
    whole: Any = (..., *(slice(0, side - side % 2) for side in y.shape[2:]))
    means = []
    for parity in (1, 0):
        corners = [c for c in itertools.product((0, 1), repeat=axes) if sum(c) % 2 == parity]
        parts = [_every_second(y[whole], corner) for corner in corners]
        means.append(sum(parts[1:], parts[0]) / len(parts))
    return means[0], means[1]


def _every_second(y: Tensor, corner: tuple[int, ...]) -> Tensor:
    where: Any = (..., *(slice(first, None, 2) for first in corner))
    return y[where]


def pair_losses(network: Callable[[Tensor], Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
    """(residual loss, consistency loss) of a network that predicts the noise of N x C x ... pictures."""
    first, second = halves(y)
    from_first, from_second = first - network(first), second - network(second)
    residual = (squared(first, from_second) + squared(second, from_first)) / 2
    whole_first, whole_second = halves(y - network(y))
    return residual, (squared(from_first, whole_first) + squared(from_second, whole_second)) / 2
