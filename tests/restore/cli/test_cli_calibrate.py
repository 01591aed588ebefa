"""`restore calibrate`, and `restore run --calibration`: bounds that were promised hold, and for no other run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import restore
from restore.calibration import record

PICTURES = 12
SIDE = 32


@pytest.fixture
def folder(here: Path) -> Path:
    """Pictures of one kind: smooth waves of random phase."""
    (here / "in").mkdir()
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.linspace(0, 6, SIDE), torch.linspace(0, 6, SIDE), indexing="ij")
    for k in range(PICTURES + 8):
        one, other, shade = torch.rand(3, generator=generator)
        wave = 0.5 + 0.3 * torch.sin(rows * (1 + one) + 6 * other) * torch.cos(columns + 6 * shade)
        restore.write(here / ("in" if k < PICTURES else "new") / f"{k:02}.png", _made(here / "new", wave))
    return here / "in"


def _made(folder: Path, wave: torch.Tensor) -> torch.Tensor:
    folder.mkdir(exist_ok=True)
    return wave.expand(3, SIDE, SIDE).contiguous()


def calibrated(command, folder: Path, *more: object) -> record.Calibration:
    ended = command("calibrate", "--task", "denoise", "--input", folder, "--out", "c.json", "--quiet", *more)
    assert ended.status == 0, ended.err
    return record.read(Path("c.json"))


def test_bounds_of_a_calibration_hold_for_new_pictures_and_are_said(command, folder, here) -> None:
    found = calibrated(command, folder, "--solver", "tv")
    assert (found.pictures, found.level, found.with_truth, found.width) == (PICTURES, 0.9, True, "constant")
    ended = command("run", "--task", "denoise", "--input", here / "new", "--solver", "tv", "--calibration", "c.json",
                    "--out", "out")  # fmt: skip
    assert ended.status == 0, ended.err
    assert "of pictures like the 12 of the calibration" in ended.out and "12 calibration pictures are few" in ended.out
    rows = [json.loads(path.read_text()) for path in sorted((here / "out").glob("*/metrics.json"))]
    kept = [row["psnr"] >= row["calibration"]["quality"]["psnr"]["at_least"] for row in rows]
    assert len(rows) == 8 and sum(kept) >= 6  # 90 % of them on average
    assert rows[0]["calibration"]["sha256"] == found.digest
    page = next((here / "out").glob("*/report.html")).read_text("utf-8")
    assert "Calibration" in page and "of the calibration" in page


def test_draws_give_intervals_by_their_spread_a_bound_of_their_own_and_a_factor(
    command, folder, here, tiny_prior
) -> None:
    words = ("--prior", tiny_prior, "--solver", "dps", "--set", "solver.steps=2", "--samples", "3")
    found = calibrated(command, folder, *words)
    assert found.width == "std" and found.spread is not None and found.spread[0] >= 0
    assert {bound.metric for bound in found.quality} == {"psnr", "ssim"}
    assert all(bound.margin is not None for bound in found.quality)
    ended = command("run", "--task", "denoise", "--input", here / "new" / "12.png", *words, "--calibration", "c.json",
                    "--out", "out")  # fmt: skip
    assert ended.status == 0, ended.err
    table = json.loads((here / "out/metrics.json").read_text())["calibration"]
    assert table["interval"]["width"] == "std" and table["quality"]["psnr"]["at_least"] is not None


def test_measurements_alone_give_a_bound_on_the_measured_part(command, folder) -> None:
    found = calibrated(command, folder, "--solver", "tv", "--measured", "--sigma", "0.05")
    assert not found.with_truth and found.pixels is None and not found.quality and found.measured is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--solver", "median"), "solver"),
        (("--solver", "tv", "--set", "solver.steps=7"), "solver"),
        (("--solver", "tv", "--set", "noise.sigma=0.2"), "task"),
    ],
)
def test_a_calibration_of_another_run_is_refused_before_any_work(command, folder, here, words, said) -> None:
    calibrated(command, folder, "--solver", "tv")
    ended = command("run", "--task", "denoise", "--input", here / "new" / "12.png", "--calibration", "c.json",
                    "--out", "out", *words)  # fmt: skip
    assert ended.status == 2 and f"of another run ({said}: " in ended.err and not (here / "out").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"format": "restore-calibration-1"}',
        "nonsense",
        '{"format": "restore-calibration-1", "level": 2}',
    ],
)
def test_a_file_that_is_no_calibration_is_one_line(command, picture, here, text) -> None:
    (here / "c.json").write_text(text)
    ended = command("run", "--task", "denoise", "--input", picture, "--solver", "tv", "--calibration", "c.json")
    assert ended.status == 2 and "is no calibration file" in ended.err and ended.err.count("\n") == 1


def test_an_edited_number_is_refused_or_stays_a_number(command, folder, here) -> None:
    calibrated(command, folder, "--solver", "tv")
    table = json.loads((here / "c.json").read_text())
    for key, value in (
        ("pixels", "wide"),
        ("level", 0),
        ("quality", 3),
        ("quality", [{"metric": "psnr"}]),
        ("spread", 1),
    ):
        (here / "c.json").write_text(json.dumps({**table, key: value}))
        ended = command("run", "--task", "denoise", "--input", here / "new" / "12.png", "--solver", "tv",
                        "--calibration", "c.json")  # fmt: skip
        assert ended.status == 2 and "is no calibration file" in ended.err, (key, value)


def test_too_few_pictures_and_an_existing_file_are_refused_before_any_work(command, folder, here) -> None:
    ended = command("calibrate", "--task", "denoise", "--input", folder, "--level", "0.99", "--out", "c.json")
    assert ended.status == 2 and "99 or more" in ended.err and not (here / "c.json").exists()
    (here / "c.json").write_text("mine")
    ended = command("calibrate", "--task", "denoise", "--input", folder, "--out", "c.json")
    assert ended.status == 2 and "exists" in ended.err and (here / "c.json").read_text() == "mine"


def test_without_a_truth_other_noise_is_refused(command, folder) -> None:
    ended = command("calibrate", "--task", "denoise-poisson", "--input", folder, "--measured", "--out", "c.json",
                    "--solver", "tv")  # fmt: skip
    assert ended.status == 2 and ended.err.count("failed") == PICTURES and "Gaussian" in ended.err


def test_what_was_measured_and_what_was_filled_in_is_shown(fast, picture, here) -> None:
    ended = fast("--task", "inpaint-random", "--input", picture, "--origin", "--out", "out")
    assert ended.status == 0, ended.err
    page = (here / "out/report.html").read_text("utf-8")
    assert "Measured part" in page and "Filled in by the prior" in page and "rho" in page


def test_a_measurement_that_is_not_linear_has_no_measured_part(fast, picture) -> None:
    ended = fast("--task", "hdr", "--input", picture, "--origin", "--out", "out")
    assert ended.status == 2 and "not linear" in ended.err


def test_the_parts_of_a_result_are_those_of_its_problem(face) -> None:
    problem = restore.tasks.load("inpaint-random").problem(face)
    result = restore.solve(problem, solver="tv")
    parts = result.origin()
    assert torch.allclose(parts.measured + parts.filled_in, result.estimate, atol=1e-6)
    seen = problem.operator.observed.expand_as(result.estimate)
    assert float(parts.filled_in[seen].abs().max()) < 1e-3 and float(parts.measured[~seen].abs().max()) == 0
