"""Data sets by name: manifests, folders of the user's own, archives, and one clear line for what is missing."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from benchmarks.sets import collecting, datasets
from operators.common.errors import RestoreError
from restore.cli import main


@pytest.fixture(autouse=True)
def own_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTORE_CONFIG", str(tmp_path / "config"))


def test_every_set_names_source_licence_and_summary() -> None:
    for data_set in datasets.registry().values():
        assert data_set.summary and data_set.source and data_set.licence, data_set.name
        assert data_set.folder or data_set.file or data_set.package, data_set.name


def test_the_shipped_pictures_are_those_of_the_manifest() -> None:
    assert [picture.name for picture in datasets.find("shipped").pictures()] == [
        "astronaut",
        "camera",
        "chelsea",
        "coffee",
    ]
    assert all(picture.read().shape[0] in (1, 3) for picture in datasets.find("shipped").pictures())


def test_standard_layouts_are_recognised_and_their_files_are_those_of_the_manifests(data_root: Path) -> None:
    found = [d.name for d in datasets.registry().values() if d.folder and (data_root / d.folder).is_dir()]
    assert {"set5", "set14", "bsd68", "cbsd68"} <= set(found)
    for name in found:
        assert datasets.find(name).pictures(data_root)[0].read().data.numel()
    assert len(datasets.find("cbsd68").pictures(data_root)) == 68


def test_arrays_are_read_with_their_unit(data_root: Path) -> None:
    slices = datasets.find("chest-ct8").pictures(data_root)
    assert len(slices) == 8
    image = slices[3].read()
    assert image.meta.unit == "hu" and float(image.data.min()) < -500


@pytest.mark.parametrize(("name", "count"), [("kodak24", 24), ("set5", 5), ("urban100", 100)])
def test_other_pictures_do_not_pass_under_the_name_of_a_published_set(tiny: Path, name: str, count: int) -> None:
    with pytest.raises(RestoreError, match=rf"4 pictures.*'{name}'.*{count}.*my-{name}"):
        collecting.add(name, tiny)
    assert name not in datasets.user_entries()


def test_a_published_set_in_another_folder_keeps_its_name(data_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for picture in datasets.find("set5").pictures(data_root):
        (folder / picture.path.name).write_bytes(picture.path.read_bytes())
    assert collecting.add("set5", folder) == 5
    assert datasets.find("set5").home == folder.resolve()


def test_a_file_that_is_another_one_is_named(tiny: Path) -> None:
    picture = datasets.find("tiny").pictures()[0]
    picture.path.write_bytes((tiny / "p1.png").read_bytes())
    with pytest.raises(RestoreError, match=r"p0.png is not the file of data set 'tiny'"):
        picture.read()


def test_a_file_that_is_gone_is_named(tiny: Path) -> None:
    (tiny / "p2.png").unlink()
    with pytest.raises(RestoreError, match=r"1 of 4 pictures are not in .* \(p2.png\)"):
        datasets.find("tiny").pictures()


def test_extra_files_and_other_orders_change_nothing(tiny: Path) -> None:
    (tiny / "a-later-one.png").write_bytes((tiny / "p1.png").read_bytes())
    assert [picture.name for picture in datasets.find("tiny").pictures()] == ["p0", "p1", "p2", "p3"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_lands_in_its_folder_whatever_its_names_say(tmp_path: Path, kind: str) -> None:
    (tmp_path / "in.png").write_bytes(b"picture")
    target = tmp_path / "target"
    target.mkdir()
    archive = tmp_path / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as made:
            for name in ("deep/one.png", "../../two.png", "notes.txt"):
                made.write(tmp_path / "in.png", name)
    else:
        with tarfile.open(archive, "w") as packed:
            for name in ("deep/one.png", "../../two.png", "notes.txt"):
                packed.add(tmp_path / "in.png", name)
    collecting.unpack(archive, target)
    assert sorted(path.name for path in target.iterdir()) == ["one.png", "two.png"]
    assert not (tmp_path.parent / "two.png").exists()


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(RestoreError, match="cannot be unpacked"):
        collecting.unpack(tmp_path / "set.zip", tmp_path)


def test_the_command_adds_lists_and_finds_a_set(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "add", "mine", str(tiny)]) == 0
    assert main(["data", "path", "mine"]) == 0
    assert str(tiny) in capsys.readouterr().out
    assert main(["data", "list", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert listed["mine"]["here"] and listed["mine"]["images"] == 4


def test_a_missing_set_is_exit_2_and_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["data", "path", "urban100", "--data-root", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "restore data add urban100 FOLDER" in told
