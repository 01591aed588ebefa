"""Residual processes from the command line: trained on pairs, used by their solvers, refused where they do not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pairs(here):
    """Two small pairs of pictures, inputs a quarter of their targets' size."""
    rng = np.random.default_rng(0)
    for kind, side in (("input", 16), ("target", 64)):
        (here / "pairs" / kind).mkdir(parents=True)
        for name in "ab":
            picture = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
            Image.fromarray(picture).save(here / "pairs" / kind / f"{name}.png")
    return here / "pairs"


def test_a_process_is_trained_on_pairs_and_used(command, pairs, here, quick_recipes):
    trained = command("train", "resshift", "--pairs", str(pairs), "--steps", "2", "--batch", "2", "--out", "runs")
    assert trained.status == 0, trained.err
    prior = here / "runs" / "resshift-pairs.safetensors"
    assert trained.out.strip() == "runs/resshift-pairs.safetensors" and prior.is_file()
    given = ("--task", "sr4x", "--input", str(pairs / "target" / "a.png"), "--prior", str(prior), "--out", "out")
    ran = command("run", *given, "--solver", "resshift", "--quiet")
    assert ran.status == 0, ran.err
    numbers = json.loads((here / "out" / "metrics.json").read_text())
    assert (numbers["solver"], numbers["nfe"]) == ("resshift", 4)
    wrong = command("run", *given[:-1], "out2", "--solver", "rddm")
    assert wrong.status == 2
    assert "is a resshift prior" in wrong.err and "restore train rddm" in wrong.err
    assert not (here / "out2").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("resshift",), "one of --task NAME and --pairs DIR"),
        (("resshift", "--task", "sr4x", "--pairs", "pairs"), "one of --task NAME and --pairs DIR"),
        (("natural", "--task", "sr4x"), "learns from pictures alone"),
        (("rddm", "--pairs", "nowhere"), "nowhere is not a folder"),
        (("rddm", "--task", "sr5x", "--data", "."), "unknown task"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(command, pairs, given, said):
    ended = command("train", *given)
    assert ended.status == 2
    assert said in " ".join(ended.err.split())
    assert "Traceback" not in ended.err


def test_the_natural_prior_is_refused_by_a_residual_solver(command, pairs, here):
    picture = str(pairs / "target" / "a.png")
    ended = command("run", "--task", "sr4x", "--input", picture, "--solver", "mrs", "--prior", "natural")
    assert ended.status == 2
    assert "is a diffusion prior" in ended.err and "restore train ir-sde" in ended.err
    assert not (here / "restore-out").exists()
