"""White, black, bands and offsets: what stored numbers stand for is said by the user or the file, never guessed."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch

import restore
from operators.common.errors import BadInput
from operators.common.metadata import Camera, Facts, Geometry
from restore import tasks
from restore.io import ReadError, write_native

STACK = np.random.default_rng(0).integers(0, 4096, (3, 40, 48), dtype=np.uint16)


@pytest.mark.parametrize(
    "options",
    [
        {"ome": True, "metadata": {"axes": "ZYX"}},
        {"ome": True, "metadata": {"axes": "CYX"}},
        {"ome": True, "metadata": {"axes": "TYX"}},
        {"ome": True, "metadata": {"axes": "ZYX"}, "compression": "zlib"},
        {"tile": (16, 16)},
        {"tile": (16, 16), "compression": "zlib"},
        {},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
    ],
)
def test_every_kind_of_tiff_stack_is_read_and_comes_back(tmp_path: Path, options: dict) -> None:
    tifffile.imwrite(tmp_path / "s.tif", STACK, photometric="minisblack", **options)
    image = restore.read(tmp_path / "s.tif", unit="counts")
    assert np.array_equal(image.data.numpy().squeeze(), STACK)
    again = restore.read(write_native(tmp_path / "t", image.data, image.meta), unit="counts")
    assert torch.equal(again.data, image.data) and again.meta.axes == image.meta.axes


def test_a_stack_cut_short_is_refused_whatever_its_dialect(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", STACK, photometric="minisblack", ome=True, metadata={"axes": "ZYX"})
    whole = (tmp_path / "s.tif").read_bytes()
    (tmp_path / "s.tif").write_bytes(whole[: len(whole) - 4000])
    with pytest.raises(ReadError):
        restore.read(tmp_path / "s.tif")


BANDS = np.random.default_rng(1).integers(0, 255, (24, 20, 5), dtype=np.uint8)
EXTRA = {
    "infrared": (BANDS[..., :4], "rgb", ["unspecified"], 4),
    "saturated infrared": (np.dstack([BANDS[..., :3], np.full((24, 20), 255, np.uint8)]), "rgb", ["unspecified"], 4),
    "two bands": (BANDS[..., :2], "minisblack", ["unspecified"], 2),
    "five bands": (BANDS, "minisblack", ["unspecified"] * 4, 5),
    "opaque alpha": (np.dstack([BANDS[..., :3], np.full((24, 20), 255, np.uint8)]), "rgb", ["unassalpha"], 3),
    "gray with alpha": (np.dstack([BANDS[..., :1], np.full((24, 20), 255, np.uint8)]), "minisblack", ["assocalpha"], 1),
}


@pytest.mark.parametrize("plane", ["contig", "separate"])
@pytest.mark.parametrize("name", EXTRA)
def test_an_extra_band_is_data_unless_the_file_calls_it_transparency(tmp_path: Path, name: str, plane: str) -> None:
    array, photometric, extra, channels = EXTRA[name]
    stored = array if plane == "contig" else np.ascontiguousarray(array.transpose(2, 0, 1))
    kind = {"photometric": photometric, "extrasamples": extra, "planarconfig": plane}
    tifffile.imwrite(tmp_path / "b.tif", stored, **kind)
    image = restore.read(tmp_path / "b.tif")
    assert np.array_equal((image.data * 255).round().numpy(), array.transpose(2, 0, 1)[:channels])
    assert any("alpha" in note for note in image.meta.notes) == ("alpha" in name)
    path = write_native(tmp_path / "c", image.data, image.meta)
    with tifffile.TiffFile(path) as file:
        assert file.series[0].keyframe.samplesperpixel == channels
        assert file.series[0].shape == tuple(channels if n == array.shape[2] else n for n in stored.shape)
    assert torch.equal(restore.read(path).data, image.data)


def test_transparency_that_hides_something_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "b.tif", BANDS[..., :4], photometric="rgb", extrasamples=["unassalpha"])
    with pytest.raises(ReadError, match="transparency"):
        restore.read(tmp_path / "b.tif")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".tif", ".png", ".zarr"])
def test_white_is_what_the_user_says_and_the_numbers_come_back(tmp_path: Path, suffix: str) -> None:
    if suffix == ".zarr":
        pytest.importorskip("zarr", reason="zarr is not installed: pip install restore[zarr]")
    counts = np.random.default_rng(2).poisson(25, (16, 20)).astype(np.uint16) + 1
    raw = tmp_path / "raw.npy"
    np.save(raw, counts)
    whole = restore.read(raw)
    path = restore.write(tmp_path / f"a{suffix}", whole, bits=16)
    assert any("--white" in note for note in whole.meta.notes)
    image = restore.read(path, white=30)
    assert torch.equal(image.data[0], torch.from_numpy(counts.astype(np.float32) / np.float32(30)))
    assert image.meta.unit == "[0,1]" and image.meta.value_range[1] > 1 and image.meta.depth == 5
    assert image.meta.value_range[0] == 0  # black is legal, whether the picture has any or not
    again = write_native(tmp_path / "b", image.data, image.meta)
    assert torch.equal(restore.read(again, white=30).data, image.data)  # above white too
    back = restore.read(again, unit="counts").data if suffix not in (".png", ".tif") else None
    assert back is None or np.array_equal(back[0].numpy(), counts)


def test_black_is_subtracted_and_comes_back(tmp_path: Path) -> None:
    stored = np.array([[60, 64, 1023, 1040]], np.uint16)
    np.save(tmp_path / "a.npy", stored)
    image = restore.read(tmp_path / "a.npy", white=1023, black=64)
    np.testing.assert_allclose(image.data[0, 0], (stored[0] - 64.0) / 959, rtol=1e-6)
    assert np.array_equal(np.load(write_native(tmp_path / "b", image.data, image.meta)), stored)
    for wrong in ({"white": 64, "black": 64}, {"white": float("nan")}, {"white": 30, "unit": "counts"}):
        with pytest.raises(BadInput):
            restore.read(tmp_path / "a.npy", **wrong)


@pytest.mark.parametrize("kind", ["ome", "tag", "ours"])
def test_white_is_read_from_a_file_that_states_it_and_the_user_wins(tmp_path: Path, kind: str) -> None:
    options: dict = {"ome": True, "metadata": {"axes": "YX", "SignificantBits": 12}}
    if kind == "tag":
        options = {"extratags": [(281, "H", 1, 4095, True)], "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], photometric="minisblack", **options)
    if kind == "ours":
        image = restore.read(tmp_path / "a.tif", white=4095)
        write_native(tmp_path / "a", image.data, image.meta)
    image = restore.read(tmp_path / "a.tif")
    assert torch.equal(image.data[0], torch.from_numpy(STACK[0] / np.float32(4095)))
    assert image.meta.camera is not None and image.meta.camera.white == 4095
    assert any("white is 4095, as the file says" in note for note in image.meta.notes)
    assert float(restore.read(tmp_path / "a.tif", white=8190).data.max()) < 0.51


def test_counts_as_floats_and_as_integers_pose_the_same_problem(tmp_path: Path) -> None:
    counts = np.random.default_rng(3).poisson(np.full((32, 32), 2.0)).astype(np.uint16)
    counts[0, 0] = 9  # three times white, as counts are at times
    np.save(tmp_path / "float.npy", counts / np.float32(3))
    np.save(tmp_path / "counts.npy", counts)
    task = tasks.load("denoise-poisson")
    problem = task.measured(restore.read(tmp_path / "counts.npy", white=3), peak=3)
    torch.testing.assert_close(problem.y[0], restore.read(tmp_path / "float.npy").data)
    with pytest.raises(BadInput, match="--white"):
        task.measured(restore.read(tmp_path / "counts.npy", unit="counts"), peak=3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_hounsfield_units_in_unsigned_integers_need_their_offset(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", np.array([[24, 255]], dtype))
    with pytest.raises(ReadError, match="--offset -1024"):
        restore.read(tmp_path / "a.npy", unit="hu")
    assert float(restore.read(tmp_path / "a.npy", unit="hu", offset=-1024).data.min()) == -1000
    assert float(restore.read(tmp_path / "a.npy", unit="hu", offset=0).data.min()) == 24
    np.save(tmp_path / "b.npy", np.array([[-1000, 40]], np.int16))
    assert float(restore.read(tmp_path / "b.npy", unit="hu").data.min()) == -1000


def test_our_own_files_keep_unit_and_offset_of_stored_integers(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.array([[24, 1064, 2000]], np.uint16)
    image = restore.read(tmp_path / "a.h5", unit="hu", offset=-1024)
    again = restore.read(write_native(tmp_path / "b", image.data, image.meta))
    assert again.meta.unit == "hu" and again.meta.dtype == "uint16" and torch.equal(again.data, image.data)


@pytest.mark.parametrize("kind", ["ome", "imagej", "ours"])
def test_the_size_of_pixels_survives_in_a_tiff(tmp_path: Path, kind: str) -> None:
    micron = {"PhysicalSizeX": 0.325, "PhysicalSizeY": 325, "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 1.2}
    options: dict = {"ome": True, "metadata": {"axes": "ZYX", **micron}}
    if kind != "ome":
        options = {"imagej": True, "resolution": (1 / 0.325,) * 2}
        options["metadata"] = {"axes": "ZYX", "spacing": 1.2, "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack", **options)
    image = restore.read(tmp_path / "a.tif", unit="counts")
    if kind == "ours":
        image = restore.read(restore.write(tmp_path / "b.h5", image))
        image = restore.read(restore.write(tmp_path / "b.tif", image))
    path = write_native(tmp_path / "c", image.data, image.meta)
    for geometry in (image.meta.geometry, restore.read(path, unit="counts").meta.geometry):
        steps = [geometry.step(letter) for letter in "DHW"]
        np.testing.assert_allclose(steps, [1.2e-3, 3.25e-4, 3.25e-4], rtol=1e-5)
    larger = torch.nn.functional.interpolate(image.data, scale_factor=2)
    assert restore.read(write_native(tmp_path / "d", larger, image.meta), unit="counts").meta.geometry is None


def test_the_resolution_of_a_printed_page_is_no_size_of_pixels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], resolution=(72, 72), resolutionunit="INCH")
    assert restore.read(tmp_path / "a.tif").meta.geometry is None


def test_a_window_begins_where_its_first_pixel_lies(tmp_path: Path) -> None:
    affine = ((0.0, 0.0, 2.0, 10.0), (0.0, -2.0, 0.0, 20.0), (4.0, 0.0, 0.0, 30.0), (0.0, 0.0, 0.0, 1.0))
    facts = Facts(geometry=Geometry("HW", (2.0, 2.0), affine), camera=Camera(gain=0.5))
    image = restore.read(restore.write(tmp_path / "a.npy", torch.rand(8, 9)))
    meta = restore.io.Metadata.from_dict({**image.meta.as_dict(), **facts.parts_as_dict()})
    restore.write(tmp_path / "a.h5", restore.io.Image(image.data, meta))
    whole, part = (restore.read(tmp_path / "a.h5", window=w).meta.geometry for w in (None, (3, 8, 4, 9)))
    assert whole == facts.geometry
    assert [row[3] for row in part.affine] == [10 + 2 * 4, 20 - 2 * 3, 30, 1]


def test_an_offset_means_nothing_for_complex_values_or_without_their_unit(tmp_path: Path) -> None:
    np.save(tmp_path / "complex.npy", np.ones((4, 5), np.complex64))
    np.save(tmp_path / "real.npy", np.ones((4, 5), np.float32))
    for name, options in (("complex", {"unit": "magnitude"}), ("real", {}), ("real", {"unit": "[0,1]"})):
        with pytest.raises(BadInput, match="offset"):
            restore.read(tmp_path / f"{name}.npy", offset=-1024.0, **options)
    assert float(restore.read(tmp_path / "real.npy", offset=-1024.0, unit="hu").data.max()) == -1023.0
