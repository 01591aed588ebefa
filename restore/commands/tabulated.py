"""The tables of parts as files, so that showing them imports no part and no torch.

`restore/_tables/KIND.json` is a list of `{name, summary, settings, source}`, each setting `{name, default, required,
type, range, meaning}`; a task has `parameters`, the sections of its file, instead. `docs/settings.md` shows the same to
readers, `docs/task.schema.json` to editors of task files. `python -m restore.commands.tabulated` writes all of them
anew from the parts themselves; a test compares them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module, resources
from pathlib import Path
from typing import Any

Row = dict[str, Any]

REGISTRIES: Mapping[str, str] = {
    "tasks": "restore.tasks",
    "operators": "operators",
    "noise": "operators.noise",
    "solvers": "restore.solvers",
    "priors": "priors",
    "adapters": "priors.diffusion.adapters",
    "processes": "priors.residual",
    "metrics": "restore.metrics",
}
COMMAND = "python -m restore.commands.tabulated"
FOLDER = "_tables"


def stored(kind: str) -> list[Row]:
    """The rows of a table as they were written, `{name, summary, parameters, settings, source}`."""
    rows = json.loads(resources.files("restore").joinpath(FOLDER, f"{kind}.json").read_text("utf-8"))
    return [{**row, "parameters": _defaults(row["settings"])} if "settings" in row else row for row in rows]


def _defaults(settings: Sequence[Row]) -> Row:
    return {each["name"]: each["default"] for each in settings}


def live(kind: str) -> list[Row]:
    """The rows of a table from the parts that ship; imports all of them."""
    registry = import_module(REGISTRIES[kind]).REGISTRY
    return [registry.describe(name) for name in registry.shipped]


def write(folder: Path) -> Iterator[Path]:
    """Paths of all tables in a folder."""
    folder.mkdir(exist_ok=True)
    for kind in REGISTRIES:
        rows = [_once(row) for row in live(kind)]
        path = folder / f"{kind}.json"
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
        yield path


def _once(row: Row) -> Row:
    """The row without its defaults where each setting says its own."""
    return {key: value for key, value in row.items() if key != "parameters"} if "settings" in row else row


def page() -> str:
    """docs/settings.md: every setting of every part that has some, from the stored tables."""
    lines = [
        "# Settings",
        "",
        "What every part may be told, with its default and its range. A value outside is refused by name.",
        f"Written by `{COMMAND}`; `restore solvers NAME`, `restore operators NAME` and so on print the same.",
    ]
    for kind in REGISTRIES:
        rows = [row for row in stored(kind) if row.get("settings")]
        lines += ["", f"## {kind.capitalize()}"] if rows else []
        for row in rows:
            lines += ["", f"### {row['name']}", "", row["summary"], ""]
            lines += ["| setting | default | may be | meaning |", "|---|---|---|---|"]
            lines += [f"| {' | '.join(map(_cell, cells(setting)))} |" for setting in row["settings"]]
    return "\n".join(lines) + "\n"


def schema() -> str:
    """docs/task.schema.json; imports all parts."""
    from ..tasks.schema import task_schema

    return json.dumps(task_schema(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def recipes() -> str:
    """docs/recipe.schema.json: the form of a training recipe."""
    from priors.training.schema import recipe_schema

    return json.dumps(recipe_schema(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def cells(setting: Row) -> tuple[str, str, str, str]:
    """Name, default, what it may be and what it means."""
    default = "(must be given)" if setting["required"] else _shown(setting["default"])
    kind, limits = setting["type"], setting["range"]
    may_be = limits if kind == "text" and limits else ", ".join(filter(None, (kind, limits)))
    return setting["name"], default, may_be, setting["meaning"]


def _shown(default: Any) -> str:
    return "none" if default is None else json.dumps(default)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    for path in write(root / "restore" / FOLDER):
        sys.stdout.write(f"{path}\n")
    if (root / "docs").is_dir():
        (root / "docs" / "settings.md").write_text(page(), "utf-8")
        (root / "docs" / "task.schema.json").write_text(schema(), "utf-8")
        (root / "docs" / "recipe.schema.json").write_text(recipes(), "utf-8")
