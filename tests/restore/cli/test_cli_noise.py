"""`restore doctor --input`, and what `--sigma estimate` leaves in a run's folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import restore
from restore.reconstruction import read_result


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """A smooth picture with correlated noise of 0.06, 96 x 80, eight bits."""
    rows, columns = torch.linspace(0, 1, 96)[:, None], torch.linspace(0, 1, 80)
    clean = (0.5 + 0.3 * torch.sin(3 * rows) * torch.cos(5 * columns)).expand(3, 96, 80)
    one = torch.tensor([1.0, 2.0, 1.0])
    drawn = torch.randn(3, 1, 98, 82, generator=torch.Generator().manual_seed(0))
    noise = torch.nn.functional.conv2d(drawn, (torch.outer(one, one) / 6)[None, None])[:, 0]
    path = tmp_path / "noisy picture.png"
    restore.write(path, (clean + 0.06 * noise).clamp(0, 1))
    return path


def test_the_doctor_says_what_noise_a_file_has(command, noisy: Path, tmp_path: Path) -> None:
    ended = command("doctor", "--input", noisy, "--out", tmp_path / "page.html")
    assert ended.status == 0, ended.err
    for words in ("does not hold", "correlated", "restore run --task denoise", "--sigma estimate", "page.html"):
        assert words in ended.out
    page = (tmp_path / "page.html").read_text("utf-8")
    assert (
        page.count("<svg") == 2
        and "noisy picture.png" in page
        and "<script" not in page
        and "http:" not in (page.replace("http://www.w3.org", ""))
    )
    assert command("doctor", "--input", noisy, "--out", tmp_path / "plot.svg").status == 0
    assert (tmp_path / "plot.svg").read_text("utf-8").startswith("<svg")


def test_the_doctor_speaks_json_and_reads_dark_frames(command, noisy: Path, tmp_path: Path) -> None:
    darks = []
    for k in range(3):
        frame = 0.1 + 0.02 * np.random.default_rng(k).standard_normal((64, 64))
        np.save(tmp_path / f"dark{k}.npy", frame.astype(np.float32))
        darks += ["--dark", tmp_path / f"dark{k}.npy"]
    ended = command("doctor", "--input", noisy, *darks, "--json")
    assert ended.status == 0, ended.err
    told = json.loads(ended.out)
    assert told["kind"] == "correlated" and told["sigma"] == pytest.approx(0.06, rel=0.15)
    assert told["level_for_prior"] > told["sigma"] and told["dark"]["read_sigma"] == pytest.approx(0.02, rel=0.05)
    assert told["step"] == pytest.approx(1 / 255) and told["advice"]["task"] == "denoise" and not told["clean"]
    spoken = command("doctor", "--input", noisy, *darks)
    assert "3 dark frames" in spoken.out


def test_what_the_doctor_cannot_do_is_said_in_one_line(command, noisy: Path, tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text("mine", "utf-8")
    for arguments, words in (
        (("--dark", noisy), "--input"),
        (("--input", noisy, "--fetch", "lpips"), "one thing"),
        (("--input", noisy, "--out", tmp_path / "page.pdf"), ".html"),
        (("--input", noisy, "--out", tmp_path / "there.html"), "--overwrite"),
        (("--input", tmp_path / "absent.png"), "absent.png"),
    ):
        ended = command("doctor", *arguments)
        assert ended.status == 2 and words in ended.err and "Traceback" not in ended.err, arguments
    assert (tmp_path / "there.html").read_text("utf-8") == "mine"
    assert command("doctor", "--input", noisy, "--out", tmp_path / "there.html", "--overwrite").status == 0


def test_both_levels_are_in_notes_and_provenance_and_a_run_repeats(fast, noisy: Path, here: Path) -> None:
    ended = fast("--task", "denoise", "--input", noisy, "--measured", "--sigma", "estimate", "--out", "out")
    assert ended.status == 0, ended.err
    assert "correlated" in ended.err and "a prior is given" in ended.err
    stored = read_result(here / "out/result.h5").attributes
    sigma, level = stored["recipe"]["noise"]["sigma"], stored["recipe"]["prior_level"]
    assert level > sigma == pytest.approx(0.06, rel=0.15)
    assert stored["provenance"]["noise_level_of_prior"] == level and str(sigma) in stored["provenance"]["noise"]
    assert f"{level:.4g}" in (here / "out/report.html").read_text("utf-8")
    from restore.runs.again import repeat

    assert repeat(here / "out/result.h5").bitwise
