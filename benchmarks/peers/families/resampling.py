"""Reduction and enlargement: bicubic x4 with antialiasing, three channels."""

from __future__ import annotations

from collections.abc import Iterator

import torch

import operators

from ..speed import OURS, Calls, Contest

FACTOR = 4


def contests(size: int) -> Iterator[Contest]:
    """Bicubic reduction by four of a size x size colour picture."""
    x = torch.rand(1, 3, size, size)
    y = torch.rand(1, 3, size // FACTOR, size // FACTOR)

    def ours() -> Calls:
        A = operators.build("downsample", (3, size, size), factor=FACTOR)
        return Calls(lambda: A(x), lambda: A.adjoint(y))

    def deepinv() -> Calls:
        from deepinv.physics import DownsamplingMatlab

        A = DownsamplingMatlab(factor=FACTOR)
        A(x)
        return Calls(lambda: A(x), lambda: A.A_adjoint(y))

    yield Contest("bicubic / 4", f"{size}x{size}x3", {OURS: ours, "deepinv": deepinv})
