"""Pieces that several released layouts share: time embedding, channel norm, attention, padding."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators.common.errors import BadInput

HEAD_WIDTH = 32  # of every linear and full attention in these layouts; shapes alone do not tell it


class Sinusoids(nn.Module):
    """Times (B) -> B x width: sines, then cosines, frequencies from 1 down to 1e-4, both ends included."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pairs = width // 2

    def forward(self, time: Tensor) -> Tensor:
        ramp = torch.arange(self.pairs, device=time.device, dtype=torch.float32)
        phase = time.float()[:, None] * torch.exp(ramp * -(math.log(10000) / (self.pairs - 1)))[None, :]
        return torch.cat([phase.sin(), phase.cos()], dim=1)


class ChannelNorm(nn.Module):
    """Mean 0 and variance 1 over the channels of each pixel, times a gain `g`; no shift."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        single = x.float()  # a variance of bfloat16 values has no more than two digits
        variance, mean = torch.var_mean(single, dim=1, unbiased=False, keepdim=True)
        return ((single - mean) * (variance + 1e-5).rsqrt() * self.g).to(x.dtype)


class Residual(nn.Module):
    """x + fn(x, ...); the released files name it `fn`."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        return x + self.fn(x, *context)


class Normed(nn.Module):
    """fn(norm(x), ...) with the channel norm."""

    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.fn, self.norm = fn, ChannelNorm(width)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        return self.fn(self.norm(x), *context)


def residual_attention(width: int, attention: nn.Module) -> Residual:
    """x + attention(norm(x)), with the key names `fn.norm` and `fn.fn`."""
    return Residual(Normed(width, attention))


class LinearAttention(nn.Module):
    """Attention whose cost grows with the number of pixels (Shen et al. 2021, arXiv 1812.01243).

    Softmax of the queries over a head's channels and of the keys over the pixels; values are divided by the number of
    pixels, as in the released code.
    """

    def __init__(self, width: int, *, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Conv2d(width, 3 * heads * HEAD_WIDTH, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(heads * HEAD_WIDTH, width, 1), ChannelNorm(width))

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        q, k, v = self.to_qkv(x).reshape(batch, 3, self.heads, HEAD_WIDTH, height * width).unbind(1)
        q = q.softmax(dim=-2) * HEAD_WIDTH**-0.5
        summary = k.softmax(dim=-1) @ (v / (height * width)).transpose(-1, -2)
        out = summary.transpose(-1, -2) @ q
        return self.to_out(out.reshape(batch, self.heads * HEAD_WIDTH, height, width))


class FullAttention(nn.Module):
    """Softmax attention between all pixels."""

    def __init__(self, width: int, *, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Conv2d(width, 3 * heads * HEAD_WIDTH, 1, bias=False)
        self.to_out = nn.Conv2d(heads * HEAD_WIDTH, width, 1)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        packed = self.to_qkv(x).reshape(batch, 3, self.heads, HEAD_WIDTH, height * width)
        q, k, v = packed.transpose(-1, -2).unbind(1)
        out = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2)
        return self.to_out(out.reshape(batch, self.heads * HEAD_WIDTH, height, width))


def reflect_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend bottom and right by whole-sample reflection (the edge is not repeated) to multiples of `multiple`.

    Any size: a picture smaller than its own extension is reflected again and again.
    """
    for axis in (-2, -1):
        size = x.shape[axis]
        target = math.ceil(size / multiple) * multiple
        if target != size:
            period = max(2 * (size - 1), 1)
            index = torch.arange(target, device=x.device) % period
            x = x.index_select(axis, torch.where(index < size, index, period - index))
    return x


def zeros_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend bottom and right with zeros to multiples of `multiple`."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple))


def joined(x: Tensor, *conditions: Tensor) -> Tensor:
    """State and conditions on channels; BadInput where they differ in batch, height or width."""
    for condition in conditions:
        if x.shape[0] != condition.shape[0] or x.shape[-2:] != condition.shape[-2:]:
            raise BadInput(
                f"the condition is {tuple(condition.shape)} beside a state of {tuple(x.shape)}",
                wanted="the same batch, height and width",
            )
    return torch.cat([x, *conditions], dim=1)


def relative(x: Tensor, condition: Tensor) -> Tensor:
    """(x - condition, condition) on channels: what mean-reverting networks see."""
    pair = joined(x, condition)
    pair[:, : x.shape[1]] -= condition
    return pair
