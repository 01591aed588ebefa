"""Reduction and enlargement with antialiasing, and the closed form of blur with decimation; three channels."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

import operators

from ..contest import OURS, Calls, Contest

FACTOR = 4


def contests(size: int) -> Iterator[Contest]:
    """Bicubic reduction by four (MATLAB's and torch's edges), Lanczos by 2.5, and enlargement by two."""
    x = torch.rand(1, 3, size, size)
    small = torch.rand(1, 3, size // FACTOR, size // FACTOR)
    label = f"{size}x{size}x3"

    def mine(name: str, picture: Tensor, **settings: object) -> Callable[[], Calls]:
        def build() -> Calls:
            A = operators.build(name, tuple(picture.shape[1:]), **settings)
            y = A(picture)
            return Calls(lambda: A(picture), lambda: A.adjoint(y))

        return build

    def deepinv() -> Calls:
        from deepinv.physics import DownsamplingMatlab

        A = DownsamplingMatlab(factor=FACTOR)
        A(x)
        return Calls(lambda: A(x), lambda: A.A_adjoint(small))

    def by_torch(picture: Tensor, side: int) -> Callable[[], Calls]:
        def build() -> Calls:
            leaf = picture.clone().requires_grad_()

            def forward(values: Tensor) -> Tensor:
                return torch.nn.functional.interpolate(
                    values, size=(side, side), mode="bicubic", antialias=side < values.shape[-1]
                )

            image = forward(leaf)
            y = torch.rand_like(image)
            return Calls(lambda: forward(picture), lambda: torch.autograd.grad(image, leaf, y, retain_graph=True)[0])

        return build

    def skimage() -> Calls:
        resize = importlib.import_module("skimage.transform").resize
        planes = x[0].permute(1, 2, 0).contiguous().numpy()
        shape = (size // FACTOR, size // FACTOR)
        return Calls(lambda: resize(planes, shape, order=3, anti_aliasing=True))

    yield Contest(
        "bicubic / 4",
        label,
        {
            OURS: mine("downsample", x, factor=FACTOR),
            "deepinv": deepinv,
            "torch interpolate (other edges)": by_torch(x, size // FACTOR),
            "scikit-image (other filter)": skimage,
        },
    )
    yield Contest("lanczos3 / 2.5", label, {OURS: mine("downsample", x, factor=2.5, filter="lanczos3")})
    yield Contest(
        "bicubic x 2",
        label,
        {
            OURS: mine("resize", x, scale=2.0, filter="bicubic-aliased", boundary="replicate"),
            "torch interpolate": by_torch(x, 2 * size),
        },
    )
    yield Contest("blur and decimate, closed-form data step / 4", label, _data_steps(x, size))


def _data_steps(x: Tensor, size: int) -> dict[str, Callable[[], Calls]]:
    """(A^T A + rho)^-1 r of a circular 25 x 25 Gaussian blur with decimation; the map counts as its own adjoint."""
    rho = 0.01

    def ours() -> Calls:
        A = operators.build("blur-decimate", (3, size, size), factor=FACTOR, sigma=3.0)
        return Calls(lambda: A.solve(x, rho))

    def deepinv() -> Calls:
        from deepinv.physics import Downsampling

        taps = torch.from_numpy(operators.blurring.kernels.gaussian(sigma=3.0))[None, None].float()
        A = Downsampling((3, size, size), filter=taps, factor=FACTOR, padding="circular")
        zero = torch.zeros_like(A(x))
        return Calls(lambda: A.prox_l2(x, zero, 1 / rho))

    return {OURS: ours, "deepinv": deepinv}
