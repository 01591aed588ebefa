"""`--task denoise-blind`: the file is the measurement, a network learns from it, is kept, and a stopped run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

import priors
import restore
from operators import Identity
from operators.noise import Gaussian
from priors.selfsupervised.blindspot import SubSampledBlindSpot
from priors.selfsupervised.prior import SelfSupervisedPrior
from priors.selfsupervised.training import Training
from restore.reconstruction import read_result
from restore.runs import fitting

QUICK = "(steps=3,batch=1,crop=16,width=4)"


@pytest.fixture(autouse=True)
def own_cache(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))


def noisy(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    source = np.random.default_rng(seed)
    return np.clip(0.5 + 0.1 * source.standard_normal(shape), 0, 1).astype(np.float32)


def estimate(out: Path) -> Tensor:
    return read_result(out / "result.h5").arrays["estimate"]


def provenance(out: Path) -> dict[str, Any]:
    return read_result(out / "result.h5").attributes["provenance"]


def test_a_noisy_file_needs_no_word_but_the_solver_and_what_it_taught_is_kept(command: Any, here: Path) -> None:
    np.save(here / "noisy.npy", noisy((20, 22)))
    arguments = ("run", "--task", "denoise-blind", "--solver", "noise2score", "--input", "noisy.npy")
    ended = command(*arguments, "--prior", f"noise2score{QUICK}", "--keep-prior", "mine", "--out", "one")
    assert ended.status == 0, ended.err
    assert "estimated" in ended.err and "--prior mine.safetensors" in ended.err
    assert provenance(here / "one")["fit"]["calls"] == 3
    with safe_open(here / "mine.safetensors", framework="pt") as file:
        assert "noisy" in file.metadata()["notes"]
    ended = command(*arguments, "--prior", "mine.safetensors", "--out", "two")
    assert ended.status == 0 and "fit" not in provenance(here / "two")
    torch.testing.assert_close(estimate(here / "one"), estimate(here / "two"), rtol=1e-5, atol=1e-6)
    ended = command(*arguments, "--prior", f"noise2score{QUICK}", "--out", "three")
    assert ended.status == 0 and provenance(here / "three")["fit"]["kept"]


def test_a_stack_comes_out_as_a_stack_and_its_slices_share_a_network(command: Any, here: Path) -> None:
    np.save(here / "stack.npy", noisy((6, 16, 18)))
    ended = command(
        *("run", "--task", "denoise-blind", "--solver", "sdap", "--prior", f"sdap{QUICK}"),
        *("--input", "stack.npy", "--out", "out", "--axes", "DHW"),
    )
    assert ended.status == 0, ended.err
    assert np.load(here / "out" / "estimate.npy").shape == (6, 16, 18)


def test_in_a_folder_each_picture_teaches_and_keeps_its_own(command: Any, here: Path) -> None:
    (here / "many").mkdir()
    for k in (1, 2):
        np.save(here / "many" / f"p{k}.npy", noisy((16, 16), k))
    ended = command(
        *("run", "--task", "denoise-blind", "--solver", "noise2void", "--prior", f"noise2void{QUICK}"),
        *("--input", "many", "--out", "out", "--keep-prior", "kept"),
    )
    assert ended.status == 0, ended.err
    loaded = [priors.load(str(here / f"kept-p{k}.safetensors")) for k in (1, 2)]
    assert all(isinstance(prior, SelfSupervisedPrior) and prior.trained for prior in loaded)
    assert loaded[0].sha256 != loaded[1].sha256


def test_a_run_that_was_stopped_while_it_learned_goes_on_from_there(here: Path) -> None:
    y = torch.from_numpy(noisy((1, 1, 16, 16)))
    problem = restore.tasks.load("denoise-blind").measured(y)
    prior = priors.load(f"sdap{QUICK}")

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(restore.driver.Interrupted):
        restore.solve(problem, prior, "sdap", watch_fit=stop)
    assert [path.name.endswith(".unfinished.safetensors") for path in fitting.folder().iterdir()] == [True]
    steps: list[int] = []
    resumed = restore.solve(problem, prior, "sdap", watch_fit=lambda done, _: steps.append(done))
    assert steps == [3]
    (kept,) = fitting.folder().iterdir()
    assert not kept.name.endswith(".unfinished.safetensors")
    kept.unlink()
    whole = restore.solve(problem, prior, "sdap", watch_fit=lambda done, _: steps.append(done))
    assert steps == [3, 1, 2, 3]
    torch.testing.assert_close(resumed.estimate, whole.estimate, rtol=1e-4, atol=1e-5)


def test_a_damaged_state_of_a_stopped_run_is_begun_anew(here: Path) -> None:
    y = torch.from_numpy(noisy((1, 1, 16, 16)))
    problem, prior = restore.tasks.load("denoise-blind").measured(y), priors.load(f"sdap{QUICK}")

    def stop(done: int, _: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(restore.driver.Interrupted):
        restore.solve(problem, prior, "sdap", watch_fit=stop)
    (state,) = fitting.folder().iterdir()
    state.write_bytes(state.read_bytes()[:-50])
    steps: list[int] = []
    restore.solve(problem, prior, "sdap", watch_fit=lambda done, _: steps.append(done))
    assert steps == [1, 2, 3]


@pytest.mark.parametrize(
    ("solver", "more", "said"),
    [
        ("dpir", ("--keep-prior", "x"), "learns nothing"),
        ("zs-n2n", ("--keep-prior", "x"), "no prior is used"),
        ("noise2score", ("--prior", "natural"), "self-supervised"),
        ("noise2score", ("--prior", "sdap"), "self-supervised"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    command: Any, here: Path, solver: str, more: tuple[str, ...], said: str
) -> None:
    np.save(here / "noisy.npy", noisy((16, 16)))
    ended = command("run", "--task", "denoise-blind", "--solver", solver, "--input", "noisy.npy", *more, "--out", "o")
    assert ended.status == 2 and said in ended.err and not (here / "o").exists()


def test_a_solver_that_only_denoises_is_refused_elsewhere(command: Any, picture: Path) -> None:
    ended = command("run", "--task", "sr2x", "--solver", "zs-n2n", "--input", picture, "--out", "o")
    assert ended.status == 2 and "denoises" in ended.err


def test_a_clean_picture_can_be_given_noise_first(command: Any, picture: Path, here: Path) -> None:
    ended = command(
        *("run", "--task", "denoise-blind", "--input", picture, "--out", "o"),
        *("--set", "input.measured=false", "--solver", "zs-n2n", "--set", "solver.steps=2"),
    )
    assert ended.status == 0, ended.err
    assert json.loads((here / "o" / "metrics.json").read_text())["psnr"] > 10


def test_the_level_of_a_noisy_file_is_that_of_the_command_line_where_it_is_told() -> None:
    y = torch.from_numpy(noisy((1, 1, 32, 32)))
    task = restore.tasks.load("denoise-blind")
    assert task.measured(y).sigma == pytest.approx(0.1, rel=0.1)
    assert task.measured(y, sigma=0.05).sigma == pytest.approx(0.05)


def test_a_problem_of_ones_own_teaches_the_prior_of_the_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SubSampledBlindSpot, "plan", lambda self: Training(2, 1, 15, multiple=5))
    y = torch.from_numpy(noisy((1, 1, 16, 16)))
    result = restore.solve(restore.Problem(y, Identity((1, 16, 16)), Gaussian(sigma=0.1)), solver="sdap")
    assert result.provenance["prior"]["name"] == "sdap" and result.provenance["fit"]["calls"] == 2
