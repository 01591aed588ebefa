"""Blur with a 61 x 61 kernel of camera shake, three channels: circular, reflecting and valid; and a varying one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import numpy as np
import torch

import operators
from operators.blurring import kernels

from ..contest import OURS, Calls, Contest

SIDE = 61
DEEPINV = {"circular": "circular", "reflect": "reflect", "valid": "valid"}


def contests(size: int) -> Iterator[Contest]:
    """A size x size colour picture under a motion kernel, then under nine Gaussians on a grid."""
    x = torch.rand(1, 3, size, size)
    taps = kernels.trajectory(size=SIDE, seed=0)
    label = f"{size}x{size}x3"

    def contest(boundary: str) -> Contest:
        def ours() -> Calls:
            A = operators.build("blur", (3, size, size), kernel=taps, boundary=boundary)
            y = A(x)
            return Calls(lambda: A(x), lambda: A.adjoint(y))

        def deepinv_fft() -> Calls:
            from deepinv.physics import BlurFFT

            A = BlurFFT((3, size, size), filter=torch.from_numpy(taps)[None, None].float())
            y = A(x)
            return Calls(lambda: A(x), lambda: A.A_adjoint(y))

        def deepinv_fft_conv() -> Calls:
            from deepinv.physics import Blur

            A = Blur(
                filter=torch.from_numpy(taps)[None, None].float(), padding=DEEPINV[boundary], use_fft=True, device="cpu"
            )
            y = A(x)
            return Calls(lambda: A(x), lambda: A.A_adjoint(y))

        def by_pylops() -> Calls:
            # Circular convolution as three linear operators: transform, multiply, transform back.
            pylops = importlib.import_module("pylops")
            F = pylops.signalprocessing.FFT2D(
                dims=(3, size, size), axes=(1, 2), real=True, engine="scipy", dtype=np.float32
            )
            grid = np.zeros((size, size), dtype=np.float32)
            grid[:SIDE, :SIDE] = taps
            spectrum = np.fft.rfft2(np.roll(grid, (-(SIDE // 2), -(SIDE // 2)), (0, 1))).astype(np.complex64)
            D = pylops.Diagonal(np.broadcast_to(spectrum, (3, *spectrum.shape)).ravel(), dtype=np.complex64)
            A, flat = F.H @ D @ F, x.numpy().ravel()
            y = A @ flat
            return Calls(lambda: A @ flat, lambda: A.H @ y)

        def scipy_fft() -> Calls:
            from scipy.signal import fftconvolve

            kernel = taps.astype(np.float32)[None]
            planes = x[0].numpy()
            y = fftconvolve(planes, kernel, mode="valid", axes=(1, 2))
            turned = kernel[:, ::-1, ::-1]
            return Calls(
                lambda: fftconvolve(planes, kernel, mode="valid", axes=(1, 2)),
                lambda: fftconvolve(y, turned, mode="full", axes=(1, 2)),
            )

        peers = {
            "circular": {"pylops": by_pylops, "deepinv BlurFFT": deepinv_fft},
            "reflect": {"deepinv Blur, FFT": deepinv_fft_conv},
            "valid": {"deepinv Blur, FFT": deepinv_fft_conv, "scipy fftconvolve": scipy_fft},
        }
        return Contest(f"motion blur {SIDE}x{SIDE}, {boundary}", label, {OURS: ours, **peers[boundary]})

    for boundary in ("circular", "reflect", "valid"):
        if boundary != "valid" or size > SIDE:
            yield contest(boundary)
    yield _varying(size, x, label)


def _varying(size: int, x: torch.Tensor, label: str) -> Contest:
    """Nine 15 x 15 Gaussians and their weights, valid boundary."""
    taps = np.stack([kernels.gaussian(size=15, sigma=s) for s in np.linspace(0.6, 2.4, 9)])
    built = operators.build("blur-varying", (3, size, size), kernel=taps, grid=(3, 3), boundary="valid")

    def ours() -> Calls:
        y = built(x)
        return Calls(lambda: built(x), lambda: built.adjoint(y))

    def deepinv() -> Calls:
        from deepinv.physics import SpaceVaryingBlur

        A = SpaceVaryingBlur(
            filters=torch.from_numpy(taps)[None, None].float(),
            multipliers=built.weights.reshape(1, 1, 9, size, size).float(),
            padding="valid",
        )
        y = A(x)
        return Calls(lambda: A(x), lambda: A.A_adjoint(y))

    return Contest("varying blur, 9 kernels 15x15", label, {OURS: ours, "deepinv": deepinv})
