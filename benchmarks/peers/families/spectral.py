"""Hyperspectral maps: coded-aperture snapshots of 28 bands, a spectral response, the pansharpening pair."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

import operators

from ..contest import OURS, Calls, Contest

BANDS = 28
SHIFT = 2


def contests(size: int) -> Iterator[Contest]:
    """Maps of size x size pictures with 28 bands."""
    yield _cassi(size, shift=SHIFT)
    yield _cassi_peer(size)
    yield _response(size)
    yield _pansharpen(size)


def _cassi(size: int, *, shift: int) -> Contest:
    x = torch.rand(1, BANDS, size, size)
    mask = (torch.rand(size, size) > 0.5).float()

    def ours() -> Calls:
        A = operators.build("cassi", (BANDS, size, size), shift=shift, mask=mask)
        y = A(x)
        return Calls(lambda: A(x), lambda: A.adjoint(y))

    def rolled() -> Calls:
        # The way of published networks: a mask cube, shifted by a loop, and a sum over bands.
        wide = size + shift * (BANDS - 1)
        cube = torch.zeros(1, BANDS, size, wide)
        for c in range(BANDS):
            cube[:, c, :, shift * c : shift * c + size] = mask

        def forward() -> torch.Tensor:
            sheared = torch.zeros(1, BANDS, size, wide)
            for c in range(BANDS):
                sheared[:, c, :, shift * c : shift * c + size] = x[:, c]
            return (sheared * cube).sum(1)

        y = forward()

        def adjoint() -> torch.Tensor:
            back = y[:, None] * cube
            return torch.stack([back[:, c, :, shift * c : shift * c + size] for c in range(BANDS)], 1)

        return Calls(forward, adjoint)

    def sparse() -> Calls:
        import scipy.sparse

        wide = size + shift * (BANDS - 1)
        band, i, j = np.indices((BANDS, size, size))
        rows = (i * wide + j + shift * band).ravel()
        values = np.broadcast_to(mask.numpy(), (BANDS, size, size)).ravel()
        matrix = scipy.sparse.csr_matrix((values, (rows, np.arange(values.size))), shape=(size * wide, values.size))
        back = matrix.T.tocsr()
        flat, y = x.numpy().ravel(), matrix @ x.numpy().ravel()
        return Calls(lambda: matrix @ flat, lambda: back @ y)

    peers = {OURS: ours, "mask cube and sum": rolled, "scipy.sparse": sparse}
    return Contest(f"CASSI, shift {shift}", f"{size}x{size}x{BANDS}", peers)


def _cassi_peer(size: int) -> Contest:
    """Odd side, odd number of bands and shift 1: the only sizes for which the peer computes the map it names.

    Its cost grows with the square of the picture, so that a quarter of the side has to do.
    """
    side, bands = size // 4 - 1 + size // 4 % 2, BANDS - 1
    x = torch.rand(1, bands, side, side)
    mask = (torch.rand(side, side) > 0.5).float()

    def ours() -> Calls:
        A = operators.build("cassi", (bands, side, side), shift=1, mask=mask)
        y = A(x)
        return Calls(lambda: A(x), lambda: A.adjoint(y))

    def deepinv() -> Calls:
        from deepinv.physics import CompressiveSpectralImaging

        cube = mask.expand(1, bands, side, side).contiguous()
        A = CompressiveSpectralImaging((bands, side, side), mask=cube, mode="sd", shear_dir="w")
        y = A(x)
        return Calls(lambda: A(x), lambda: A.A_adjoint(y))

    return Contest("CASSI, shift 1", f"{side}x{side}x{bands}", {OURS: ours, "deepinv": deepinv})


def _response(size: int) -> Contest:
    x = torch.rand(1, BANDS, size, size)
    y = torch.rand(1, 3, size, size)

    def ours() -> Calls:
        A = operators.build("spectral", (BANDS, size, size), bands=3)
        return Calls(lambda: A(x), lambda: A.adjoint(y))

    def convolution() -> Calls:
        weight = torch.rand(3, BANDS, 1, 1)
        return Calls(
            lambda: torch.nn.functional.conv2d(x, weight),
            lambda: torch.nn.functional.conv_transpose2d(y, weight),
        )

    def einsum() -> Calls:
        matrix = torch.rand(3, BANDS)
        return Calls(lambda: torch.einsum("bc,nchw->nbhw", matrix, x), lambda: torch.einsum("bc,nbhw->nchw", matrix, y))

    return Contest("response 28 to 3", f"{size}x{size}x{BANDS}", {OURS: ours, "conv2d": convolution, "einsum": einsum})


def _pansharpen(size: int) -> Contest:
    x = torch.rand(1, BANDS, size, size)

    def ours() -> Calls:
        A = operators.build("pansharpen", (BANDS, size, size), factor=4, filter="bicubic")
        y = A(x)
        return Calls(lambda: A(x), lambda: A.adjoint(y))

    def deepinv() -> Calls:
        from deepinv.physics import Pansharpen

        A = Pansharpen((BANDS, size, size), factor=4, filter="bicubic", srf="flat", noise_color=None, noise_gray=None)
        y = A.A(x)
        return Calls(lambda: A.A(x), lambda: A.A_adjoint(y))

    return Contest("pansharpening pair / 4", f"{size}x{size}x{BANDS}", {OURS: ours, "deepinv": deepinv})
