"""The two colour transforms that scores are taken in, both from ITU-R BT.601.

Not kornia's: it rounds the factors of Cb and Cr to three digits (3e-4 off) and knows no studio range.
"""

from __future__ import annotations

import torch
from torch import Tensor


def luma_bt601(rgb: Tensor) -> Tensor:
    """Studio-range luma as MATLAB's rgb2ycbcr gives it: (16 + 65.481 R + 128.553 G + 24.966 B) / 255, not rounded.

    rgb: 3 x ..., values in [0, 1]; returns 1 x ..., values in [16, 235] / 255.
    """
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=rgb.dtype, device=rgb.device)
    return (16.0 + torch.tensordot(weights, rgb, dims=([0], [0]))).unsqueeze(0) / 255.0


def chroma_bt601(rgb: Tensor) -> Tensor:
    """Full-range colour differences Cb = (B - Y) / 1.772 and Cr = (R - Y) / 1.402, Y = 0.299 R + 0.587 G + 0.114 B.

    rgb: 3 x ..., values in [0, 1]; returns 2 x ..., values in [-0.5, 0.5].
    """
    red, green, blue = rgb
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([(blue - luma) / 1.772, (red - luma) / 1.402])
