"""A prior that learns from the measurement, with settings of its own: one class and one line of a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import priors
import restore
from operators import BadInput, BadType
from operators.common.registry import Entry
from operators.common.settings import Count
from priors.base import DiffusionPrior, Prior
from restore.reconstruction import read_result
from restore.runs import fitting

NAME = "selftaught"
FITS: list[int] = []  # steps of each fit that was really made


class SelfTaught(DiffusionPrior):
    """A 3 x 3 filter that learns to undo noise added to the measurement.

    steps: of gradient descent.
    """

    def __init__(self, *, steps: Count = 5) -> None:
        super().__init__(shift=0.5, scale=0.5, native_clip=(-1.0, 1.0), channels=(3,))
        self.steps = steps
        self.filter = nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect", bias=False)
        nn.init.dirac_(self.filter.weight)
        self.name = NAME

    @property
    def fit_key(self) -> str:
        return f"steps={self.steps}"

    def fit(self, problem: Any, noise: Any, watch: Callable[[int, int], None]) -> Prior:
        taught = self.fitted(self.state_dict())
        y = problem.posed(self.space).y
        optimiser = torch.optim.SGD(taught.parameters(), lr=0.05)
        for step in range(self.steps):
            noisy = y + 0.2 * noise.normal("fit", y)
            loss = (taught.filter(noisy) - y).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            watch(step + 1, self.steps)
        FITS.append(self.steps)
        return taught

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        clean: Tensor = self.filter(z)
        return z + (clean - z) * (sigma / (sigma + 0.1)).reshape(-1, 1, 1, 1)


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch, here: Any) -> None:
    """The prior is in the table, and what it learns is kept in an empty folder."""
    monkeypatch.setitem(priors.REGISTRY._entries, NAME, Entry(f"{__name__}:SelfTaught", "learns from the file"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    FITS.clear()


def problem(face: Tensor) -> restore.Problem:
    return restore.tasks.load("denoise").problem(face, seed=2)


def test_a_prior_learns_once_before_all_samples_and_its_calls_are_counted(face: Tensor) -> None:
    seen: list[tuple[int, int]] = []
    result = restore.solve(
        problem(face), SelfTaught(), "dpir", samples=2, watch_fit=lambda done, total: seen.append((done, total))
    )
    assert seen == [(k, 5) for k in range(1, 6)] and FITS == [5]
    fit = result.provenance["fit"]
    assert (fit["calls"], fit["kept"]) == (5, False) and result.timing.fit > 0
    untaught = restore.solve(problem(face), Untaught(), "dpir")
    assert result.timing.other >= 0 and result.nfe == untaught.nfe > 0 and "fit" not in untaught.provenance
    assert not torch.equal(result.estimate, untaught.estimate)


class Untaught(SelfTaught):
    """The same filter, which learns nothing."""

    fit = Prior.fit


def test_what_was_learned_is_kept_by_content(face: Tensor) -> None:
    first = restore.solve(problem(face), SelfTaught(), "dpir")
    again = restore.solve(problem(face), SelfTaught(), "dpir")
    assert FITS == [5] and again.provenance["fit"]["kept"] and again.timing.fit == 0
    assert again.provenance["fit"]["calls"] == 5
    assert torch.equal(first.estimate, again.estimate)
    restore.solve(problem(face), SelfTaught(steps=4), "dpir")
    restore.solve(problem(face), SelfTaught(), "dpir", seed=1)
    restore.solve(problem(face.flip(-1)), SelfTaught(), "dpir")
    assert FITS == [5, 4, 5, 5]


def test_a_damaged_file_of_what_was_learned_is_learned_again(face: Tensor) -> None:
    first = restore.solve(problem(face), SelfTaught(), "dpir")
    (kept,) = fitting.folder().iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    again = restore.solve(problem(face), SelfTaught(), "dpir")
    assert FITS == [5, 5] and torch.equal(first.estimate, again.estimate)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    face: Tensor, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "file"))
    restore.solve(problem(face), SelfTaught(), "dpir")
    restore.solve(problem(face), SelfTaught(), "dpir")
    assert FITS == [5, 5]


def test_ctrl_c_while_a_prior_learns_stops_the_run(face: Tensor) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(restore.driver.Interrupted):
        restore.solve(problem(face), SelfTaught(), "dpir", watch_fit=stop)


def test_settings_of_a_prior_come_from_the_command_line_and_are_repeated(command: Any, picture: Any, here: Any) -> None:
    arguments = ("--task", "denoise", "--solver", "dpir", "--set", "solver.steps=3", "--input", picture)
    ended = command("run", *arguments, "--prior", NAME, "--set", "prior.steps=7", "--out", "out")
    assert ended.status == 0, ended.err
    provenance = read_result(here / "out/result.h5").attributes["provenance"]
    assert provenance["prior"]["name"] == f"{NAME}(steps=7)" and provenance["fit"]["calls"] == 7
    assert json.loads((here / "out/metrics.json").read_text())["prior"] == f"{NAME}(steps=7)"
    for name in (here / "cache").rglob("*.safetensors"):
        name.unlink()
    ended = command("rerun", "out/result.h5")
    assert ended.status == 0 and "bitwise equal" in ended.out + ended.err
    assert FITS == [7, 7]


@pytest.mark.parametrize(
    ("settings", "said"),
    [("prior.stps=7", "steps"), ("prior.steps=0", "at least 1"), ("prior.steps=2.5", "whole number")],
)
def test_a_wrong_setting_of_a_prior_is_refused_by_name(command: Any, picture: Any, settings: str, said: str) -> None:
    ended = command("run", "--task", "denoise", "--input", picture, "--prior", NAME, "--set", settings, "--out", "out")
    assert ended.status == 2 and "prior" in ended.err and said in ended.err


def test_a_task_file_may_hold_settings_and_an_adapter_of_its_prior(face: Tensor) -> None:
    table = restore.tasks.load("denoise").table
    task = restore.tasks.Task.from_table({**table, "name": "mine", "prior": {"name": NAME, "steps": 3}})
    assert task.prior_for() == f"{NAME}(steps=3)"
    prior = priors.load(task.prior_for())
    assert isinstance(prior, SelfTaught) and prior.steps == 3
    adapted: Mapping[str, Any] = {"name": "natural", "adapter": {"name": "window", "low": 0, "high": 0.04}}
    task = restore.tasks.Task.from_table({**table, "name": "mine", "prior": adapted})
    assert priors.load(task.prior_for()).clip == pytest.approx((0.0, 0.04))


def test_the_settings_of_a_prior_in_one_word_are_held_against_what_it_takes() -> None:
    assert priors.load(f"{NAME}(3)").name == f"{NAME}(steps=3)"  # by place
    assert priors.load(NAME, steps=4).name == f"{NAME}(steps=4)"
    with pytest.raises(BadType, match="no parameter 'sigma'"):
        priors.load(f"{NAME}(sigma=3)")
    with pytest.raises(BadInput, match="2 settings"):
        priors.load(f"{NAME}(3,4)")
    with pytest.raises(BadInput, match="Leave the adapter out"):
        priors.load(f"{NAME}:bands")
