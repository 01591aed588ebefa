"""What goes into a file comes out: values, depth, axes, unit, and the kind of the file itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import png
import pytest
import scipy.io
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

import restore.io as rio
from restore.io.decoded import upright
from restore.io.png import ADAM7


def levels(shape: tuple[int, ...], dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def hwc(image: rio.Image) -> np.ndarray:
    return image.data.movedim(0, -1).numpy()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 3]),
    st.sampled_from([(".png", 8), (".png", 16), (".tif", 8), (".tif", 16)]),
    st.integers(0, 99),
)
def test_every_stored_level_survives_a_round_trip(tmp_path_factory, height, width, channels, kind, seed) -> None:
    suffix, bits = kind
    full = 2**bits - 1
    stored = levels((channels, height, width), f"uint{bits}", seed)
    path = tmp_path_factory.mktemp("trip") / f"a{suffix}"
    rio.write(path, torch.from_numpy(stored.astype(np.float32) / np.float32(full)), bits=bits)
    image = rio.read(path)
    assert image.data.shape == stored.shape
    assert image.meta.bits == bits
    assert np.array_equal(np.rint(image.data.numpy().astype(float) * full), stored)


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".npz", ".h5", ".mat"])
@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 5, 7)])
def test_floats_survive_exactly_without_options(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    data = torch.from_numpy(np.random.default_rng(1).normal(size=shape).astype(np.float32))
    image = rio.read(rio.write(tmp_path / f"a{suffix}", data))
    assert torch.equal(image.data, data)
    assert image.meta.unit == "as stored"


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".mat"])
def test_complex_values_survive_exactly(tmp_path: Path, suffix: str) -> None:
    data = torch.complex(torch.randn(1, 4, 6), torch.randn(1, 4, 6))
    image = rio.read(rio.write(tmp_path / f"a{suffix}", data))
    assert image.data.dtype == torch.complex64
    assert torch.equal(image.data, data)


def test_sixteen_bit_rgb_png_matches_the_array_it_was_written_from(tmp_path: Path) -> None:
    stored = levels((11, 13, 3))
    with (tmp_path / "a.png").open("wb") as file:
        png.Writer(13, 11, greyscale=False, bitdepth=16).write(file, stored.reshape(11, -1).tolist())
    image = rio.read(tmp_path / "a.png")
    assert image.meta.bits == 16
    assert np.array_equal(hwc(image), stored.astype(np.float32) / np.float32(65535))
    assert len(np.unique(hwc(image))) > 256  # eight bits could not hold as many


def test_our_sixteen_bit_rgb_png_is_read_alike_by_pypng(tmp_path: Path) -> None:
    stored = levels((3, 6, 5))
    rio.write(tmp_path / "a.png", torch.from_numpy(stored.astype(np.float32)) / 65535, bits=16)
    rows = png.Reader(bytes=(tmp_path / "a.png").read_bytes()).read()[2]
    assert np.array_equal(np.array([list(r) for r in rows]).reshape(6, 5, 3), stored.transpose(1, 2, 0))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("interlace", [False, True])
def test_gray_png_of_few_bits_is_scaled_by_its_own_range(tmp_path: Path, bits: int, interlace: bool) -> None:
    stored = np.random.default_rng(2).integers(0, 2**bits, (9, 10))
    with (tmp_path / "a.png").open("wb") as file:
        png.Writer(10, 9, greyscale=True, bitdepth=bits, interlace=interlace).write(file, stored.tolist())
    image = rio.read(tmp_path / "a.png")
    assert image.meta.bits == bits
    np.testing.assert_allclose(image.data[0], stored / (2**bits - 1), rtol=2e-7)  # one float32 rounding


@pytest.mark.parametrize("channels", [1, 3])
def test_interlaced_sixteen_bit_png_is_exact(tmp_path: Path, channels: int) -> None:
    assert len(ADAM7) == 7
    stored = levels((9, 10 * channels))
    with (tmp_path / "a.png").open("wb") as file:
        png.Writer(10, 9, greyscale=channels == 1, bitdepth=16, interlace=True).write(file, stored.tolist())
    found = hwc(rio.read(tmp_path / "a.png")).reshape(9, -1)
    assert np.array_equal(found, stored.astype(np.float32) / np.float32(65535))


def test_interlaced_png_of_any_size_is_exact(tmp_path: Path) -> None:
    """Small sides leave passes empty, and tell where each of the seven begins and how far it steps."""
    for high in range(1, 10):
        for wide in range(1, 10):
            stored = levels((high, wide), "uint8")
            with (tmp_path / "a.png").open("wb") as file:
                png.Writer(wide, high, greyscale=True, bitdepth=8, interlace=True).write(file, stored.tolist())
            assert np.array_equal(hwc(rio.read(tmp_path / "a.png")).reshape(high, wide) * 255, stored), (high, wide)


def test_sixteen_bit_gray_with_opaque_alpha_is_exact(tmp_path: Path) -> None:
    stored = levels((5, 12))
    stored[:, 1::2] = 65535
    with (tmp_path / "a.png").open("wb") as file:
        png.Writer(6, 5, greyscale=True, alpha=True, bitdepth=16).write(file, stored.tolist())
    found = hwc(rio.read(tmp_path / "a.png")).reshape(5, 6)
    assert np.array_equal(found, stored[:, ::2].astype(np.float32) / np.float32(65535))


def test_palette_png_gives_its_colours(tmp_path: Path) -> None:
    picture = Pillow.fromarray(levels((8, 8, 3), "uint8")).quantize(16)
    picture.save(tmp_path / "a.png")
    assert np.array_equal(hwc(rio.read(tmp_path / "a.png")) * 255, np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opaque_alpha_is_dropped_with_a_note(tmp_path: Path, mode: str) -> None:
    stored = levels((6, 7, len(mode)), "uint8")
    stored[..., -1] = 255
    Pillow.fromarray(stored).save(tmp_path / "a.png")
    image = rio.read(tmp_path / "a.png")
    assert np.array_equal(hwc(image) * 255, stored[..., :-1])
    assert any("alpha" in note for note in image.meta.notes)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once_as_pillow_does(tmp_path: Path, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    picture = Pillow.fromarray(levels((4, 7, 3), "uint8"))
    for name in ("a.png", "a.jpg"):
        picture.save(tmp_path / name, exif=exif)
        image = rio.read(tmp_path / name)
        with Pillow.open(tmp_path / name) as again:
            wanted = np.asarray(ImageOps.exif_transpose(again))
        assert np.array_equal(np.rint(hwc(image) * 255), wanted)
        assert image.meta.orientation == orientation
        assert any("orientation" in note for note in image.meta.notes) == (orientation != 1)
    tifffile.imwrite(tmp_path / "a.tif", np.asarray(picture), extratags=[(274, "H", 1, orientation, True)])
    wanted = upright(np.asarray(picture).transpose(2, 0, 1), orientation)
    assert np.array_equal(np.rint(rio.read(tmp_path / "a.tif").data.numpy() * 255), wanted)


def test_a_picture_that_was_turned_upright_is_written_without_a_tag(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(levels((4, 7, 3), "uint8")).save(tmp_path / "a.jpg", exif=exif)
    image = rio.read(tmp_path / "a.jpg")
    again = rio.read(rio.write_native(tmp_path / "b", image.data, image.meta))
    assert again.shape == image.shape == (3, 7, 4)
    assert again.meta.orientation == 1


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"compression": "zlib"}, {"bigtiff": True}])
def test_tiff_kinds_are_exact(tmp_path: Path, byteorder: str, options: dict) -> None:
    stored = levels((20, 33, 3))
    tifffile.imwrite(tmp_path / "a.tif", stored, byteorder=byteorder, photometric="rgb", **options)
    image = rio.read(tmp_path / "a.tif")
    assert np.array_equal(hwc(image), stored.astype(np.float32) / np.float32(65535))
    native = tifffile.TiffFile(rio.write_native(tmp_path / "b", image.data, image.meta))
    with native:
        assert native.byteorder == byteorder
        assert np.array_equal(native.asarray(), stored)


def test_planar_and_inverted_tiffs_are_put_right(tmp_path: Path) -> None:
    stored = levels((3, 8, 9), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig="separate")
    assert np.array_equal(rio.read(tmp_path / "a.tif").data.numpy() * 255, stored)
    tifffile.imwrite(tmp_path / "b.tif", stored[0], photometric="miniswhite")
    assert np.array_equal(rio.read(tmp_path / "b.tif").data[0].numpy() * 255, 255 - stored[0])


def test_a_one_bit_tiff_is_black_and_white(tmp_path: Path) -> None:
    stored = np.random.default_rng(8).random((9, 13)) < 0.5
    Pillow.fromarray(stored).save(tmp_path / "a.tif")
    image = rio.read(tmp_path / "a.tif")
    assert image.meta.bits == 1
    assert np.array_equal(image.data[0].numpy(), stored)


def test_tiff_pages_are_a_volume_or_one_by_index(tmp_path: Path) -> None:
    stored = levels((5, 8, 9))
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in stored:
            writer.write(page, contiguous=False)
    volume, page = rio.read(tmp_path / "a.tif"), rio.read(tmp_path / "a.tif", index=3)
    assert volume.shape == (1, 5, 8, 9)
    assert volume.meta.pages == 5
    assert torch.equal(page.data, volume.data[:, 3])
    assert np.array_equal(np.rint(page.data[0].double().numpy() * 65535), stored[3])


def test_float_tiff_keeps_nan(tmp_path: Path) -> None:
    stored = np.array([[0.5, np.nan], [np.inf, -1.0]], np.float32)
    tifffile.imwrite(tmp_path / "a.tif", stored)
    image = rio.read(tmp_path / "a.tif")
    assert np.array_equal(image.data[0].numpy(), stored, equal_nan=True)
    assert "2 values are NaN or infinite" in image.meta.notes


@pytest.mark.parametrize(
    ("shape", "options", "wanted"),
    [
        ((5, 7), {}, (1, 5, 7)),
        ((5, 7, 3), {}, (3, 5, 7)),
        ((5, 7, 4), {}, (4, 5, 7)),
        ((3, 5, 7), {"axes": "CHW"}, (3, 5, 7)),
        ((3, 5, 7), {"axes": "hwc"}, (7, 3, 5)),
        ((6, 5, 7), {"axes": "DHW"}, (1, 6, 5, 7)),
        ((6, 5, 7), {"axes": "HWD"}, (1, 7, 6, 5)),
        ((6, 5, 7), {"index": 2}, (1, 5, 7)),
        ((6, 5, 7), {"index": 2, "axes": "HW"}, (1, 5, 7)),
        ((6, 5, 7), {"index": 2, "axes": "HWD"}, (1, 6, 5)),
        ((6, 5, 7, 3), {"index": 2}, (3, 5, 7)),
        ((2, 6, 5, 7), {"axes": "CDHW"}, (2, 6, 5, 7)),
        ((2, 6, 5, 7), {"axes": "NDHW", "index": 1}, (1, 6, 5, 7)),
    ],
)
def test_axes_and_index_place_every_value(tmp_path: Path, shape, options, wanted) -> None:
    stored = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.save(tmp_path / "a.npy", stored)
    image = rio.read(tmp_path / "a.npy", **options)
    letters = options.get("axes", "HWC"[: len(wanted) if wanted[0] > 1 else 2]).upper()
    if "index" in options:
        axis = max(letters.find("D") if "N" not in letters else letters.find("N"), 0)
        stored = stored.take(options["index"], axis)
        letters = letters.replace("N" if "N" in letters else "D", "")
    expected = stored.transpose([letters.index(c) for c in "CDHW" if c in letters]).reshape(wanted)
    assert np.array_equal(image.data.numpy(), expected)


@pytest.mark.parametrize("shape", [(3, 5, 7), (5, 7, 1), (2, 3, 5, 7), (4, 5, 7, 3), (7,), (0, 5)])
def test_a_shape_that_leaves_a_choice_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.float32))
    with pytest.raises(rio.ReadError):
        rio.read(tmp_path / "a.npy")


def test_ct_counts_become_hounsfield_units_and_go_back(tmp_path: Path) -> None:
    stored = np.array([[0, 24, 1024], [2000, 4095, 1]], np.uint16)
    np.save(tmp_path / "a.npy", stored)
    image = rio.read(tmp_path / "a.npy", unit="hu", offset=-1024)
    assert image.data[0].tolist() == [[-1024, -1000, 0], [976, 3071, -1023]]
    assert image.meta.unit == "hu"
    assert image.meta.value_range == (-1024, 3071)
    native = np.load(rio.write_native(tmp_path / "b", image.data, image.meta))
    assert native.dtype == np.uint16
    assert np.array_equal(native, stored)


def test_integers_without_an_agreed_range_need_a_unit(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6, dtype=np.int32).reshape(2, 3) - 2)
    with pytest.raises(rio.ReadError, match="unit"):
        rio.read(tmp_path / "a.npy")
    assert rio.read(tmp_path / "a.npy", unit="counts").data.min() == -2


def test_floats_outside_the_declared_range_are_refused_with_both_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[0.0, 255.0]], np.float32))
    with pytest.raises(rio.ReadError, match="0 to 255.*0 to 1"):
        rio.read(tmp_path / "a.npy", unit="[0,1]")


def test_black_and_white_pictures_are_no_masks(tmp_path: Path) -> None:
    rio.write(tmp_path / "a.png", torch.zeros(1, 4, 4))
    assert not [note for note in rio.read(tmp_path / "a.png").meta.notes if "mask" in note]


def test_a_mask_of_bytes_is_pointed_out(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(3, dtype=np.uint8))
    assert any("mask" in note for note in rio.read(tmp_path / "a.npy").meta.notes)
    assert rio.read(tmp_path / "a.npy", unit="counts").data.max() == 1


def test_double_precision_is_rounded_with_a_note_and_overflow_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 2), 1 / 3))
    assert any("float64" in note for note in rio.read(tmp_path / "a.npy").meta.notes)
    np.save(tmp_path / "b.npy", np.full((2, 2), 1e300))
    with pytest.raises(rio.ReadError, match="too large"):
        rio.read(tmp_path / "b.npy")


def test_matlab_files_of_both_kinds_have_matlabs_orientation(tmp_path: Path) -> None:
    stored = np.random.default_rng(3).random((5, 7, 3))
    scipy.io.savemat(tmp_path / "v5.mat", {"x": stored, "gain": 2.0}, do_compression=True)
    with h5py.File(tmp_path / "v73.mat", "w", userblock_size=512) as file:
        file.create_dataset("x", data=stored.T).attrs["MATLAB_class"] = np.bytes_("double")
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"
    with (tmp_path / "v73.mat").open("r+b") as file:
        file.write(header)
    for name in ("v5.mat", "v73.mat"):
        image = rio.read(tmp_path / name)
        assert image.meta.format == "matlab"
        assert np.array_equal(hwc(image), stored.astype(np.float32))


def test_a_field_of_a_matlab_structure_is_read_by_name(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"s": {"x": np.eye(3), "deep": {"y": np.eye(4)}}})
    assert rio.read(tmp_path / "a.mat", dataset="s.x").shape == (1, 3, 3)
    assert rio.read(tmp_path / "a.mat", dataset="s.deep.y").shape == (1, 4, 4)
    with pytest.raises(rio.ReadError, match="deep"):
        rio.read(tmp_path / "a.mat", dataset="s")


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".mat"])
def test_several_arrays_are_listed_and_one_taken_by_name(tmp_path: Path, suffix: str) -> None:
    arrays = {"first": np.zeros((2, 3), np.float32), "second": np.ones((4, 5), np.float32)}
    path = tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, **arrays)
    elif suffix == ".mat":
        scipy.io.savemat(path, arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    with pytest.raises(rio.ReadError, match=r"first.*second.*"):
        rio.read(path)
    with pytest.raises(rio.ReadError, match="second"):
        rio.read(path, dataset="secnd")
    image = rio.read(path, dataset="second")
    assert image.shape == (1, 4, 5)
    assert image.meta.fields["dataset"] == "second"


@pytest.mark.parametrize("names", [("real", "imag"), ("r", "i")])
def test_compound_pairs_are_complex_and_come_back_as_pairs(tmp_path: Path, names: tuple[str, str]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        pairs = np.zeros((4, 5), [(names[0], "<f4"), (names[1], "<f4")])
        pairs[names[0]], pairs[names[1]] = 1, np.arange(5)
        file["kspace"] = pairs
    image = rio.read(tmp_path / "a.h5")
    assert torch.equal(image.data[0], torch.complex(torch.ones(4, 5), torch.arange(5.0).expand(4, 5)))
    with h5py.File(rio.write_native(tmp_path / "b", image.data, image.meta)) as file:
        assert file["kspace"].id.get_type().get_member_name(0).decode() == names[0]


def test_our_hdf5_files_need_no_options(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(4).normal(0, 500, (2, 4, 5)).astype(np.float32))
    image = rio.read(tmp_path / "a.npy", axes="CHW", unit="hu")
    again = rio.read(rio.write(tmp_path / "a.h5", image))
    assert torch.equal(again.data, image.data)
    assert again.meta.unit == "hu"


NATIVE = {
    "gray16.png": lambda p: Pillow.fromarray(levels((5, 6))).save(p),
    "rgb8.png": lambda p: Pillow.fromarray(levels((5, 6, 3), "uint8")).save(p),
    "rgb16.png": lambda p: rio.write(p, torch.from_numpy(levels((3, 5, 6)) / np.float32(65535)), bits=16),
    "float.tif": lambda p: tifffile.imwrite(p, np.random.default_rng(5).random((5, 6), np.float32)),
    "volume16.tif": lambda p: tifffile.imwrite(p, levels((4, 5, 6)), photometric="minisblack"),
    "big.npy": lambda p: np.save(p, levels((5, 6, 3)).astype(">u2")),
    "half.npy": lambda p: np.save(p, np.random.default_rng(6).random((5, 6)).astype(np.float16)),
    "key.npz": lambda p: np.savez(p, slice=levels((5, 6), "uint8")),
    "a.mat": lambda p: scipy.io.savemat(p, {"im": levels((5, 6, 3), "uint8")}),
}


@pytest.mark.parametrize("name", NATIVE)
def test_the_native_kind_comes_back_unchanged(tmp_path: Path, name: str) -> None:
    NATIVE[name](tmp_path / name)
    image = rio.read(tmp_path / name)
    path = rio.write_native(tmp_path / "out.put", image.data, rio.Metadata.from_dict(image.meta.as_dict()))
    again = rio.read(path)
    assert path.name == f"out.put{Path(name).suffix}"
    assert torch.equal(again.data, image.data)
    for key in ("format", "bits", "dtype", "axes", "unit"):
        assert getattr(again.meta, key) == getattr(image.meta, key)


def test_native_writing_takes_an_estimate_of_another_size_and_channel_count(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", levels((5, 6)))
    meta = rio.read(tmp_path / "a.npy").meta
    assert np.load(rio.write_native(tmp_path / "b", torch.rand(1, 3, 20, 24), meta)).shape == (20, 24, 3)


def test_the_only_picture_among_small_arrays_is_taken_with_a_note(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", spacing=np.ones(2), name=np.array(["x"]), slice=levels((4, 5)))
    image = rio.read(tmp_path / "a.npz")
    assert image.shape == (1, 4, 5)
    assert any("slice" in note for note in image.meta.notes)


def test_metadata_survives_json(tmp_path: Path) -> None:
    Pillow.fromarray(levels((5, 6))).save(tmp_path / "a.png")
    meta = rio.read(tmp_path / "a.png").meta
    assert rio.Metadata.from_dict(json.loads(json.dumps(meta.as_dict(), allow_nan=False))) == meta
    assert len(meta.sha256) == 64


def test_names_of_atomic_writing_load_without_torch() -> None:
    code = "import sys; from restore.io import atomic_path, expand; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
