"""Magnetic resonance imaging: eight coils on a Cartesian grid, and 512 radial spokes at two precisions.

The bare finufft plan is the floor of the radial rows: the same transform with nothing around it.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import operators

from ..contest import OURS, Calls, Contest

COILS = 8
ACCELERATION = 4
SPOKES = 512
PRECISIONS = (1e-3, 1e-6)


def contests(size: int) -> Iterator[Contest]:
    """Cartesian lines, eight coils; radial spokes, one coil, at eps 1e-3 and 1e-6."""
    yield _cartesian(size)
    for eps in PRECISIONS:
        yield _radial(size, eps)


def _cartesian(size: int) -> Contest:
    mask = operators.mri.sampling_mask((size, size), kind="equispaced_fraction", acceleration=ACCELERATION)
    maps = operators.mri.birdcage((size, size), coils=COILS).to(torch.complex64)
    x = torch.randn(1, 1, size, size, dtype=torch.complex64)
    y = torch.randn(1, COILS, size, size, dtype=torch.complex64)

    def ours() -> Calls:
        A = operators.build("mri-multicoil", (1, size, size), maps=maps, mask=mask)
        return Calls(lambda: A(x), lambda: A.adjoint(y))

    def deepinv() -> Calls:
        from deepinv.physics import MultiCoilMRI

        A = MultiCoilMRI(mask=mask.float().expand(size, size), coil_maps=maps[None], img_size=(2, size, size))
        pairs = torch.view_as_real(x[:, 0]).movedim(-1, 1).contiguous()
        measured = torch.view_as_real(y).movedim(-1, 1).contiguous()
        return Calls(lambda: A(pairs), lambda: A.A_adjoint(measured))

    def sigpy() -> Calls:
        from sigpy import linop

        keep = mask.expand(size, size).numpy().astype(np.float32)
        array = maps.numpy()
        A = (
            linop.Multiply(array.shape, keep)
            * linop.FFT(array.shape, axes=(-2, -1))
            * linop.Multiply((size, size), array)
        )
        back, picture, measured = A.H, x[0, 0].numpy(), y[0].numpy()
        return Calls(lambda: A(picture), lambda: back(measured))

    name = f"{COILS} coils, lines / {ACCELERATION}"
    return Contest(name, f"{size}x{size}", {OURS: ours, "deepinv": deepinv, "sigpy": sigpy})


def _radial(size: int, eps: float) -> Contest:
    points = operators.mri.trajectory((size, size), kind="radial", spokes=SPOKES)
    flat = points.reshape(-1, 2)
    x = torch.randn(1, 1, size, size, dtype=torch.complex64)
    y = torch.randn(1, 1, len(flat), dtype=torch.complex64)

    def ours() -> Calls:
        A = operators.build("mri-nufft", (1, size, size), points=flat, eps=eps)
        return Calls(lambda: A(x), lambda: A.adjoint(y))

    def finufft() -> Calls:
        finufft: Any = importlib.import_module("finufft")

        settings = {"eps": eps, "dtype": "complex64", "nthreads": torch.get_num_threads()}
        axes = [np.ascontiguousarray(axis, dtype=np.float32) for axis in flat.numpy().T]
        plans = {}
        for kind in (1, 2):
            plans[kind] = finufft.Plan(kind, (size, size), isign=1 if kind == 1 else -1, **settings)
            plans[kind].setpts(*axes)
        picture, measured = x[0, 0].numpy(), y[0, 0].numpy()
        onto, back = np.empty_like(measured), np.empty_like(picture)
        return Calls(
            lambda: plans[2].execute(picture, out=onto),
            lambda: plans[1].execute(measured, out=back),
        )

    def torchkbnufft() -> Calls:
        torchkbnufft: Any = importlib.import_module("torchkbnufft")

        forward = torchkbnufft.KbNufft((size, size))
        adjoint = torchkbnufft.KbNufftAdjoint((size, size))
        omega = flat.T.float().contiguous()
        return Calls(lambda: forward(x, omega), lambda: adjoint(y, omega))

    def sigpy() -> Calls:
        from sigpy import linop

        coordinates = (flat * (size / (2 * math.pi))).numpy().astype(np.float32)
        A = linop.NUFFT((size, size), coordinates)
        back, picture, measured = A.H, x[0, 0].numpy(), y[0, 0].numpy()
        A(picture), back(measured)  # compiled at the first call, which takes seconds
        return Calls(lambda: A(picture), lambda: back(measured))

    peers = {OURS: ours, "finufft (bare plan)": finufft, "torchkbnufft": torchkbnufft, "sigpy": sigpy}
    return Contest(f"radial {SPOKES} spokes, eps {eps:g}", f"{size}x{size}", peers)
