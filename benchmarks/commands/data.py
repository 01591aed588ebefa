"""`restore data`: the test sets, where they are, and how to bring one here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from restore.commands import options

Root = Annotated[
    Path | None, typer.Option("--data-root", help="Folder of the test sets; default: the one RESTORE_DATA names.")
]
Name = Annotated[str, typer.Argument(help="A data set (restore data list).")]

app = typer.Typer(
    help="Test sets: list them, add a folder, fetch, show where one is.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


def register(parent: typer.Typer) -> None:
    """`restore data` and its sub-commands, added to the program."""
    parent.add_typer(app, name="data")


@app.command("list", help="All sets, and whether they are here.")
def show(data_root: Root = None, as_json: options.Json = False) -> None:
    """`restore data list`: all sets, and whether they are here."""
    from ..sets.datasets import registry

    rows = [_row(data_set, data_root) for data_set in registry().values()]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2, allow_nan=False) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("set", "pictures", "here", "what it is", "licence"):
        table.add_column(heading, justify="right" if heading == "pictures" else "left", no_wrap=heading == "set")
    for row in rows:
        here = "yes" if row["here"] else "no"
        table.add_row(row["name"], str(row["images"] or "?"), here, Text(row["summary"]), Text(row["licence"]))
    console = Console()
    console.print(table)
    console.print(Text("restore data path NAME says where one is, or what to do."), style="dim")


@app.command("path", help="The folder of a set, after its files were looked for; exit 2 with what to do otherwise.")
def path(name: Name, data_root: Root = None) -> None:
    """`restore data path`: the folder of a set."""
    from ..sets.datasets import find

    data_set = find(name)
    data_set.pictures(data_root)
    sys.stdout.write(f"{data_set.place(data_root)}\n")


@app.command("add", help="Use the pictures of a folder as a set, under a known name or a new one.")
def add(
    name: Annotated[str, typer.Argument(help="Name of the set.")],
    folder: Annotated[Path, typer.Argument(help="Folder with its pictures.")],
) -> None:
    """`restore data add`: the pictures of a folder, listed as a set."""
    from ..sets import collecting

    sys.stdout.write(f"{name}: {collecting.add(name, folder)} pictures of {folder}\n")


@app.command("fetch", help="Load a set that has a stable address into the data root.")
def fetch(name: Name, data_root: Root = None) -> None:
    """`restore data fetch`: a set with a stable address, loaded into the data root."""
    from ..sets import collecting

    sys.stdout.write(f"{collecting.fetch(name, data_root)}\n")


def _row(data_set: Any, root: Path | None) -> dict[str, Any]:
    from operators.common.errors import RestoreError

    try:
        count, where, reason = len(data_set.pictures(root)), str(data_set.place(root)), ""
    except RestoreError as error:
        count, where, reason = data_set.images, "", str(error)
    return {
        "name": data_set.name,
        "summary": data_set.summary,
        "images": count,
        "here": not reason,
        "path": where,
        "reason": reason,
        "source": data_set.source,
        "licence": data_set.licence,
        "tuning": data_set.tuning,
    }
