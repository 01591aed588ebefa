"""Axes in are axes out: what is written in the kind of the input has the order and shape of its axes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
import torch

import restore
from benchmarks.cases.planning import Context
from benchmarks.runs import executors, mapping
from benchmarks.runs.mapping.request import Request
from restore.cli import main
from restore.io import Metadata, extent, write_native
from restore.tasks import measurement

SIZES = {"C": 3, "D": 4, "H": 16, "W": 20}
ORDERS = ["DHW", "HWD", "WHD", "CHW", "HWC", "WCH", "DHWC", "CDHW", "DCHW", "HWDC"]


def stored(axes: str) -> np.ndarray:
    shape = tuple(SIZES[letter] for letter in axes)
    return np.random.default_rng(0).random(shape, np.float32)


def v73(path: Path, array: np.ndarray) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file["x"] = array.T
        file["x"].attrs["MATLAB_class"] = np.bytes_("single")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")


def zarr(path: Path, array: np.ndarray) -> None:
    package = pytest.importorskip("zarr", reason="zarr is not installed: pip install restore[zarr]")
    package.open_array(str(path), mode="w", shape=array.shape, dtype=array.dtype, chunks=array.shape)[...] = array


def hdf5(path: Path, array: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = array


KINDS: dict[str, Callable[[Path, np.ndarray], object]] = {
    "a.npy": np.save,
    "a.npz": lambda path, array: np.savez(path, x=array),
    "a.h5": hdf5,
    "a.mat": lambda path, array: scipy.io.savemat(path, {"x": array}),
    "b.mat": v73,
    "a.tif": lambda path, array: tifffile.imwrite(path, array, photometric="minisblack"),
    "a.zarr": zarr,
}


@pytest.mark.parametrize("axes", ORDERS)
@pytest.mark.parametrize("name", KINDS)
def test_an_estimate_has_the_axes_of_its_input(tmp_path: Path, name: str, axes: str) -> None:
    array = stored(axes)
    KINDS[name](tmp_path / name, array)
    image = restore.read(tmp_path / name, axes=axes)
    meta = Metadata.from_dict(image.meta.as_dict())
    path = write_native(tmp_path / "out", image.data, meta)
    again = restore.read(path, axes=axes)
    assert again.meta.axes == image.meta.axes == axes and torch.equal(again.data, image.data)
    found = extent(path, axes=axes)
    assert (found.axes, found.height, found.width, found.pictures) == (axes, 16, 20, 4 if "D" in axes else None)
    # A task on pictures takes the slices of a volume for channels.
    batch = measurement.as_batch(image)
    flat = restore.read(write_native(tmp_path / "flat", batch[0], meta), axes=axes)
    assert torch.equal(flat.data, image.data)


@pytest.mark.parametrize("axes", ["HWD", "DHWC"])
def test_a_picture_read_from_one_kind_is_written_in_another_in_the_same_order(tmp_path: Path, axes: str) -> None:
    np.save(tmp_path / "a.npy", stored(axes))
    image = restore.read(tmp_path / "a.npy", axes=axes)
    pytest.importorskip("zarr", reason="zarr is not installed: pip install restore[zarr]")
    for suffix in (".npy", ".npz", ".h5", ".mat", ".tif", ".zarr"):
        path = restore.write(tmp_path / f"b{suffix}", image)
        assert torch.equal(restore.read(path, axes=axes).data, image.data)
    assert restore.read(tmp_path / "b.h5").meta.axes == restore.read(tmp_path / "b.zarr").meta.axes == axes


def test_an_axis_of_length_one_is_kept(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1, 5, 7), np.float32))
    for axes in ("CHW", "DHW"):
        image = restore.read(tmp_path / "a.npy", axes=axes)
        assert np.load(write_native(tmp_path / "b", image.data, image.meta)).shape == (1, 5, 7)


def test_every_order_of_four_axes_comes_back(tmp_path: Path) -> None:
    for axes in map("".join, permutations("CDHW")):
        np.save(tmp_path / "a.npy", stored(axes))
        image = restore.read(tmp_path / "a.npy", axes=axes)
        assert np.array_equal(np.load(write_native(tmp_path / "b", image.data, image.meta)), stored(axes))


@pytest.mark.parametrize("axes", ["DHW", "HWD", "HWC", "CHW", "DHWC"])
def test_a_run_gives_an_array_back_in_the_order_it_came(tmp_path: Path, axes: str) -> None:
    np.save(tmp_path / "scan.npy", stored(axes))
    command = ["run", "--task", "denoise", "--solver", "tikhonov", "--input", str(tmp_path / "scan.npy")]
    assert main([*command, "--axes", axes, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    estimate = np.load(tmp_path / "out" / "estimate.npy")
    assert estimate.shape == stored(axes).shape
    assert np.abs(estimate - stored(axes)).mean() < 0.3  # a picture moved to other places would be further off


@pytest.mark.parametrize("axes", ["DHW", "HWD", "NHWC", "HCWN", "HWC", "WHC", "HW"])
def test_a_map_has_the_axes_of_its_input(tmp_path: Path, axes: str) -> None:
    sizes = {**SIZES, "N": 2}
    array = np.random.default_rng(0).random(tuple(sizes[letter] for letter in axes), np.float32)
    np.save(tmp_path / "scan.npy", array)
    request = Request("denoise", tmp_path / "scan.npy", {"axes": axes}, solver="tikhonov")
    context = Context(settings={"device": "cpu", "dtype": "float32"})
    mapping.restore_file(request, tmp_path / "out.h5", context=context, executor=executors.make("serial"))
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["estimate"].shape == array.shape and file["estimate"].attrs["axes"] == axes
        assert np.abs(file["estimate"][...] - array).mean() < 0.3


def test_a_folder_that_is_a_format_is_one_input(tmp_path: Path) -> None:
    for name in ("a.zarr", "b.zarr"):
        zarr(tmp_path / name, stored("DHW"))
    asked = ["--input", str(tmp_path / "a.zarr"), "--axes", "DHW", "--out", str(tmp_path / "out"), "--quiet"]
    assert main(["run", "--task", "denoise", "--solver", "tikhonov", *asked]) == 0
    assert restore.read(tmp_path / "out" / "estimate.zarr").shape == (1, 4, 16, 20)
    assert main(["score", str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), "--axes", "DHW"]) == 0
    inside = restore.io.expand(tmp_path)[0]
    assert [path.name for path in inside] == ["a.zarr", "b.zarr"]
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "notes.txt").write_text("not a store")
    with pytest.raises(restore.io.WriteError, match="something else"):
        restore.write(tmp_path / "mine.zarr", torch.zeros(4, 4))
    assert (tmp_path / "mine.zarr" / "notes.txt").read_text() == "not a store"
