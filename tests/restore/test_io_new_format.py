"""A format that nobody knew: its file and its line in the table are all that it takes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import restore
import restore.io as rio
from benchmarks.cases.planning import Context
from benchmarks.runs import executors, mapping
from benchmarks.runs.mapping.request import Request
from restore.cli import main
from restore.io.format import FormatLine
from restore.io.formats import FORMATS, load

CUBE = np.random.default_rng(0).random((40, 5, 36), np.float32)  # lines, bands, samples
LINE = FormatLine(
    "twin_format:FORMAT", "TWIN, a header and its data", suffixes=(".twin",), recognise="twin_format:recognise"
)


@pytest.fixture
def cube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the new format, which is in the table."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setitem(FORMATS._entries, "twin", LINE)
    (tmp_path / "a.twin").write_text("TWIN\naxes = HCW\nshape = 40 5 36\ntype = <f4\nmm = 0.5\n")
    (tmp_path / "a.raw").write_bytes(CUBE.tobytes())
    return tmp_path / "a.twin"


@pytest.mark.parametrize("suffix", [".twin", ".raw"])
def test_it_is_read_by_either_of_its_files(cube: Path, suffix: str) -> None:
    image = rio.read(cube.with_suffix(suffix))
    assert np.array_equal(image.data.numpy(), CUBE.transpose(1, 0, 2))
    assert (image.meta.format, image.meta.axes, image.meta.unit) == ("twin", "HCW", "reflectance")
    assert image.meta.geometry is not None and image.meta.geometry.step("W") == 0.5
    before = image.meta.sha256
    cube.with_suffix(".raw").write_bytes((CUBE + 1).tobytes())
    assert rio.read(cube).meta.sha256 != before  # both files are the picture's


def test_extents_and_windows_are_parts_of_it(cube: Path) -> None:
    found = rio.extent(cube)
    assert (found.channels, found.height, found.width, found.axes) == (5, 40, 36, "HCW")
    window = rio.read(cube, window=(3, 17, 5, 21))
    assert np.array_equal(window.data.numpy(), CUBE.transpose(1, 0, 2)[:, 3:17, 5:21])


def test_damage_is_refused_in_one_line(cube: Path) -> None:
    whole = cube.read_text()
    for text in (whole.replace("mm", "cm"), whole.replace("40", "41"), whole.replace("40", "-4"), "TWIN\n", "TWIN\n?"):
        cube.write_text(text)
        with pytest.raises(rio.ReadError) as refusal:
            rio.read(cube)
        assert len(str(refusal.value).splitlines()) == 1
    cube.write_text(whole.replace("40 5 36", "100000000 100000000 4"))
    with pytest.raises(rio.ReadError):
        rio.extent(cube)


def test_it_comes_back_in_its_own_kind_from_a_run(cube: Path, tmp_path: Path) -> None:
    arguments = ["run", "--task", "denoise", "--solver", "tikhonov", "--input", str(cube), "--quiet"]
    assert main([*arguments, "--unit", "[0,1]", "--out", str(tmp_path / "out")]) == 0
    again = rio.read(tmp_path / "out" / "estimate.twin")
    assert again.meta.axes == "HCW" and np.abs(again.data.numpy() - CUBE.transpose(1, 0, 2)).mean() < 0.3


def test_both_files_are_written_or_neither(cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = rio.read(cube)
    rio.write_native(cube.with_name("b"), image.data, image.meta)
    assert torch.equal(rio.read(cube.with_name("b.twin")).data, image.data)
    assert rio.read(cube.with_name("b.twin")).meta.geometry == image.meta.geometry

    def breaks(path: Path, stored: np.ndarray, spec: object, data: Path) -> None:
        path.write_text("half")
        raise ZeroDivisionError

    import twin_format

    monkeypatch.setattr(twin_format, "FORMAT", dataclasses.replace(load("twin"), write=breaks))
    with pytest.raises(ZeroDivisionError):
        rio.write_native(cube.with_name("b"), 1 - image.data, image.meta)
    assert torch.equal(rio.read(cube.with_name("b.twin")).data, image.data)
    assert sorted(p.name for p in cube.parent.iterdir()) == ["a.raw", "a.twin", "b.raw", "b.twin"]


def test_a_large_one_is_restored_in_tiles(cube: Path, tmp_path: Path) -> None:
    large = np.random.default_rng(1).random((150, 2, 130), np.float32)
    cube.write_text("TWIN\naxes = HCW\nshape = 150 2 130\ntype = <f4\nmm = 0.5\n")
    cube.with_suffix(".raw").write_bytes(large.tobytes())
    request = Request("denoise", cube, {"unit": "[0,1]"}, solver="tikhonov", tile=96, halo=8)
    context = Context(settings={"device": "cpu", "dtype": "float32"})
    mapping.restore_file(request, tmp_path / "out.h5", context=context, executor=executors.make("serial"))
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["estimate"].shape == large.shape and file["estimate"].attrs["axes"] == "HCW"
        assert np.abs(file["estimate"][...] - large).mean() < 0.3


def test_a_folder_of_inputs_holds_one_picture_for_both_files(cube: Path) -> None:
    assert [path.name for path in rio.expand(cube.parent)[0]] == ["a.raw"]


def test_telling_formats_apart_imports_no_reader(tmp_path: Path) -> None:
    restore.write(tmp_path / "a.npy", torch.zeros(2, 2))
    code = (
        "import sys; from restore.io import expand; expand(sys.argv[1]);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'h5py', 'tifffile', 'restore.io.png')))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=30)


def test_every_line_of_the_table_names_a_format() -> None:
    for name in FORMATS:
        kind = load(name)
        assert callable(kind.read) and kind.depths and FORMATS[name].suffixes
