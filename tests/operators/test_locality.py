"""What an operator says about how far it sees, against what it does."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import operators
from operators.common.errors import BadInput
from operators.core.locality import locality

SIDE = 96
LOCAL: list[tuple[str, dict[str, Any]]] = [
    ("identity", {}),
    ("blur", {"boundary": "reflect", "size": 9, "sigma": 2.0}),
    ("blur", {"boundary": "symmetric", "kernel": "trajectory", "size": 12, "seed": 1}),
    ("blur", {"boundary": "zero", "size": 5}),
    ("blur-decimate", {"boundary": "reflect", "factor": 2, "offset": 1, "size": 7}),
    ("downsample", {"factor": 4}),
    ("downsample", {"factor": 2, "filter": "lanczos3", "boundary": "renormalise"}),
    ("downsample", {"factor": 3, "filter": "area"}),
    ("mosaic", {"pattern": "BGGR"}),
    ("mosaic", {"pattern": "x-trans"}),
    ("spectral", {"bands": 2}),
    ("jpeg", {}),
    ("jpeg", {"subsampling": "4:4:4"}),
    ("hdr", {}),
    ("quantise", {}),
    ("low-light", {}),
    ("gamma-blur", {"boundary": "replicate", "size": 7}),
]


def named(case: tuple[str, dict[str, Any]]) -> str:
    return "-".join([case[0], *map(str, case[1].values())])


@pytest.mark.parametrize("case", LOCAL, ids=named)
def test_a_window_with_its_reach_is_measured_as_that_part_of_the_whole(case: tuple[str, dict[str, Any]]) -> None:
    name, settings = case
    picture = torch.rand((1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = operators.build(name, (3, SIDE, SIDE), **settings)
    there = locality(whole)
    unit, reach = max(there.grid), max(there.reach)
    start = -(-8 // unit) * unit
    stop = SIDE - start
    window = picture[..., start:stop, start:stop]
    part = operators.build(name, tuple(window.shape[1:]), **settings)(window)
    rim = -(-reach // there.factor[0])
    first, last = start // there.factor[0], stop // there.factor[0]
    inside = whole(picture)[..., first + rim : last - rim, first + rim : last - rim]
    assert inside.numel() > 0
    # FFTs of two sizes round differently; rounding to 8 bits inside JPEG may not, for its sums are of the same pixels.
    torch.testing.assert_close(
        part[..., rim : last - first - rim, rim : last - first - rim], inside, atol=1e-12, rtol=0
    )


def test_a_mask_is_cut_with_the_picture() -> None:
    assert locality(operators.build("mask", (3, 16, 16))).placed == "mask"


@pytest.mark.parametrize(
    ("name", "shape", "settings"),
    [
        ("ct-parallel", (1, 32, 32), {}),
        ("mri", (1, 32, 32), {}),
        ("compressed-sensing", (3, 32, 32), {}),
        ("phase-retrieval", (3, 32, 32), {}),
        ("band-mask", (4, 32, 32), {}),
        ("downsample", (3, 33, 33), {"factor": 4}),
    ],
)
def test_an_operator_that_sees_everything_is_refused(name: str, shape: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        locality(operators.build(name, shape, **settings))


@pytest.mark.parametrize("boundary", ["circular", "valid"])
def test_a_blur_that_joins_or_cuts_the_edges_is_refused_with_what_to_do(boundary: str) -> None:
    with pytest.raises(BadInput, match="operator.boundary=reflect"):
        locality(operators.build("blur", (3, 32, 32), boundary=boundary, size=5))
