"""What our operators cost as views, coils, bands, spokes and pixels grow; one amount is doubled, all else stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

import operators

from ..contest import Calls, Contest

VIEWS, COILS, BANDS, SPOKES = (45, 90, 180, 360, 720), (1, 4, 8, 16, 32), (8, 16, 28, 64), (64, 128, 256, 512)
SIDES = (128, 256, 512, 1024)


def contests(side: int) -> Iterator[Contest]:
    """Amounts at side x side pixels; then numbers of pixels."""
    yield _amounts("parallel beam", side, "views", {n: _linear("ct-parallel", (1, side, side), views=n) for n in VIEWS})
    scan = {n: _linear("ct-fan", (1, side, side), views=n, projector="joseph") for n in VIEWS[:-1]}
    yield _amounts("fan beam", side, "views", scan)
    yield _amounts("Cartesian MRI, lines / 4", side, "coils", {n: _coils(side, n) for n in COILS})
    spokes = {n: _linear("mri-nufft", (1, side, side), kind="radial", spokes=n) for n in SPOKES}
    yield _amounts("radial MRI, eps 1e-6", side, "spokes", spokes)
    yield _amounts("CASSI, shift 2", side, "bands", {n: _linear("cassi", (n, side, side), shift=2) for n in BANDS})
    response = {n: _linear("spectral", (n, side, side), bands=3) for n in BANDS}
    yield _amounts("response to 3 bands", side, "bands", response)
    for name, channels, settings in (
        ("blur", 3, {"kernel": "trajectory", "size": 61, "boundary": "symmetric"}),
        ("downsample", 3, {"factor": 4}),
        ("hadamard", 1, {}),
        ("ct-parallel", 1, {"views": 180}),
        ("cassi", 28, {"shift": 2}),
        ("phase-retrieval", 3, {}),
        ("jpeg", 3, {}),
    ):
        yield Contest(
            name,
            f"{channels} x pixels",
            {f"{n * n} pixels": _linear(name, (channels, n, n), **settings) for n in SIDES},
        )


def _amounts(name: str, side: int, unit: str, builds: dict[int, Callable[[], Calls]]) -> Contest:
    return Contest(name, f"{side}x{side}", {f"{n} {unit}": build for n, build in builds.items()})


def _linear(name: str, shape: tuple[int, ...], **settings: Any) -> Callable[[], Calls]:
    return partial(_calls, name, shape, settings)


def _calls(name: str, shape: tuple[int, ...], settings: dict[str, Any]) -> Calls:
    a = operators.build(name, shape, **settings)
    x = torch.rand(1, *shape, dtype=torch.complex64 if a.complex_input else torch.float32)
    y = a(x)
    if isinstance(a, operators.LinearOperator):
        return Calls(lambda: a(x), lambda: a.adjoint(y))
    return Calls(lambda: a(x), lambda: a.vjp(x, y))


def _coils(side: int, coils: int) -> Callable[[], Calls]:
    def build() -> Calls:
        maps = operators.mri.birdcage((side, side), coils=coils).to(torch.complex64)
        return _calls("mri-multicoil", (1, side, side), {"maps": maps, "acceleration": 4})

    return build
