"""Parts of pictures: the same values as the whole, and sizes told without reading."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch

import restore
from operators.common.errors import MissingExtra
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


def test_a_zarr_folder_is_read_in_part(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="zarr is not installed: pip install restore[zarr]")
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    group.create_array("stack", shape=PLANES.shape, chunks=(1, 8, 8, 3), dtype="uint8")[:] = PLANES
    whole = restore.read(tmp_path / "a.zarr", index=1, axes="NHWC").data
    assert torch.equal(whole, torch.from_numpy(PLANES[1]).permute(2, 0, 1).float() / 255)
    part = restore.read(tmp_path / "a.zarr", index=1, axes="NHWC", window=BOX).data
    assert torch.equal(part, whole[:, BOX[0] : BOX[1], BOX[2] : BOX[3]])
    found = restore.io.extent(tmp_path / "a.zarr", axes="NHWC")
    assert (found.channels, found.height, found.width, found.pictures) == (3, 20, 24, 3)
    with pytest.raises(ReadError, match="stack"):
        restore.read(tmp_path / "a.zarr", dataset="stick", axes="NHWC", index=0)


def test_a_zarr_folder_without_the_package_says_which_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtra, match=r"restore\[zarr\]"):
        restore.read(tmp_path / "a.zarr")
