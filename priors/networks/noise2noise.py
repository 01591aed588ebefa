"""The U-Net of Noise2Noise: five halvings, whose deeper levels share their weights where the released code shares them.

J. Lehtinen et al. 2018, arXiv 1803.04189; keys and sharing as in the released Noise2Score (`_block1.0.weight`, ...).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from operators.common.settings import Checked, Count

from .unet import mirror_to_multiple

HALVINGS = 5
SLOPE = 0.1  # of the leaky rectifiers


class Noise2NoiseUNet(Checked, nn.Module):
    """B x channels x H x W -> the same shape; any size, mirrored to a multiple of 32 and cropped.

    width: features of the way down, 48 as published (698 017 weights for one channel); twice as many on the way up.
    """

    def __init__(self, *, channels: Count = 1, width: Count = 48) -> None:
        super().__init__()
        self.channels = channels
        wide = 2 * width
        self._block1 = _stack([channels, width, width], nn.MaxPool2d(2))
        self._block2 = _stack([width, width], nn.MaxPool2d(2))
        self._block3 = _stack([width, width], _up(width))
        self._block4 = _stack([wide, wide, wide], _up(wide))
        self._block5 = _stack([wide + width, wide, wide], _up(wide))
        self._block6 = nn.Sequential(
            *_stack([wide + channels, 4 * width // 3, 2 * width // 3]), _convolution(2 * width // 3, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = mirror_to_multiple(x, 2**HALVINGS)
        skips = [x, self._block1(x)]
        for _ in range(HALVINGS - 1):
            skips.append(self._block2(skips[-1]))
        hidden = self._block3(skips.pop())
        hidden = self._block4(torch.cat([hidden, skips.pop()], dim=1))
        for _ in range(HALVINGS - 2):
            hidden = self._block5(torch.cat([hidden, skips.pop()], dim=1))
        hidden = self._block6(torch.cat([hidden, skips.pop()], dim=1))
        return hidden[..., :height, :width]


def _convolution(width_in: int, width_out: int) -> nn.Conv2d:
    return nn.Conv2d(width_in, width_out, 3, padding=1)


def _up(width: int) -> nn.Module:
    return nn.ConvTranspose2d(width, width, 3, stride=2, padding=1, output_padding=1)


def _stack(widths: Sequence[int], last: nn.Module | None = None) -> nn.Sequential:
    """Convolutions of these widths, each with its rectifier, and what follows them."""
    layers: list[nn.Module] = []
    for width_in, width_out in itertools.pairwise(widths):
        layers += [_convolution(width_in, width_out), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, *([] if last is None else [last]))
