"""Damaged, hostile and odd files: one ReadError in one line, before anything large is allocated."""

from __future__ import annotations

import fcntl
import io
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
from PIL import Image as Pillow
from PIL import ImageFile

import restore.io as rio

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (40, 52), np.uint8)
COLOUR = RNG.integers(0, 65536, (40, 52, 3), np.uint16)


def _h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=COLOUR, chunks=True, fletcher32=True)


def _pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        for page in range(4):
            writer.write(GRAY + np.uint8(page), contiguous=False)


def _mat73(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("x", data=COLOUR.T)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")


WHOLE: dict[str, Callable[[Path], object]] = {
    "gray.png": lambda p: Pillow.fromarray(GRAY).save(p),
    "rgb16.png": lambda p: rio.write(p, _tensor(COLOUR), bits=16),
    "a.jpg": lambda p: Pillow.fromarray(GRAY).save(p),
    "progressive.jpg": lambda p: Pillow.fromarray(COLOUR.astype(np.uint8)).save(p, progressive=True),
    "plain.tif": lambda p: tifffile.imwrite(p, COLOUR, photometric="rgb"),
    "deflate.tif": lambda p: tifffile.imwrite(p, GRAY, compression="zlib", tile=(16, 16)),
    "pages.tif": _pages,
    "libtiff.tif": lambda p: Pillow.fromarray(GRAY).save(p),
    "a.npy": lambda p: np.save(p, COLOUR),
    "a.npz": lambda p: np.savez(p, x=COLOUR),
    "a.h5": _h5,
    "v5.mat": lambda p: scipy.io.savemat(p, {"x": COLOUR}),
    "packed.mat": lambda p: scipy.io.savemat(p, {"x": COLOUR}, do_compression=True),
    "v73.mat": _mat73,
}


def _tensor(stored: np.ndarray):
    import torch

    return torch.from_numpy(stored.astype(np.float32) / np.float32(65535)).movedim(-1, 0)


def refused(path: Path, **options) -> str:
    with pytest.raises(rio.ReadError) as caught:
        rio.read(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    assert caught.value.path == path
    return text


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_read(tmp_path: Path, name: str) -> None:
    WHOLE[name](tmp_path / name)
    assert rio.read(tmp_path / name).data.shape[-2:] == (40, 52)


@pytest.mark.parametrize("switch", [False, True])
@pytest.mark.parametrize("name", WHOLE)
def test_a_truncated_file_never_gives_a_picture(tmp_path: Path, monkeypatch, name: str, switch: bool) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", switch)  # other libraries turn it on for everybody
    WHOLE[name](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    path = tmp_path / name
    for keep in sorted({1, 2, 7, 9, 40, 127, 130, *(len(content) * k // 16 for k in range(1, 16)), len(content) - 1}):
        path.write_bytes(content[:keep])
        refused(path)


@pytest.mark.parametrize("name", ["gray.png", "rgb16.png", "deflate.tif", "a.npz", "a.h5", "packed.mat"])
def test_a_flipped_bit_in_checked_data_is_noticed(tmp_path: Path, name: str) -> None:
    WHOLE[name](tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 16
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name)


@pytest.mark.parametrize("name", WHOLE)
def test_random_damage_ends_in_a_picture_or_a_read_error(tmp_path: Path, name: str) -> None:
    WHOLE[name](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(25):
        damaged = bytearray(content)
        for at in rng.integers(0, min(len(content), 600), 3):
            damaged[at] ^= 1 << int(rng.integers(8))
        (tmp_path / name).write_bytes(damaged)
        try:
            rio.read(tmp_path / name)
        except rio.ReadError as error:
            assert str(error).isprintable()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x89", "1 byte"),
        (b"hello, this is text", "text file"),
        (b"GIF89a" + bytes(40), "GIF"),
        (pickle.dumps({"a": 1}), "pickle"),
        (bytes(range(128, 256)), "unknown kind"),
    ],
)
def test_the_kind_is_told_by_content_and_not_by_suffix(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert words in refused(tmp_path / "a.png")


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    Pillow.fromarray(GRAY).save(tmp_path / "a.npy", format="PNG")
    assert rio.read(tmp_path / "a.npy").meta.format == "png"


def test_missing_paths_folders_and_pipes_are_named(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "none.png")
    assert "folder" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in refused(tmp_path / "pipe")
    assert "longer" in refused(tmp_path / ("x" * 300))
    assert "standard input" in refused(Path("-"))


def test_an_unreadable_file_says_so(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(
        "operators.common.outside.os.open", denied
    )  # a superuser may read everything, so the refusal is staged
    assert "permission" in refused(path)


@pytest.mark.parametrize(
    "name", ["mit Leer zeichen.png", "ünï 日本.png", "-leading.png", "line\nbreak.png", b"\xff\xfe.png"]
)
def test_odd_names_are_read_and_reported_in_one_line(tmp_path: Path, name: str | bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    Pillow.fromarray(GRAY).save(path, format="PNG")
    assert rio.read(path).data.shape == (1, 40, 52)
    path.write_bytes(b"text")
    refused(path).encode("utf-8")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(header: bytes, *chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + b"".join(chunks) + _chunk(b"IEND", b"")


def _npy(shape: tuple[int, ...], values: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + values


def _bomb_png() -> bytes:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return _png(header, _chunk(b"IDAT", zlib.compress(bytes(10**6))))


def _bomb_jpeg() -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(GRAY).save(buffer, format="JPEG")
    content = bytearray(buffer.getvalue())
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    return bytes(content)


def _bomb_tiff() -> bytes:
    entries = [(256, 4, 1, 60000), (257, 4, 1, 60000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
               (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 60000), (279, 4, 1, 8)]  # fmt: skip
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 16) + bytes(8) + struct.pack("<H", len(entries)) + body + bytes(4)


def _bomb_hdf5() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        data = file.create_dataset("x", (60000, 60000), "f4", chunks=(64, 64), compression="gzip")
        data[:4, :4] = 1
    return buffer.getvalue()


def _bomb_npz() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", _npy((60000, 60000)))
    return buffer.getvalue()


BOMBS = {"png": _bomb_png, "jpeg": _bomb_jpeg, "tiff": _bomb_tiff, "npy": lambda: _npy((60000, 60000)),
         "hdf5": _bomb_hdf5, "npz": _bomb_npz}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_a_header_that_promises_too_much_is_refused_before_allocation(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[kind]())
    rio.read(_small(tmp_path))  # imports are not what is measured
    with pytest.raises(rio.ReadError):
        rio.read(path)
    tracemalloc.start()
    text = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # the picture would be 3.6e9 bytes
    assert any(number in text for number in ("3600000000", "14400000000"))


def _small(folder: Path) -> Path:
    np.save(folder / "small.npy", np.zeros((4, 4), np.float32))
    return folder / "small.npy"


@pytest.mark.parametrize("name", ["gray.png", "a.jpg", "plain.tif", "a.npy", "a.npz", "a.h5", "v5.mat", "v73.mat"])
def test_every_format_keeps_to_the_pixel_limit(tmp_path: Path, name: str) -> None:
    WHOLE[name](tmp_path / name)
    assert rio.read(tmp_path / name, max_pixels=40 * 52).data.shape[-2:] == (40, 52)
    assert "2080" in refused(tmp_path / name, max_pixels=40 * 52 - 1)


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_a_small_part_of_a_large_packed_array_is_held_to_the_limit_too(tmp_path: Path, suffix: str) -> None:
    path, stack = tmp_path / f"a{suffix}", np.zeros((90, 8, 8), np.uint8)
    if suffix == ".npz":
        np.savez_compressed(path, x=stack)
    else:
        scipy.io.savemat(path, {"x": stack}, do_compression=True)
    assert "whole" in refused(path, index=0, max_pixels=64)
    assert rio.read(path, index=0, max_pixels=1440).data.shape == (1, 8, 8)


def test_a_tiff_tag_with_two_thousand_million_strips_is_refused(tmp_path: Path) -> None:
    content = bytearray(_bomb_tiff())
    at = content.index(struct.pack("<HH", 273, 4))
    content[at + 4 : at + 8] = struct.pack("<I", 2**31 - 1)
    (tmp_path / "a.tif").write_bytes(content)
    assert "past the end" in refused(tmp_path / "a.tif")


def test_a_broken_chain_of_tiff_pages_is_not_read_as_fewer_pages(tmp_path: Path) -> None:
    _pages(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        second = file.pages[1].offset
    content = (tmp_path / "a.tif").read_bytes()
    link = content.index(struct.pack("<I", second), 8)
    (tmp_path / "a.tif").write_bytes(content[:link] + struct.pack("<I", 10**9) + content[link + 4 :])
    refused(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(content[:link] + content[4:8] + content[link + 4 :])
    assert "loop" in refused(tmp_path / "a.tif")


def test_an_array_file_whose_header_disagrees_with_its_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(_npy((4, 4), bytes(60)))
    assert "60 bytes" in refused(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(_npy((4, 4), bytes(68)))
    assert "extra" in refused(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(_npy((-4, -4), bytes(64)))
    refused(tmp_path / "a.npy")


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pkl"])
def test_a_pickle_is_never_loaded(tmp_path: Path, suffix: str) -> None:
    canary = tmp_path / "canary"
    objects = np.array([[Canary(canary), 1], [2, 3]], dtype=object)
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, objects, allow_pickle=True)
    elif suffix == ".npz":
        np.savez(path, x=objects)
    else:
        path.write_bytes(pickle.dumps(Canary(canary)))
    assert "pickle" in refused(path)
    assert not canary.exists()


def test_hdf5_links_into_other_files_are_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = GRAY
    (tmp_path / "raw.bin").write_bytes(GRAY.tobytes())
    layout = h5py.VirtualLayout((40, 52), "u1")
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", (40, 52))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["out"] = h5py.ExternalLink("secret.h5", "x")
        file["indirect"] = h5py.SoftLink("/out")
        file["loop"] = h5py.SoftLink("/loop")
        file["inside"] = h5py.SoftLink("/group/x")
        file["group/x"] = GRAY
        file.create_dataset("raw", (40, 52), "u1", external=[(str(tmp_path / "raw.bin"), 0, 2080)])
        file.create_virtual_dataset("virtual", layout)
    assert "another file" in refused(tmp_path / "a.h5", dataset="out")
    assert "another file" in refused(tmp_path / "a.h5", dataset="indirect")
    assert "itself" in refused(tmp_path / "a.h5", dataset="loop")
    assert "other files" in refused(tmp_path / "a.h5", dataset="raw")
    assert "other files" in refused(tmp_path / "a.h5", dataset="virtual")
    assert rio.read(tmp_path / "a.h5", dataset="inside").data.shape == (1, 40, 52)
    assert "group/x" in refused(tmp_path / "a.h5", dataset="group")


def test_hdf5_without_an_array_and_with_unwritten_values_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["scalar"], file["text"] = 3.0, "hello"
        file.create_group("g")
    refused(tmp_path / "a.h5")
    assert "text" in refused(tmp_path / "a.h5", dataset="text")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("x", (8, 8), "f4", chunks=(4, 4))
    assert "never written" in refused(tmp_path / "b.h5")


def test_an_hdf5_file_held_by_a_writer_gives_a_hint_at_once(tmp_path: Path) -> None:
    _h5(tmp_path / "a.h5")
    with (tmp_path / "a.h5").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "writing" in refused(tmp_path / "a.h5")


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "key"])
def test_real_transparency_is_refused_with_what_to_do(tmp_path: Path, mode: str) -> None:
    stored = RNG.integers(0, 255, (6, 7, 4), np.uint8)
    path = tmp_path / "a.png"
    if mode == "key":
        Pillow.fromarray(stored[..., :3]).save(path, transparency=tuple(int(v) for v in stored[2, 3, :3]))
    elif mode == "P":
        Pillow.fromarray(stored[..., :3]).quantize(8).save(path, transparency=bytes([255, 0, 9]))
    else:
        Pillow.fromarray(stored[..., : len(mode)]).save(path)
    assert "background" in refused(path)


def test_kinds_that_are_not_read_are_refused_by_name(tmp_path: Path) -> None:
    Pillow.fromarray(GRAY).convert("CMYK").save(tmp_path / "a.jpg")
    assert "CMYK" in refused(tmp_path / "a.jpg")
    Pillow.fromarray(GRAY).convert("CMYK").save(tmp_path / "a.tif")
    assert "SEPARATED" in refused(tmp_path / "a.tif")
    frames = [Pillow.fromarray(GRAY), Pillow.fromarray(255 - GRAY)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert "animated PNG of 2 frames" in refused(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("at", "magic", "said"),
    [
        (128, b"DICM", "DICOM"),
        (344, b"n+1\0", "NIfTI"),
        (344, b"ni1\0", "NIfTI pair"),
        (4, b"n+2\0", "NIfTI"),
        (0, b"ENVI\nsamples = 4\n", "ENVI"),
        (0, b"# Dimensions\n4 4 1\n", "BART"),
        (0, b"FUJIFILMCCD-RAW 0201", "raw file of a Fujifilm camera"),
        (4, b"ftypcrx ", "raw file of a Canon camera"),
        (0, b"IIU\0", "raw file of a Panasonic camera"),
        (0, b"IIRS", "raw file of an Olympus camera"),
    ],
)
def test_files_of_scanners_and_cameras_are_refused_by_name(tmp_path: Path, at: int, magic: bytes, said: str) -> None:
    (tmp_path / "a.png").write_bytes(bytes(at) + magic + bytes(400))
    assert said in refused(tmp_path / "a.png")


def test_a_digital_negative_is_refused_by_name(tmp_path: Path) -> None:
    version = [(50706, 1, 4, (1, 4, 0, 0), True)]
    mosaic = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True)]
    tifffile.imwrite(tmp_path / "a.dng", GRAY, photometric=32803, extratags=[*version, *mosaic], metadata=None)
    assert "DNG" in refused(tmp_path / "a.dng")
    with tifffile.TiffWriter(tmp_path / "b.dng") as file:  # a small picture first, the mosaic below it
        small = np.zeros((8, 8, 3), np.uint8)
        file.write(small, photometric="rgb", subifds=1, extratags=version, metadata=None)
        file.write(GRAY, photometric=32803, extratags=mosaic, metadata=None)
    for options in ({}, {"index": 0}):
        assert "DNG" in refused(tmp_path / "b.dng", **options)


def test_a_missing_codec_is_named(tmp_path: Path) -> None:
    Pillow.fromarray(GRAY).save(tmp_path / "a.tif", compression="tiff_lzw")
    try:
        image = rio.read(tmp_path / "a.tif")
    except rio.ReadError as error:
        assert "LZW" in str(error)
        assert "imagecodecs" in str(error)
    else:  # where imagecodecs is installed
        assert np.array_equal(np.rint(image.data[0].numpy() * 255), GRAY)


@pytest.mark.parametrize("options", [{"dataset": "x"}, {"index": 0}, {"axes": "HW"}, {"offset": 3.0}])
def test_options_that_mean_nothing_for_a_picture_are_refused(tmp_path: Path, options: dict) -> None:
    Pillow.fromarray(GRAY).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", **options)


@pytest.mark.parametrize("options", [{"axes": "HWX"}, {"axes": "HH"}, {"axes": "CHW"}, {"index": 40}, {"index": -1}])
def test_wrong_axes_and_indices_are_refused(tmp_path: Path, options: dict) -> None:
    np.save(tmp_path / "a.npy", np.zeros((6, 7), np.float32))
    refused(tmp_path / "a.npy", **options)


def test_an_error_can_be_sent_between_processes(tmp_path: Path) -> None:
    with pytest.raises(rio.ReadError) as caught:
        rio.read(tmp_path / "none")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_an_index_one_beyond_the_palette_is_damage(tmp_path: Path) -> None:
    """The smallest such index: as many colours as it counts from zero."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    def png(index: int) -> bytes:
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 3, 0, 0, 0))
        body = chunk(b"PLTE", bytes(range(9))) + chunk(b"IDAT", zlib.compress(bytes([0, 0, index])))
        return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")

    (tmp_path / "good.png").write_bytes(png(2))
    assert rio.read(tmp_path / "good.png").data.shape == (3, 1, 2)
    (tmp_path / "bad.png").write_bytes(png(3))
    with pytest.raises(rio.ReadError, match="palette index 3 of 3 colours"):
        rio.read(tmp_path / "bad.png")


def test_floats_from_zero_to_one_are_a_picture_and_others_are_values(tmp_path: Path) -> None:
    for name, high, unit in (("a", 1.0, "[0,1]"), ("b", 1.5, "as stored")):
        np.save(tmp_path / f"{name}.npy", np.linspace(0, high, 20, dtype=np.float32).reshape(4, 5))
        assert rio.read(tmp_path / f"{name}.npy", axes="HW").meta.unit == unit
