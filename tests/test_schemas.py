"""Published schemas of suite files and training recipes: those of the program, and every file that ships keeps them."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import restore
from benchmarks import suites
from benchmarks.suites import schema as suite
from operators import BadType
from priors.training import recipe
from priors.training.schema import recipe_schema
from restore.cli import main
from restore.commands import tabulated

DOCS = Path(restore.__file__).parents[1] / "docs"
jsonschema = pytest.importorskip("jsonschema", reason="pip install jsonschema")


def table(package: str, name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(package).joinpath(f"{name}.toml").read_text("utf-8"))


def test_the_published_schemas_are_those_of_the_program() -> None:
    assert (DOCS / "suite.schema.json").read_text("utf-8") == suite.text(), "python -m benchmarks.suites.schema"
    assert (DOCS / "recipe.schema.json").read_text("utf-8") == tabulated.recipes(), tabulated.COMMAND


@pytest.mark.parametrize(("command", "page"), [("tasks", "task"), ("bench", "suite"), ("train", "recipe")])
def test_a_command_prints_what_is_published(command: str, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--schema"]) == 0
    assert capsys.readouterr().out == (DOCS / f"{page}.schema.json").read_text("utf-8")


@pytest.mark.parametrize("name", suites.names())
def test_a_suite_that_ships_keeps_the_schema(name: str) -> None:
    jsonschema.validate(table("benchmarks.suites", name), suite.suite_schema())


@pytest.mark.parametrize("name", recipe.names())
def test_a_recipe_that_ships_keeps_the_schema(name: str) -> None:
    jsonschema.validate(table("priors.training", name), recipe_schema())


@pytest.mark.parametrize(("key", "value"), [("crops", 3), ("crop", -1), ("seeds", 0), ("samples", 1.5)])
def test_the_schema_refuses_what_the_program_refuses(key: str, value: object) -> None:
    wrong = {
        "version": 1,
        "summary": "s",
        "part": [{"tasks": ["denoise"], "solvers": [], "sets": ["set5"], key: value}],
    }
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, suite.suite_schema())


def test_an_unknown_key_of_an_objective_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = recipe._table("natural")
    whole["objective"] = {**whole["objective"], "log_men": 1.0}
    monkeypatch.setattr(recipe, "_table", lambda name: whole)
    with pytest.raises(BadType, match=r"\[objective\] has no parameter 'log_men'.*log_mean"):
        recipe.load("natural")
