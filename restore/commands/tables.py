"""`restore tasks | solvers | priors | operators | metrics | noise`: what there is; with a name, one card.

All of it is read from the stored tables (`tabulated`): no part is imported, and so neither torch nor numpy.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .tabulated import cells, stored

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of parts. one: what a single one is called; text: what they are, for the help."""

    one: str
    text: str


KINDS: Mapping[str, Kind] = {
    "tasks": Kind("task", "Presets: operator, noise, default prior and solver, metrics."),
    "solvers": Kind("solver", "Methods that estimate the picture."),
    "priors": Kind("prior", "What is known about pictures before measuring."),
    "operators": Kind("operator", "Forward operators: the physics of a measurement."),
    "metrics": Kind("metric", "Scores, and the options that make up their conventions."),
    "noise": Kind("noise", "Noise laws: what falls on a measurement."),
}


WIDE = 110  # columns from which the table has room for sources


def register(app: typer.Typer) -> None:
    """`restore solvers`, `tasks`, `priors` and the other tables, added to the program."""
    for kind, words in KINDS.items():
        command = tasks if kind == "tasks" else _command(kind)
        app.command(kind, help=f"{words.text} With a name: its card.")(command)


def tasks(
    name: Annotated[str | None, typer.Argument(help="Show one entry.")] = None,
    as_json: options.Json = False,
    _schema: Annotated[bool, options.schema("restore.tasks.schema:task_schema")] = False,
) -> None:
    """`restore tasks`: the table of tasks, the card of one, or the schema of their files."""
    _command("tasks")(name, as_json)


def _command(kind: str) -> Callable[..., None]:
    def command(
        name: Annotated[str | None, typer.Argument(help="Show one entry.")] = None,
        as_json: options.Json = False,
    ) -> None:
        rows = rows_of(kind)
        if name is not None and name not in rows:
            from operators.common.registry import unknown_name

            raise unknown_name(KINDS[kind].one, name, rows)
        if as_json:
            shown = list(rows.values()) if name is None else rows[name]
            sys.stdout.write(json.dumps(shown, indent=2, allow_nan=False) + "\n")
        elif name is not None:
            _show_card(kind, rows[name])
        else:
            _show_table(kind, rows.values())

    return command


def rows_of(kind: str) -> dict[str, Row]:
    """`{name, summary, parameters, source}` by name: of all that ships, and then of the user's own priors."""
    rows: dict[str, Row] = {row["name"]: row for row in stored(kind)}
    if kind == "priors":
        from priors import REGISTRY
        from priors.files import store

        rows.update({name: REGISTRY.describe(name) for name in store.stored() if name not in rows})
    return rows


def _show_table(kind: str, rows: Iterable[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column(KINDS[kind].one, no_wrap=True)
    table.add_column("what it is")
    console = Console()
    wide = console.width >= WIDE
    if wide:
        table.add_column("source")
    for row in rows:
        table.add_row(row["name"], Text(row["summary"]), *([Text(row["source"])] if wide else []))
    console.print(table)
    console.print(Text(f"restore {kind} NAME shows one; --json prints all for machines."), style="dim")


def _show_card(kind: str, row: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(f"{row['name']}: {row['summary']}"), style="bold")
    if row["source"]:
        console.print(Text(row["source"]))
    if "needs" in row:
        console.print(Text(f"needs {' and '.join(row['needs'])}; {row['better']}"))
    table = Table(box=None, pad_edge=False, show_header=False)
    lines = map(cells, row["settings"]) if "settings" in row else _flat(row["parameters"])
    for line in lines:
        table.add_row(*map(Text, line))
    console.print(table)
    text = card_text(kind, row["name"])
    if text is not None:
        console.print()
        console.print(Markdown(text))


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in parameters.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, json.dumps(value))]
    return rows


def card_text(kind: str, name: str) -> str | None:
    """The Markdown card of an entry; None without one.

    From the wheel, from the repository beside the packages, or, for an imported prior, from beside its weights.
    """
    shipped = resources.files("restore") / "_cards" / kind / f"{name}.md"
    beside = Path(__file__).resolve().parents[2] / "docs" / "cards" / kind / f"{name}.md"
    places = [shipped, beside]
    if kind == "priors":
        from priors.files import store

        places.append(store.folder() / f"{name}.md")
    for place in places:
        if place.is_file():
            return place.read_text("utf-8")
    return None
