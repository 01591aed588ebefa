"""Damaged files of every format, at random: each ends in a picture or in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import restore
from benchmarks.studies import fuzz
from operators import BadInput


def test_three_hundred_damaged_files_end_in_a_picture_or_in_one_line() -> None:
    tally = fuzz.fuzz(300, seed=11)
    assert tally.failures == []
    assert tally.refused > 200 and tally.read > 5 and min(tally.by_format.values()) > 10


def test_the_study_sees_a_reader_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = fuzz.files.read

    def careless(path: Path):
        if path.name.startswith("3-"):
            raise IndexError("list index out of range")
        return whole(path)

    monkeypatch.setattr(fuzz.files, "read", careless)
    tally = fuzz.fuzz(20, seed=0, keep=tmp_path)
    assert [ended for _, ended in tally.failures] == ["IndexError: list index out of range"]
    assert [path.name for path in tmp_path.iterdir()] == [name for name, _ in tally.failures]


def test_another_picture_under_a_checksum_is_a_failure(tmp_path: Path) -> None:
    (folder := tmp_path / "whole").mkdir()
    path = next(p for p in fuzz.originals(folder) if p.name == "gray.png")
    truth = restore.read(path).data
    assert fuzz.try_file(path, truth) == "read"
    assert "another picture" in fuzz.try_file(path, truth.flip(-1))


OME = """<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:own">
<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="9" SizeY="8" SizeC="1" SizeZ="2"
SizeT="1"><TiffData FirstZ="0" IFD="0"><UUID FileName="{first}">urn:uuid:own</UUID></TiffData>
<TiffData FirstZ="1" IFD="0"><UUID FileName="{second}">urn:uuid:{uuid}</UUID></TiffData></Pixels></Image></OME>"""


@pytest.mark.parametrize("second", ["../secret.tif", "/etc/secret.tif", "beside.tif"])
def test_files_that_an_ome_tiff_names_are_not_opened(tmp_path: Path, second: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for place in (tmp_path / "secret.tif", inner / "beside.tif"):
        tifffile.imwrite(place, np.full((8, 9), 77, np.uint8))
    text = OME.format(first="x.ome.tif", second=second, uuid="other")
    tifffile.imwrite(inner / "x.ome.tif", np.zeros((8, 9), np.uint8), description=text, metadata=None)
    with pytest.raises(BadInput, match="planes lie in other files"):
        restore.read(inner / "x.ome.tif", axes="DHW")


def test_the_hostile_ome_tiff_is_refused(data_root: Path) -> None:
    with pytest.raises(BadInput, match="planes lie in other files"):
        restore.read(data_root / "formats" / "hostile" / "outside.ome.tif")
