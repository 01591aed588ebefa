"""Parts of pictures: the same values as the whole, and sizes told without reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch

import restore
from restore.io import ReadError

PLANES = np.random.default_rng(0).integers(0, 256, (3, 20, 24, 3), dtype=np.uint8)
BOX = (3, 17, 5, 21)


def hdf5(path: Path) -> dict[str, str]:
    with h5py.File(path, "w") as file:
        file.create_dataset("stack", data=PLANES, chunks=(1, 8, 8, 3))
    return {"axes": "NHWC"}


def npy(path: Path) -> dict[str, str]:
    np.save(path, np.asfortranarray(PLANES))
    return {"axes": "NHWC"}


def tiff(path: Path) -> dict[str, str]:
    tifffile.imwrite(path, PLANES, photometric="rgb", byteorder=">")
    return {}


def deflated_tiff(path: Path) -> dict[str, str]:
    tifffile.imwrite(path, PLANES, photometric="rgb", compression="zlib")
    return {}


def matlab(path: Path) -> dict[str, str]:
    import scipy.io

    scipy.io.savemat(path, {"stack": PLANES})
    return {"axes": "NHWC"}


def png(path: Path) -> dict[str, str]:
    restore.write(path, torch.from_numpy(PLANES[0]).permute(2, 0, 1) / 255)
    return {}


STACKS = {"a.h5": hdf5, "a.npy": npy, "a.tif": tiff, "b.tif": deflated_tiff, "a.mat": matlab}


@pytest.mark.parametrize(("name", "make"), [*STACKS.items(), ("a.png", png)])
def test_a_window_holds_that_part_of_the_whole(
    tmp_path: Path, name: str, make: Callable[[Path], dict[str, str]]
) -> None:
    options = make(tmp_path / name)
    index = None if name == "a.png" else 2
    whole = restore.read(tmp_path / name, index=index, **options).data
    part = restore.read(tmp_path / name, index=index, window=BOX, **options)
    assert torch.equal(part.data, whole[:, BOX[0] : BOX[1], BOX[2] : BOX[3]])
    with pytest.raises(ReadError, match="a part of 0 to 20"):
        restore.read(tmp_path / name, index=index, window=(3, 21, 0, 4), **options)


@pytest.mark.parametrize(("name", "make"), [item for item in STACKS.items() if item[0] != "a.mat"])
def test_the_extent_of_a_stack_is_known_without_its_values(
    tmp_path: Path, name: str, make: Callable[[Path], dict[str, str]]
) -> None:
    found = restore.io.extent(tmp_path / name, **make(tmp_path / name))
    assert (found.channels, found.height, found.width, found.pictures) == (3, 20, 24, 3)


def test_the_extent_of_a_picture_has_no_stack(tmp_path: Path) -> None:
    png(tmp_path / "a.png")
    found = restore.io.extent(tmp_path / "a.png")
    assert (found.channels, found.height, found.width, found.pictures, found.along) == (3, 20, 24, None, "")
