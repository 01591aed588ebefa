"""`restore report result.h5`: the page again, from what is stored."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import options


def register(app: typer.Typer) -> None:
    """`restore report`, added to the program."""
    app.command("report", help="Write report.html again from a result.h5 (and the metrics.json beside it).")(report)


def report(
    file: Annotated[Path, typer.Argument(help="A result.h5 that `restore run` wrote.", callback=options.there)],
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: report.html beside it.")] = None,
) -> None:
    """`restore report`: the page of a result file, written again."""
    from .. import report as pages
    from ..io.own_arrays import reading

    page = pages.page_from_result(file, file.with_name("metrics.json"))
    target = out if out is not None else file.with_name("report.html")
    with reading(file, do="Run again: `restore run`."):  # what the file says is drawn here: it may be nonsense
        text = pages.render(page)
    pages.write_text(target, text)
    sys.stdout.write(f"{target}\n")
