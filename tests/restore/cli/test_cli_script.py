"""The Python snippet of the README gives the numbers of the command line."""

from __future__ import annotations

import pytest
import torch

import restore
from restore.reconstruction import read_result


@pytest.mark.parametrize("task", ["sr4x", "deblur-motion", "denoise"])
def test_the_snippet_of_the_readme_is_the_command_line_bit_for_bit(task, command, picture, here) -> None:
    ended = command("run", "--task", task, "--input", picture, "--out", "out", "--no-baseline")
    assert ended.status == 0, ended.err
    problem = restore.tasks.load(task).problem(restore.read(picture), seed=0)
    result = restore.solve(problem, seed=0)
    stored = read_result(here / "out/result.h5")
    assert torch.equal(result.estimate, stored.arrays["estimate"])
    for key in ("solver", "settings_from", "prior"):
        assert result.provenance[key] == stored.attributes["provenance"][key]


def test_provenance_says_that_the_caller_chose_settings(fast, picture, here) -> None:
    fast("--task", "sr4x", "--input", picture, "--out", "out")
    assert read_result(here / "out/result.h5").attributes["provenance"]["settings_from"] == "given"
