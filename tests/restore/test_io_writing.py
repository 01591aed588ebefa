"""Files are written whole or not at all, and folders of them are paired by name."""

from __future__ import annotations

import dataclasses
import errno
from pathlib import Path

import numpy as np
import pytest
import torch

import operators.common.errors
import restore.io as rio
from restore.io import numpy_arrays, png


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_body_that_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), rio.atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        assert target.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(("module", "suffix"), [(png, ".png"), (numpy_arrays, ".npy")])
def test_a_writer_that_fails_midway_leaves_the_old_picture(tmp_path, monkeypatch, module, suffix) -> None:
    path = rio.write(tmp_path / f"a{suffix}", torch.zeros(1, 4, 4))
    before = path.read_bytes()

    def full_disk(temporary: Path, *_: object) -> None:
        temporary.write_bytes(b"half a picture")
        raise OSError(errno.ENOSPC, "No space left on device")

    name = "FORMAT" if module is png else "NPY"
    monkeypatch.setattr(module, name, dataclasses.replace(getattr(module, name), write=full_disk))
    with pytest.raises(rio.WriteError, match="disk is full"):
        rio.write(path, torch.ones(1, 4, 4))
    assert path.read_bytes() == before
    assert names(tmp_path) == [path.name]


def test_permissions_and_links_survive_replacement(tmp_path: Path) -> None:
    (tmp_path / "real.npy").write_bytes(b"old")
    (tmp_path / "real.npy").chmod(0o640)
    (tmp_path / "link.npy").symlink_to("real.npy")
    rio.write(tmp_path / "link.npy", torch.zeros(2, 2))
    assert (tmp_path / "link.npy").is_symlink()
    assert (tmp_path / "real.npy").stat().st_mode & 0o777 == 0o640
    assert rio.read(tmp_path / "real.npy").shape == (1, 2, 2)


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    picture = torch.zeros(4, 4)
    (tmp_path / "folder.png").mkdir()
    for path, words in [
        (tmp_path / "none" / "a.png", "folder does not exist"),
        (tmp_path / "folder.png", "this is a folder"),
        (tmp_path / ("x" * 300 + ".png"), "too long"),
        (tmp_path / "a.xyz", "suffix"),
        (tmp_path / "a", "suffix"),
    ]:
        with pytest.raises(rio.WriteError, match=words):
            rio.write(path, picture)
    rio.write(tmp_path / "a.png", picture)
    with pytest.raises(rio.WriteError, match="exists"):
        rio.write(tmp_path / "a.png", picture, overwrite=False)
    assert names(tmp_path) == ["a.png", "folder.png"]


@pytest.mark.parametrize(
    ("suffix", "tensor", "options", "words"),
    [
        (".png", torch.full((4, 4), torch.nan), {}, "NaN"),
        (".png", torch.full((4, 4), 255.0), {}, "255"),
        (".png", torch.zeros(2, 4, 4), {}, "channels"),
        (".jpg", torch.zeros(1, 1, 3, 4, 4), {}, "channels"),
        (".png", torch.zeros(2, 3, 4, 4), {}, "batch"),
        (".png", torch.zeros(4, 4, dtype=torch.complex64), {}, "magnitude"),
        (".jpg", torch.zeros(4, 4), {"bits": 16}, "16 bits"),
        (".png", torch.zeros(4, 4), {"bits": 12}, "12"),
        (".png", torch.zeros(3, 0, 4), {}, "shape"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path: Path, suffix, tensor, options, words) -> None:
    with pytest.raises(operators.common.errors.BadInput, match=words):
        rio.write(tmp_path / f"a{suffix}", tensor, **options)
    assert names(tmp_path) == []


def test_an_estimate_that_overshoots_is_clipped_and_rounded(tmp_path: Path) -> None:
    rio.write(tmp_path / "a.png", torch.tensor([[-0.2, 0.0, 0.5, 1.0, 1.3]]))
    assert (rio.read(tmp_path / "a.png").data * 255).round().flatten().tolist() == [0, 0, 128, 255, 255]


def test_a_window_of_hounsfield_units_is_written_when_asked_for(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[-1000.0, 0, 1000, 3000]]))
    image = rio.read(tmp_path / "a.npy", unit="hu")
    with pytest.raises(rio.WriteError, match="hu"):
        rio.write(tmp_path / "a.png", image)
    rio.write(tmp_path / "a.png", image, value_range=(-1000, 1000))
    assert (rio.read(tmp_path / "a.png").data * 255).round().flatten().tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.requires_grad_(),
        lambda x: x.double(),
        lambda x: x[:, ::1].contiguous(memory_format=torch.channels_last),
        lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
    ],
)
def test_the_layout_of_a_tensor_in_memory_does_not_matter(tmp_path: Path, view) -> None:
    picture = torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    rio.write(tmp_path / "a.png", picture)
    rio.write(tmp_path / "b.png", view(picture.clone()))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_an_expanded_tensor_is_written(tmp_path: Path) -> None:
    rio.write(tmp_path / "a.tif", torch.rand(1, 4, 5).expand(3, 4, 5))
    assert rio.read(tmp_path / "a.tif").shape == (3, 4, 5)


def test_jpeg_is_close_to_what_was_written(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 1, 32).expand(3, 16, 32)
    image = rio.read(rio.write(tmp_path / "a.jpg", ramp, quality=95))
    assert (image.data - ramp).abs().max() < 0.03  # quality 95 of a smooth ramp: a few levels of 255


def test_a_folder_gives_its_pictures_and_names_the_rest(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "a.tif", ".hidden.png", "A.npy"):
        rio.write(tmp_path / name, torch.zeros(4, 4))
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("hello there")
    (tmp_path / "empty.png").touch()
    (tmp_path / "sub").mkdir()
    files, skipped = rio.expand(tmp_path)
    assert [p.name for p in files] == ["A.npy", "b.png"]
    reasons = {p.name: why for p, why in skipped}
    assert set(reasons) == {".DS_Store", ".hidden.png", "a.png", "a.tif", "empty.png", "notes.txt", "sub"}
    assert "same name" in reasons["a.tif"]
    assert "text" in reasons["notes.txt"]
    assert "empty" in reasons["empty.png"]


def test_a_folder_without_pictures_is_an_error_that_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(rio.ReadError, match="empty folder"):
        rio.expand(tmp_path)
    (tmp_path / "notes.txt").write_text("hello there")
    with pytest.raises(rio.ReadError, match=r"notes\.txt"):
        rio.expand(tmp_path)
    with pytest.raises(rio.ReadError, match="no such file"):
        rio.expand(tmp_path / "none")


def test_a_file_expands_to_itself(tmp_path: Path) -> None:
    path = rio.write(tmp_path / "a.png", torch.zeros(4, 4))
    assert rio.expand(path) == ([path], [])


def test_folders_are_paired_by_stem(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    for path in (one / "a.png", one / "b.png", two / "a.npy"):
        rio.write(path, torch.zeros(4, 4))
    with pytest.raises(rio.ReadError, match=r"b\.png.*allow-missing"):
        rio.pair_by_stem(one, two)
    found = rio.pair_by_stem(one, two, allow_missing=True)
    assert found.pairs == ((one / "a.png", two / "a.npy"),)
    assert found.only_first == (one / "b.png",)
    assert rio.pair_by_stem(one / "b.png", two / "a.npy").pairs == ((one / "b.png", two / "a.npy"),)
    (two / "a.npy").rename(two / "z.npy")
    with pytest.raises(rio.ReadError, match="without a partner"):
        rio.pair_by_stem(one, two, allow_missing=True)
    with pytest.raises(rio.ReadError, match="folder"):
        rio.pair_by_stem(one, two / "z.npy")
