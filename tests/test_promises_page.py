"""docs/promises.md names tests that exist, for every fault by its number."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "promises.md").read_text("utf-8")
FAULTS = 53


def shorthands() -> dict[str, str]:
    """What a word stands for: "`a`, `b` and `c` stand for `A`, `B` and `C`", "`d` for `D`"."""
    text = " ".join(PAGE.split())
    found = dict(re.findall(r"`(\w+)` (?:stands )?for `(tests/[\w/]+\.py)`", text))
    several = re.search(r"`(\w+)`, `(\w+)` and `(\w+)` stand for `([^`]+)`, `([^`]+)` and `([^`]+)`", text)
    assert several is not None
    words = several.groups()
    return {**found, **dict(zip(words[:3], words[3:], strict=True))}


@functools.cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_test_on_the_page_exists() -> None:
    short, missing, last = shorthands(), [], ""
    for line in (line for line in PAGE.splitlines() if line.startswith("|")):
        held = line.rstrip(" |").rpartition(" | ")[2]
        for name in re.findall(r"`([^`\s]+)`", held):
            place, separator, test = name.partition("::")
            path = short.get(place, place) if place else last
            if not path.startswith("tests/"):
                continue
            last = path
            if not (ROOT / path).is_file() or (separator and f"test_{test}" not in functions_of(path)):
                missing.append(name)
    assert missing == []


def test_every_fault_has_its_line_and_a_test() -> None:
    rows = re.findall(r"^\| (\d+) \| .* \| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, FAULTS + 1))
    assert all("`" in held for _, held in rows)
