"""Tomography of one slice: parallel beam of 180 views, filtered back-projection, fan beam of 360 views."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import operators

from ..contest import OURS, Calls, Contest

VIEWS, FAN_VIEWS = 180, 360


def contests(size: int) -> Iterator[Contest]:
    """A size x size picture under each scan."""
    x = torch.rand(1, 1, size, size)
    cells = 2 * math.ceil(size / math.sqrt(2))
    angles = np.arange(VIEWS) * math.pi / VIEWS
    y = torch.rand(1, 1, VIEWS, cells)

    def ours(name: str, **settings: Any) -> Calls:
        a = operators.build(name, (1, size, size), **settings)
        measured = a(x)
        return Calls(lambda: a(x), lambda: a.adjoint(measured))

    def ours_direct() -> Calls:
        a = operators.build("ct-parallel", (1, size, size), views=VIEWS, detectors=cells)
        return Calls(lambda: a.direct(y))

    def astra(kind: str) -> Calls:
        import astra

        volume = astra.create_vol_geom(size, size)
        if kind == "fan":
            turn = np.arange(FAN_VIEWS) * 2 * math.pi / FAN_VIEWS
            half = 3 * size * math.tan(math.asin(math.sqrt(2) / 4))
            scan = astra.create_proj_geom("fanflat", 1.5, 2 * math.ceil(half / 1.5), turn, 2.0 * size, 1.0 * size)
        else:
            scan = astra.create_proj_geom("parallel", 1.0, cells, angles)
        projector = astra.create_projector("line_fanflat" if kind == "fan" else "linear", scan, volume)
        picture = x[0, 0].numpy()
        number, sinogram = astra.create_sino(picture, projector)
        astra.data2d.delete(number)

        def forward() -> None:
            astra.data2d.delete(astra.create_sino(picture, projector)[0])

        def adjoint() -> None:
            astra.data2d.delete(astra.create_backprojection(sinogram, projector)[0])

        return Calls(forward, adjoint)

    def deepinv() -> Calls:
        from deepinv.physics import Tomography

        a = Tomography(angles=VIEWS, img_width=size, circle=False, normalize=False, device="cpu")
        measured = a(x)
        return Calls(lambda: a(x), lambda: a.A_adjoint(measured))

    def deepinv_direct() -> Calls:
        from deepinv.physics import Tomography

        a = Tomography(angles=VIEWS, img_width=size, circle=False, normalize=False, device="cpu")
        measured = a(x)
        return Calls(lambda: a.A_dagger(measured))

    def skimage_direct() -> Calls:
        from skimage import transform

        iradon: Any = transform.iradon
        columns, degrees = y[0, 0].numpy().T.copy(), np.rad2deg(angles)
        return Calls(lambda: iradon(columns, degrees, output_size=size, circle=False))

    shape = f"{size}x{size}"
    yield Contest(
        f"parallel beam, {VIEWS} views",
        shape,
        {
            OURS: lambda: ours("ct-parallel", views=VIEWS),
            "astra": lambda: astra("parallel"),
            "deepinv": deepinv,
        },
    )
    yield Contest(
        f"filtered back-projection, {VIEWS} views",
        shape,
        {OURS: ours_direct, "deepinv": deepinv_direct, "scikit-image": skimage_direct},
    )
    yield Contest(
        f"fan beam, {FAN_VIEWS} views",
        shape,
        {OURS: lambda: ours("ct-fan", views=FAN_VIEWS, projector="joseph"), "astra": lambda: astra("fan")},
    )
