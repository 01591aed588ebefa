"""The tables that are shown without importing the parts say what the parts say."""

import json
from pathlib import Path

import pytest

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
