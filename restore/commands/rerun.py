"""`restore rerun result.h5`: the run again from the stored measurement, compared with what was stored."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import options

DIFFERENT = 1


def register(app: typer.Typer) -> None:
    """`restore rerun`, added to the program."""
    app.command("rerun", help="Repeat the run of a result.h5 and say whether the answer is the same.")(rerun)


def rerun(
    file: Annotated[Path, typer.Argument(help="A result.h5 that `restore run` wrote.", callback=options.there)],
    prior: Annotated[str | None, typer.Option("--prior", help="Where the prior's file is now.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the new result to this file.")] = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """`restore rerun`: the run of a result file, repeated and compared."""
    from ..runs.again import repeat

    verdict = repeat(file, prior=prior, out=out, overwrite=overwrite, quiet=quiet)
    if as_json:
        sys.stdout.write(json.dumps(verdict.as_dict(), indent=2, allow_nan=False) + "\n")
    else:
        sys.stdout.write(verdict.sentence() + "\n")
    if not verdict.same:
        raise typer.Exit(DIFFERENT)
