"""`restore import` at the command line: what it prints, what it leaves, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from priors.files.checkpoints import ARCHITECTURES
from restore.cli import main


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_PRIORS", str(tmp_path / "priors"))
    return tmp_path / "priors"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    network = ARCHITECTURES.build("ir-sde", channels=3, channels_in=3, widths=(8, 16))
    path = tmp_path / "600000_G.pth"
    torch.save(network.state_dict(), path)
    return path


def test_an_import_prints_the_file_and_how_to_use_it(
    checkpoint: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(checkpoint), "--format", "ir-sde", "--name", "rain", "--set", "max_sigma=10"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{own_folder / 'rain.safetensors'}\nUse it with: --prior rain\n"
    assert "assumed steps 100" in err and "max_sigma" not in err
    assert main(["priors", "rain"]) == 0
    assert "600000_G.pth" in capsys.readouterr().out


def test_an_import_elsewhere_is_used_by_its_path(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    assert main(["import", str(checkpoint), "--format", "ir-sde", "--out", str(out), "--quiet", "--json"]) == 0
    told, err = capsys.readouterr()
    row = json.loads(told)
    assert row["prior"] == row["path"] == str(out / "600000_G.safetensors") and err == ""


def test_a_refusal_is_one_line_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"")
    assert main(["import", str(path), "--format", "rddm"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "is empty" in err
    assert main(["import", str(tmp_path / "none.pth"), "--format", "rddm"]) == 2
    assert "no such file" in capsys.readouterr().err
