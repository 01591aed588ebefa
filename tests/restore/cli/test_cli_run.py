"""What `restore run` leaves behind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import restore
from restore.reconstruction import read_result

SCHEMA_KEYS = {
    "schema", "task", "task_version", "solver", "prior", "seed", "samples", "nfe", "seconds", "psnr", "ssim", "lpips",
    "conventions", "reasons", "chi2", "coverage", "verdict", "baseline",
}  # fmt: skip
FILES = {"estimate.png", "measurement.png", "comparison.png", "result.h5", "report.html", "metrics.json"}

Run = Callable[..., object]


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)


def test_a_run_leaves_six_files_and_nothing_beside_them(fast, picture, here) -> None:
    ended = fast("--task", "sr4x", "--input", picture, "--out", "out")
    assert ended.status == 0, ended.err
    assert {path.name for path in (here / "out").iterdir()} == FILES
    assert {path.name for path in here.iterdir()} == {"face.png", "out"}
    assert "report: out/report.html" in ended.out


def test_metrics_json_keeps_its_schema(fast, picture, here) -> None:
    fast("--task", "sr4x", "--input", picture, "--out", "out", "--samples", 2, "--seed", 5)
    table = metrics_of(here / "out")
    assert set(table) == SCHEMA_KEYS
    assert (table["schema"], table["task"], table["solver"], table["prior"]) == (1, "sr4x", "diffpir", "tiny")
    assert (table["seed"], table["samples"], table["nfe"]) == (5, 2, 2)
    assert table["conventions"]["psnr"] == "psnr[y601,crop=4]"
    assert set(table["coverage"]) == {"50", "90"} and all(0 <= share <= 1 for share in table["coverage"].values())
    assert {"name", "psnr", "ssim", "lpips", "seconds"} <= set(table["baseline"])
    for key in ("psnr", "ssim", "lpips"):
        assert (table[key] is None) == (key in table["reasons"])


def test_the_scores_are_those_of_the_stored_estimate(fast, picture, here) -> None:
    from skimage.metrics import peak_signal_noise_ratio

    fast("--task", "denoise", "--input", picture, "--out", "out")
    stored = read_result(here / "out/result.h5").arrays
    known, estimate = stored["truth"].numpy(), stored["estimate"].clamp(0, 1).numpy()
    expected = peak_signal_noise_ratio(known, estimate, data_range=1)
    assert metrics_of(here / "out")["psnr"] == pytest.approx(expected, abs=1e-4)  # float32 means


def test_the_same_command_gives_the_same_numbers(fast, picture, here) -> None:
    for out in ("one", "two"):
        fast("--task", "sr4x", "--input", picture, "--out", out, "--samples", 2, "--seed", 3)
    one, two = (read_result(here / out / "result.h5").arrays for out in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_seed_changes_the_measurement(fast, picture, here) -> None:
    for seed in (0, 1):
        fast("--task", "denoise", "--input", picture, "--out", f"out{seed}", "--seed", seed)
    one, two = (read_result(here / f"out{seed}/result.h5").arrays["y"] for seed in (0, 1))
    assert not torch.equal(one, two)


def test_json_prints_what_metrics_json_holds(fast, picture, here) -> None:
    ended = fast("--task", "sr4x", "--input", picture, "--out", "out", "--json")
    assert json.loads(ended.out) == metrics_of(here / "out")


def test_the_default_folder_is_named_by_task_stem_and_seed(fast, picture, here) -> None:
    fast("--task", "sr4x", "--input", picture, "--seed", 7)
    assert (here / "restore-out/sr4x-face-7/metrics.json").is_file()


def test_a_classical_solver_needs_no_prior(command, picture, here) -> None:
    ended = command("run", "--task", "denoise", "--input", picture, "--solver", "tikhonov", "--out", "out")
    assert ended.status == 0, ended.err
    table = metrics_of(here / "out")
    assert (table["solver"], table["prior"], table["nfe"]) == ("tikhonov", None, 0)


def test_the_baseline_can_be_left_out(fast, picture, here) -> None:
    fast("--task", "sr4x", "--input", picture, "--out", "out", "--no-baseline")
    baseline = metrics_of(here / "out")["baseline"]
    assert baseline["psnr"] is None and "no-baseline" in baseline["reasons"]["psnr"]


def test_sixteen_bits_stay_sixteen(fast, here) -> None:
    fine = (torch.arange(48 * 48).reshape(1, 48, 48).expand(3, -1, -1) * 7 + 20000) / 65535
    restore.write(here / "deep.png", fine, bits=16)
    ended = fast("--task", "denoise", "--input", "deep.png", "--out", "out")
    assert ended.status == 0, ended.err
    written = restore.read(here / "out/estimate.png")
    estimate = read_result(here / "out/result.h5").arrays["estimate"][0]
    assert written.meta.bits == 16
    # One half level of 16 bits; 8 bits would be 256 times coarser.
    assert float((written.data - estimate.clamp(0, 1)).abs().max()) <= 0.51 / 65535


def test_an_array_comes_back_as_an_array(fast, here, face) -> None:
    np.savez(here / "stack.npz", a=face.permute(1, 2, 0).numpy()[None], b=np.zeros(3))
    options = ("--dataset", "a", "--axes", "NHWC", "--index", 0)
    ended = fast("--task", "denoise", "--input", "stack.npz", *options, "--out", "out")
    assert ended.status == 0, ended.err
    assert (here / "out/estimate.npz").is_file() and (here / "out/estimate.png").is_file()
    assert "index 0" in ended.err


def test_a_folder_gives_one_result_for_each_picture_and_a_summary(fast, here, face) -> None:
    (here / "in").mkdir()
    restore.write(here / "in/a.png", face)
    restore.write(here / "in/b.png", face.flip(-1))
    (here / "in/notes.txt").write_text("nothing to see")
    ended = fast("--task", "sr2x", "--input", "in", "--out", "out")
    assert ended.status == 0, ended.err
    summary = json.loads((here / "out/summary.json").read_text())
    assert [row["name"] for row in summary["images"]] == ["a", "b"]
    assert set(summary["skipped"]) == {"notes.txt"} and "notes.txt" in ended.err
    assert summary["psnr"] == pytest.approx(np.mean([row["psnr"] for row in summary["images"]]))
    assert summary["counts"]["psnr"] == {"ok": 2, "failed": 0}
    assert set(FILES) == {path.name for path in (here / "out/a").iterdir()}


def test_a_picture_scores_the_same_alone_and_in_a_folder(fast, here, face) -> None:
    (here / "in").mkdir()
    restore.write(here / "in/a.png", face)
    restore.write(here / "in/b.png", face.flip(-1))
    fast("--task", "denoise", "--input", "in", "--out", "all")
    fast("--task", "denoise", "--input", "in/b.png", "--out", "one")
    assert metrics_of(here / "all/b")["psnr"] == metrics_of(here / "one")["psnr"]


def test_a_level_that_does_not_fit_is_said_in_terminal_file_and_report(fast, picture, here) -> None:
    command = ("--task", "denoise", "--input", picture, "--measured", "--sigma", "0.2")
    ended = fast(*command, "--out", "out")
    assert ended.status == 0, ended.err
    sentence = "The level does not fit the measurement"
    assert sentence in ended.out and sentence in (here / "out/report.html").read_text("utf-8")
    assert [text for text in metrics_of(here / "out")["verdict"] if text.startswith(sentence)]


def test_measured_input_has_no_truth_and_says_what_it_took(fast, picture, here) -> None:
    ended = fast("--task", "denoise", "--input", picture, "--measured", "--sigma", "estimate", "--out", "out")
    assert ended.status == 0, ended.err
    assert "noise sigma" in ended.err and "estimated" in ended.err
    table = metrics_of(here / "out")
    assert table["psnr"] is None and "truth" in table["reasons"]["psnr"] and math.isfinite(table["chi2"])


def test_a_low_resolution_file_is_enlarged_by_the_factor(fast, picture, here) -> None:
    ended = fast("--task", "sr4x", "--input", picture, "--measured", "--out", "out")
    assert ended.status == 0, ended.err
    assert restore.read(here / "out/estimate.png").shape == (3, 192, 192)


def test_compressed_measurements_come_back_from_their_file(fast, picture, here) -> None:
    fast("--task", "cs4x", "--input", picture, "--out", "one")
    options = ("--measured", "--dataset", "y", "--axes", "CHW")
    ended = fast("--task", "cs4x", "--input", "one/result.h5", *options, "--out", "two")
    assert ended.status == 2 and "--shape" in ended.err
    ended = fast("--task", "cs4x", "--input", "one/result.h5", *options, "--shape", "3,48,48", "--out", "two")
    assert ended.status == 0, ended.err
    one, two = (read_result(here / out / "result.h5").arrays["y"] for out in ("one", "two"))
    assert torch.equal(one, two)


def test_results_can_be_repeated_bit_for_bit(fast, command, picture, here) -> None:
    fast("--task", "sr4x", "--input", picture, "--out", "out", "--samples", 2)
    ended = command("rerun", "out/result.h5", "--json")
    verdict = json.loads(ended.out)
    assert ended.status == 0 and verdict["bitwise"] and verdict["measurement"]


def test_a_rerun_refuses_other_weights(fast, command, picture, here, tiny_prior) -> None:
    from priors.files.checkpoints import save_network
    from priors.networks.unet import UNet

    fast("--task", "sr4x", "--input", picture, "--out", "out")
    settings = {"channels": 3, "widths": [8, 8], "blocks": [1, 1], "unshuffle": 2, "embedding": 16}
    other = UNet(**settings)
    for parameter in other.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    preconditioning = {"kind": "edm", "sigma_data": 0.5}
    save_network(
        here / "b.safetensors", other, architecture="unet", settings=settings, preconditioning=preconditioning, notes={}
    )
    ended = command("rerun", "out/result.h5", "--prior", "b.safetensors")
    assert ended.status == 2 and "weights" in ended.err


def test_a_report_is_written_again_from_the_result(fast, command, picture, here) -> None:
    fast("--task", "sr4x", "--input", picture, "--out", "out")
    first = (here / "out/report.html").read_text()
    (here / "out/report.html").unlink()
    ended = command("report", "out/result.h5")
    assert ended.status == 0, ended.err
    again = (here / "out/report.html").read_text()
    assert "restore run" in again and len(again) == pytest.approx(len(first), rel=0.2)


def test_samples_of_a_solver_that_draws_nothing_are_one_and_it_is_said(command, picture, here) -> None:
    asked = ("--solver", "tikhonov", "--samples", 4)
    ended = command("run", "--task", "denoise", *asked, "--input", picture, "--out", "o")
    assert ended.status == 0 and "tikhonov draws nothing: it is run once" in ended.err
    table = metrics_of(here / "o")
    assert table["samples"] == 1 and table["coverage"] is None
