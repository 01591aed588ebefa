"""Levels found in real pairs, and the study that prints them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import restore
from benchmarks.studies import noise_levels


def test_levels_of_real_pairs_are_near_the_truth(data_root: Path) -> None:
    """SIDD: within 20 % in nine crops of ten. PolyU: the median between .7 and 1.3. The white estimate is far below."""
    for name, crops in (("sidd", 10), ("polyu", 13)):
        rows = [
            noise_levels.measured(name, crop, noisy, clean, None)
            for crop, noisy, clean in noise_levels.pairs(data_root, name, crops)
        ]
        ratios = torch.tensor([row.ratio for row in rows])
        assert len(rows) == crops and 0.7 <= float(ratios.quantile(0.5)) <= 1.3, name
        if name == "sidd":
            assert int(((ratios - 1).abs() <= 0.2).sum()) >= 9
            assert all(1.2 <= row.found.level / row.truth <= 2.5 for row in rows)
        assert sorted(row.found.white / row.truth for row in rows)[len(rows) // 2] < 0.6


def test_the_study_prints_each_pair_and_a_line_for_its_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "real_noise" / "sidd_val_part"
    generator = torch.Generator().manual_seed(0)
    for k in range(3):
        clean = (0.3 + 0.4 * torch.linspace(0, 1, 64)).expand(3, 64, 64)
        noisy = clean + 0.04 * torch.randn(3, 64, 64, generator=generator)
        for part, picture in (("gt", clean), ("noisy", noisy)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            restore.write(folder / part / f"{k}.png", picture.clamp(0, 1))
    arguments = ["--set", "sidd", "--data", str(tmp_path), "--crops", "2"]
    assert noise_levels.main([*arguments, "--no-denoise"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("| sidd |") == 2 and "within 20 % in 2" in printed and "PSNR gain" not in printed
    assert noise_levels.main(arguments) == 0
    assert "PSNR gain mean +" in capsys.readouterr().out
    assert noise_levels.main(["--set", "polyu", "--data", str(tmp_path)]) == 2
    assert "no pictures" in capsys.readouterr().err
