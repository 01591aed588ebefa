"""The study of denoisers without clean pictures: what it reads, what it counts, and what the methods get to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import skimage.io
import torch

from benchmarks.studies import noisy


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folders = [tmp_path / "data" / folder for folder in (*noisy.SETS["sidd"], noisy.SETS["set12"][0])]
    source = np.random.default_rng(0)
    for folder in folders:
        folder.mkdir(parents=True)
    for k in range(2):
        picture = skimage.data.astronaut()[50 : 50 + 40, 180 + 40 * k : 220 + 40 * k]
        grainy = np.clip(picture + 20 * source.standard_normal(picture.shape), 0, 255).astype(np.uint8)
        skimage.io.imsave(folders[0] / f"{k}.png", picture, check_contrast=False)
        skimage.io.imsave(folders[1] / f"{k}.png", grainy, check_contrast=False)
        skimage.io.imsave(folders[2] / f"{k}.png", picture[..., 0], check_contrast=False)
    return tmp_path / "data"


def test_pairs_are_cut_alike_and_simulated_noise_has_its_level(root: Path) -> None:
    real = noisy.pairs("sidd", 0.0, 2, 32, root)
    assert [case.name for case in real] == ["0", "1"]
    assert all(case.noisy.shape == case.truth.shape == (3, 32, 32) for case in real)
    assert float((real[0].noisy - real[0].truth).std()) == pytest.approx(20 / 255, rel=0.1)
    (made,) = noisy.pairs("set12", 50.0, 1, 40, root)
    assert float((made.noisy - made.truth).std()) == pytest.approx(50 / 255, rel=0.1)
    (again,) = noisy.pairs("set12", 50.0, 1, 40, root)
    assert torch.equal(made.noisy, again.noisy)


def test_the_table_has_a_line_for_each_method_of_each_set(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(root), "--pictures", "2", "--size", "32", "--steps", "2"]
    status = noisy.main([*words, "--set", "sidd", "set12", "--methods", "sdap", "zs-n2n", "tv", "--together"])
    lines = capsys.readouterr().out.splitlines()
    assert status == 0 and len(lines) == 9
    assert [line.split()[1] for line in lines[1:5]] == ["noisy", "sdap", "zs-n2n", "tv"]
    assert float(lines[4].split()[-2]) > float(lines[1].split()[-1])  # total variation gains on these


def test_a_data_root_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert noisy.main(["--data", str(tmp_path / "none")]) == 2
    assert "not a folder" in capsys.readouterr().err
