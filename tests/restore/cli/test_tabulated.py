"""The tables that are shown without importing the parts say what the parts say."""

import json
import re
from pathlib import Path

import pytest

from restore import tasks
from restore.commands import tabulated

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("kind", tabulated.REGISTRIES)
def test_the_stored_table_is_that_of_the_parts(kind):
    live = json.loads(json.dumps(tabulated.live(kind)))
    assert tabulated.stored(kind) == live, f"a part changed; write the tables anew: {tabulated.COMMAND}"


def test_the_page_of_settings_shows_the_stored_tables():
    assert (DOCS / "settings.md").read_text("utf-8") == tabulated.page(), f"write it anew: {tabulated.COMMAND}"


@pytest.mark.parametrize(
    ("kind", "name", "line"),
    [
        ("solvers", "diffpir", ("steps", "20", "1 to 1000")),
        ("solvers", "tv", ("weight", "none", "at least 0")),
        ("noise", "quantised", ("bits", "8", "1 to 16")),
        ("operators", "downsample", ("factor", "4", "above 0")),
        ("operators", "jpeg", ("subsampling", '"4:2:0"', "one of: 4:4:4, 4:2:0")),
    ],
)
def test_a_card_prints_the_true_default_and_the_range_of_a_setting(command, kind, name, line):
    shown = next(text for text in command(kind, name).out.splitlines() if text.startswith(line[0]))
    assert all(part in shown for part in line), shown


def test_the_schema_of_task_files_is_that_of_the_parts():
    assert (DOCS / "task.schema.json").read_text("utf-8") == tabulated.schema(), f"write it anew: {tabulated.COMMAND}"


@pytest.mark.parametrize("name", tasks.names())
def test_the_schema_knows_every_key_of_a_task_that_ships(name):
    table, parts = tasks.load(name).table, json.loads((DOCS / "task.schema.json").read_text("utf-8"))["properties"]
    for section in ("operator", "noise", "solver"):
        (branch,) = (
            each["then"]
            for each in parts[section]["allOf"]
            if each["if"]["properties"]["name"]["const"] == table[section]["name"]
        )
        assert set(table[section]) <= set(branch["properties"])
    for solver, settings in table["solvers"].items():
        assert set(settings) <= set(parts["solvers"]["properties"][solver]["properties"])


def test_the_schema_of_task_files_holds_the_range_of_a_setting():
    parts = json.loads((DOCS / "task.schema.json").read_text("utf-8"))["properties"]
    steps = parts["solvers"]["properties"]["diffpir"]["properties"]["steps"]
    assert (steps["type"], steps["minimum"], steps["maximum"], steps["default"]) == ("integer", 1, 1000, 20)


def test_choices_stand_in_one_order_everywhere() -> None:
    """Python keeps one of two equal Literals, whichever was made first: tables would depend on what was imported."""
    root = Path(__file__).parents[3]
    orders: dict[frozenset[str], set[tuple[str, ...]]] = {}
    for package in ("operators", "priors", "restore", "benchmarks"):
        for path in (root / package).rglob("*.py"):
            for text in re.findall(r'Literal\[("[^\]]*)\]', path.read_text("utf-8")):
                words = tuple(re.findall(r'"([^"]*)"', text))
                orders.setdefault(frozenset(words), set()).add(words)
    assert [order for order in orders.values() if len(order) > 1] == []
