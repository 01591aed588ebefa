"""Structural similarity at five scales.

Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multi-scale structural similarity for image quality assessment", Asilomar
2003, doi:10.1109/ACSSC.2003.1292216, eq. 7: contrast and structure at every scale, luminance at the coarsest, each mean
to the power of its weight; between scales the pictures are averaged in 2 x 2 blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from .ssim import K1, K2, SIZE, SSIM, smooth

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@dataclass(frozen=True)
class MSSSIM(SSIM):
    """Multi-scale SSIM; options as for `ssim`. Pictures of at least 161 pixels: the window must fit the coarsest scale.

    Mean over channels of the products; a negative contrast-structure mean counts as 0, as powers of it have no meaning.
    """

    FAMILY: ClassVar[str] = "ms-ssim"

    def _smallest(self) -> int:
        return (SIZE - 1) * 2 ** (len(WEIGHTS) - 1) + 1

    def _index(self, estimate: Tensor, truth: Tensor, peak: float) -> Tensor:
        return ms_ssim(estimate, truth, peak=peak)


def ms_ssim(x: Tensor, y: Tensor, *, peak: float) -> Tensor:
    """The score of each channel of C x H x W (C numbers)."""
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    total = torch.ones(len(x), dtype=x.dtype)
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            odd = (0, x.shape[-1] % 2, 0, x.shape[-2] % 2)  # a last row or column without a partner is repeated
            x, y = (avg_pool2d(pad(z[None], odd, mode="replicate"), 2)[0] for z in (x, y))
        mean_x, mean_y, xx, yy, xy = smooth(torch.stack([x, y, x * x, y * y, x * y]))
        contrast = (2 * (xy - mean_x * mean_y) + c2) / (xx - mean_x**2 + yy - mean_y**2 + c2)
        term = contrast
        if scale == len(WEIGHTS) - 1:
            term = contrast * (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        total = total * term.flatten(1).mean(1).clamp(min=0) ** weight
    return total
