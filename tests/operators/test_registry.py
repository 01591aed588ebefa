"""Lazy tables: what an entry loads, and what its parameters take. Annotations are classes here, no `__future__`."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

import operators
import restore
from operators import BadInput, BadType, Entry, Registry
from operators.common.registry import check_types

CARDS = Path(__file__).parents[2] / "docs" / "cards" / "operators"


def shifted(
    shape, *, steps: int = 1, rate: float = 0.5, kind: Literal["a", "b"] = "a", mask: torch.Tensor | None = None
):
    return steps, rate, kind, mask


@pytest.mark.parametrize(
    "given",
    [
        {"steps": np.int64(3)},
        {"rate": 1},
        {"rate": np.float32(0.5)},
        {"rate": torch.tensor(0.5)},
        {"kind": "b"},
        {"mask": None},
        {"mask": np.ones(3)},
    ],
)
def test_values_of_the_right_kind_pass(given):
    check_types(shifted, given, where="here")


@pytest.mark.parametrize("given", [{"steps": "3"}, {"steps": 2.5}, {"steps": True}, {"rate": "a"}, {"kind": 3}])
def test_values_of_another_kind_are_refused_by_name(given):
    with pytest.raises(BadType, match=f"{next(iter(given))} is .* for here"):
        check_types(shifted, given, where="here")


@pytest.mark.parametrize("name", operators.REGISTRY)
def test_every_operator_has_a_card(name):
    assert (CARDS / f"{name}.md").read_text("utf-8").startswith(f"# {name}")


@pytest.mark.parametrize(
    "target", ["operators.core.identit:Identity", "operators.core.identity:Identit", "nowhere.at.all:Thing"]
)
def test_an_entry_that_names_nothing_says_which(target):
    table = Registry("operator", {"lost": Entry(target, "nothing")})
    with pytest.raises(BadInput, match=target):
        table.build("lost", (1, 4, 4))


def test_an_operator_refuses_text_for_a_number():
    with pytest.raises(BadType, match="missing is 'most' for operator 'mask'"):
        operators.build("mask", (1, 8, 8), missing="most")


def test_solve_names_what_it_was_given_instead_of_a_solver_or_a_prior():
    identity = operators.build("identity", (1, 8, 8))
    problem = restore.Problem(torch.zeros(1, 1, 8, 8), identity, operators.noise.Gaussian(sigma=0.1))
    with pytest.raises(BadType, match="class Tikhonov"):
        restore.solve(problem, solver=restore.solvers.REGISTRY.load("tikhonov"))
    with pytest.raises(BadType, match="solver is int"):
        restore.solve(problem, solver=5)
    with pytest.raises(BadType, match="prior is int"):
        restore.solve(problem, solver="tikhonov", prior=5)
