"""A JPEG has no checksum: the size in its header is held against the coded data that fill it."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

import restore
from restore.io import ReadError

PHOTO = skimage.data.astronaut()
KINDS = {
    "baseline": {},
    "optimised": {"optimize": True},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "restarts": {"restart_marker_blocks": 3},
    "progressive": {"progressive": True},
    "progressive, restarts": {"progressive": True, "restart_marker_rows": 1},
    "coarse": {"quality": 10},
}


def encoded(kind: str, mode: str, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(PHOTO[: size[0], : size[1]])).convert(mode).save(buffer, "JPEG", **KINDS[kind])
    return buffer.getvalue()


def with_size(content: bytes, height: int, width: int) -> bytes:
    at = next(place for mark in (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2") if (place := content.find(mark)) > 0)
    return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 160), (23, 31), (200, 104)])
def test_a_whole_picture_is_read_and_one_of_another_size_is_not(
    tmp_path: Path, kind: str, mode: str, size: tuple[int, int]
) -> None:
    path, content = tmp_path / "x.jpg", encoded(kind, mode, size)
    path.write_bytes(content)
    assert restore.read(path).data.shape[-2:] == size
    changes = [(48, 0), (0, 48), (17_000, 0), (0, 17_000)]
    if min(size) > 100:
        changes += [(-16, 0), (0, -16), (16, 0), (0, 16)]
    for down, across in changes:
        path.write_bytes(with_size(content, size[0] + down, size[1] + across))
        with pytest.raises(ReadError, match="damaged JPEG"):
            restore.read(path)


def test_the_height_that_was_seen_damaged_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(with_size(encoded("baseline", "RGB", (31, 32)), 17_176, 32))
    with pytest.raises(ReadError, match="end before the picture") as caught:
        restore.read(tmp_path / "x.jpg")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["baseline", "progressive", "restarts"])
def test_a_picture_whose_last_quarter_is_gone_but_for_its_end_marker_is_refused(tmp_path: Path, kind: str) -> None:
    content = encoded(kind, "RGB", (200, 104))
    start = content.rfind(b"\xff\xda") if kind != "progressive" else content.find(b"\xff\xda")
    following = len(content) - 2 if kind != "progressive" else content.find(b"\xff\xc4", start)
    cut = start + (following - start) * 3 // 4
    (tmp_path / "x.jpg").write_bytes(content[:cut] + content[following:])
    with pytest.raises(ReadError):
        restore.read(tmp_path / "x.jpg")


def test_pictures_of_cameras_are_read(data_root: Path) -> None:
    paths = sorted((data_root / "real_noise" / "polyu_part" / "noisy").glob("*.[jJ][pP]*"))[:4]
    paths += sorted((data_root / "photos_full_chroma").glob("*.jpg"))[:4]
    assert len(paths) >= 4
    for path in paths:
        assert restore.read(path).data.ndim == 3
