"""A chunk is unpacked whole, however little of it is wanted."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import restore
from operators import BadInput


def test_a_small_picture_in_an_enormous_chunk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chunk.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", (8, 8), maxshape=(None, None), chunks=(2048, 2048), dtype="f4", compression=1)
        data[...] = 0.5
    with pytest.raises(BadInput, match="an HDF5 chunk"):
        restore.read(path, max_pixels=2048 * 2048 // 4 - 1)
    assert restore.read(path, max_pixels=2048 * 2048 // 4).shape == (1, 8, 8)
    assert np.allclose(restore.read(path).data, 0.5)
