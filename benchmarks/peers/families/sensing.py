"""Compressed sensing: the Walsh-Hadamard transform, the single-pixel camera, scrambled and block measurements."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

import operators

from ..contest import OURS, Calls, Contest

RATIO = 0.25
BLOCK = 32


def contests(size: int) -> Iterator[Contest]:
    """Maps of size x size pictures; size a power of two."""
    yield _hadamard(size)
    yield _single_pixel(size)
    yield _cosine(size)
    yield _blocks(size)


def _hadamard(size: int) -> Contest:
    x = torch.rand(1, 1, size, size)

    def ours() -> Calls:
        A = operators.build("hadamard", (1, size, size))
        return Calls(lambda: A(x), lambda: A.adjoint(x))

    def deepinv() -> Calls:
        from deepinv.physics.singlepixel import hadamard_2d

        return Calls(lambda: hadamard_2d(x), lambda: hadamard_2d(x))

    def dense() -> Calls:
        from scipy.linalg import hadamard

        matrix = torch.from_numpy(hadamard(size) / np.sqrt(size)).float()
        return Calls(lambda: matrix @ x @ matrix, lambda: matrix @ x @ matrix)

    peers = {OURS: ours, "deepinv": deepinv, "dense products": dense}
    return Contest("Walsh-Hadamard", f"{size}x{size}", peers)


def _single_pixel(size: int) -> Contest:
    x = torch.rand(1, 3, size, size)
    m = round(RATIO * size**2)

    def ours() -> Calls:
        A = operators.build("single-pixel", (3, size, size), ratio=RATIO, order="zig-zag")
        y = A(x)
        return Calls(lambda: A(x), lambda: A.adjoint(y))

    def deepinv() -> Calls:
        from deepinv.physics import SinglePixelCamera

        A = SinglePixelCamera(m=m, img_size=(3, size, size), ordering="zig_zag")
        y = A(x)
        return Calls(lambda: A(x), lambda: A.A_adjoint(y))

    return Contest("single-pixel, zig-zag 25 %", f"{size}x{size}x3", {OURS: ours, "deepinv": deepinv})


def _cosine(size: int) -> Contest:
    x = torch.rand(1, 3, size, size)

    def ours() -> Calls:
        A = operators.build("compressed-sensing", (3, size, size), ratio=RATIO, kind="scrambled-dct")
        y = A(x)
        return Calls(lambda: A(x), lambda: A.adjoint(y))

    def scipy() -> Calls:
        import scipy.fft

        rng = np.random.default_rng(0)
        order = rng.permutation(size**2)
        place = np.argsort(order)
        rows = np.sort(rng.permutation(size**2)[: round(RATIO * size**2)])
        flat = x.numpy().reshape(3, -1)

        def forward() -> np.ndarray:
            return scipy.fft.dct(flat[:, order], norm="ortho", workers=torch.get_num_threads())[:, rows]

        y = forward()

        def adjoint() -> np.ndarray:
            c = np.zeros_like(flat)
            c[:, rows] = y
            return scipy.fft.idct(c, norm="ortho", workers=torch.get_num_threads())[:, place]

        return Calls(forward, adjoint)

    return Contest("scrambled DCT 25 %", f"{size}x{size}x3", {OURS: ours, "scipy.fft": scipy})


def _blocks(size: int) -> Contest:
    x = torch.rand(1, 3, size, size)

    def ours() -> Calls:
        A = operators.build("compressed-sensing", (3, size, size), ratio=RATIO, kind="block-gaussian", block=BLOCK)
        y = A(x)
        return Calls(lambda: A(x), lambda: A.adjoint(y))

    def convolution() -> Calls:
        # ReconNet and its successors: a convolution with stride, each filter one row of the matrix.
        rows = round(RATIO * BLOCK**2)
        weight = torch.randn(rows, 1, BLOCK, BLOCK) / rows**0.5
        planes = x.reshape(3, 1, size, size)
        y = torch.nn.functional.conv2d(planes, weight, stride=BLOCK)
        return Calls(
            lambda: torch.nn.functional.conv2d(planes, weight, stride=BLOCK),
            lambda: torch.nn.functional.conv_transpose2d(y, weight, stride=BLOCK),
        )

    return Contest(f"blocks {BLOCK}, 25 %", f"{size}x{size}x3", {OURS: ours, "strided convolution": convolution})
