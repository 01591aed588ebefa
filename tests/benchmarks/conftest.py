"""A set of four tiny pictures, and the methods of these tests where they can be imported by name."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import restore

# Workers of another process import the methods by name, as they would those of a user.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four pictures of 40 x 36 pixels as the set "tiny", from dark to bright."""
    monkeypatch.setenv("RESTORE_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("RESTORE_WEIGHTS", raising=False)
    import bench_helpers

    from benchmarks.sets import collecting

    folder = tmp_path / "pictures"
    folder.mkdir()
    source = np.random.default_rng(0)
    for k in range(4):
        picture = torch.from_numpy(source.random((3, 40, 36)) * 0.4 + 0.2 * k)
        restore.write(folder / f"p{k}.png", picture.float())
    collecting.add("tiny", folder)
    (tmp_path / "plain.toml").write_text(bench_helpers.TASK)
    monkeypatch.chdir(tmp_path)
    return folder
