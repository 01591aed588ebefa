"""The dilated blind-spot network: a pixel's answer does not see that pixel, unless it is asked to.

The network of W. Lee et al. 2022 (AP-BSN, arXiv 2203.11799, after X. Wu et al. 2020, arXiv 2008.12063), also of SDAP
(arXiv 2307.16825) and, with one more rectifier, of C-BSN (arXiv 2304.09507). Keys as released by AP-BSN.

Branch s (2 and 3) reaches the offsets d + s (i, j): d in the square of side 2 s - 1 without its centre, |i| and |j| up
to the number of modules. No such offset is 0, since a d that s divides is 0 itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators.common.settings import Checked, Count

BRANCHES = (2, 3)
Shapes = Mapping[str, tuple[int, ...]]


class CentreMaskedConvolution(nn.Conv2d):
    """A convolution that does not see its centre while `masked` is true; the centre's weights are kept."""

    mask: Tensor

    def __init__(self, features: int, side: int) -> None:
        super().__init__(features, features, side, padding=side // 2)
        mask = torch.ones_like(self.weight.detach())
        mask[..., side // 2, side // 2] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor, masked: bool = True) -> Tensor:
        # The mask, times the weights, is out of place: the centre keeps its value and gets no gradient.
        weight = self.weight * self.mask if masked else self.weight
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class DilatedModule(nn.Module):
    """x + 1x1(relu(3x3 dilated(x))); with a rectifier before the sum where `rectified`."""

    def __init__(self, features: int, dilation: int, rectified: bool) -> None:
        super().__init__()
        layers = [
            nn.Conv2d(features, features, 3, padding=dilation, dilation=dilation),
            nn.ReLU(),
            nn.Conv2d(features, features, 1),
        ]
        self.body = nn.Sequential(*layers, *([nn.ReLU()] if rectified else []))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Branch(nn.Module):
    """One dilation: the masked convolution, two pointwise layers, the dilated modules, and a pointwise layer."""

    def __init__(self, features: int, modules: int, stride: int, rectified: bool) -> None:
        super().__init__()
        self.body = nn.ModuleList(
            [
                CentreMaskedConvolution(features, 2 * stride - 1),
                nn.ReLU(),
                *(nn.Conv2d(features, features, 1), nn.ReLU()),
                *(nn.Conv2d(features, features, 1), nn.ReLU()),
                *(DilatedModule(features, stride, rectified) for _ in range(modules)),
                *(nn.Conv2d(features, features, 1), nn.ReLU()),
            ]
        )

    def forward(self, x: Tensor, masked: bool) -> Tensor:
        x = self.body[0](x, masked)
        for layer in self.body[1:]:  # type: ignore[attr-defined]
            x = layer(x)
        return x


class BlindSpotNetwork(Checked, nn.Module):
    """B x channels x H x W -> the same shape, any size; `network(x, masked=False)` sees the pixel itself too.

    features 128 and modules 9 as published (3 656 131 weights for three channels). tail: width of the last layers, half
    of the features as released by AP-BSN, 64 as released by C-BSN. rectified: C-BSN's rectifier before each sum.
    """

    def __init__(
        self,
        *,
        channels: Count = 3,
        features: Count = 128,
        modules: Count = 9,
        tail: Count | None = None,
        rectified: bool = False,
    ) -> None:
        super().__init__()
        narrow = max(features // 2, 1) if tail is None else tail
        self.head = nn.Sequential(nn.Conv2d(channels, features, 1), nn.ReLU())
        self.branch1, self.branch2 = (Branch(features, modules, stride, rectified) for stride in BRANCHES)
        self.tail = nn.Sequential(
            nn.Conv2d(2 * features, features, 1),
            nn.ReLU(),
            nn.Conv2d(features, narrow, 1),
            nn.ReLU(),
            nn.Conv2d(narrow, narrow, 1),
            nn.ReLU(),
            nn.Conv2d(narrow, channels, 1),
        )

    def forward(self, x: Tensor, masked: bool = True) -> Tensor:
        hidden = self.head(x)
        both = [self.branch1(hidden, masked), self.branch2(hidden, masked)]
        return self.tail(torch.cat(both, dim=1))  # type: ignore[no-any-return]


def recognise(shapes: Shapes) -> dict[str, object]:
    """Settings of the network that these shapes belong to; KeyError names a key that is not there."""
    features, channels = shapes["head.0.weight"][:2]
    tail = shapes["tail.2.weight"][0]
    modules = sum(key.startswith("branch1.") and key.endswith(".body.0.weight") for key in shapes) - 1  # less its own
    half = {} if tail == features // 2 else {"tail": tail}
    return {"channels": channels, "features": features, "modules": modules, **half}


def offsets(modules: int) -> set[tuple[int, int]]:
    """The (row, column) offsets that the answer at a pixel sees, by the formula above."""
    reach = range(-modules, modules + 1)
    return {
        (dy + stride * i, dx + stride * j)
        for stride in BRANCHES
        for dy in range(1 - stride, stride)
        for dx in range(1 - stride, stride)
        if (dy, dx) != (0, 0)
        for i in reach
        for j in reach
    }
