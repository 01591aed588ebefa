"""The study of calibrated bounds prints a line for each, and its coverages are those of the splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import restore
from benchmarks.studies import calibration
from restore.calibration.collect import FACTORS, Scores


def test_the_study_prints_a_line_for_every_bound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = torch.Generator().manual_seed(0)
    for k in range(2):
        restore.write(tmp_path / f"{k}.png", torch.rand(3, 24, 24, generator=generator))
    words = ["--folder", str(tmp_path), "--count", "24", "--crop", "16", "--solver", "median", "--splits", "5"]
    assert calibration.main(words) == 0
    printed = capsys.readouterr().out
    for name in (
        "psnr (any picture)",
        "ssim (any picture)",
        "pixels inside",
        "measured part",
        "measured part, by SURE",
    ):
        assert name in printed, printed


def test_bounds_of_exchangeable_scores_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for value, error in zip(rng.normal(30, 2, 400), rng.gamma(3, 1, 400), strict=True):
        outside = np.clip(1 - FACTORS / error, 0, 1)
        rows.append(Scores({"samples": 1}, "3x8x8", float(error), outside, {"psnr": float(value)}))
    found = calibration.coverages(rows, [], level=0.9, splits=60, seed=1)
    assert found["psnr (any picture)"].mean() == pytest.approx(0.9, abs=0.01)
    assert found["measured part"].mean() == pytest.approx(0.9, abs=0.01)
    assert found["pixels inside"].mean() == pytest.approx(0.9, abs=0.015)
