"""`restore import FILE --format NAME`: a released checkpoint becomes a prior."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import options


def register(app: typer.Typer) -> None:
    """`restore import`, added to the program."""
    app.command("import", help="Turn a released checkpoint into a prior for --prior NAME. Nothing in it is run.")(run)


def run(
    file: Annotated[Path, typer.Argument(help="The file as released: .pth, .pt, .ckpt or .safetensors.")],
    format: Annotated[
        str, typer.Option("--format", help="Its layout, such as resshift, rddm or ap-bsn (docs/import.md).")
    ],
    name: Annotated[str | None, typer.Option("--name", help="Name of the prior; default: the file's.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder; default: RESTORE_PRIORS, else ~/.local/share/restore/priors."),
    ] = None,
    autoencoder: Annotated[
        Path | None, typer.Option("--autoencoder", help="ResShift: the file of its autoencoder, or none.")
    ] = None,
    groups: Annotated[
        int | None,
        typer.Option("--groups", help="Groups of the group norms, where the file is not of a released size."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="averaged or raw; default: the averaged ones where the file has any."),
    ] = None,
    set: options.Set = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """`restore import`: a released checkpoint as a prior."""
    from operators.common import outside

    for named in (file, autoencoder):  # said before torch is imported
        if named is not None and str(named) != "none":
            outside.checked(named)
    from priors.files import store
    from priors.files.importing.convert import import_checkpoint

    from .. import tasks
    from ..runs.plan import check_writable

    check_writable(store.folder() if out is None else out)
    imported = import_checkpoint(
        file,
        format=format,
        name=name,
        out=out,
        autoencoder=autoencoder,
        settings=tasks.parse_settings(set or ()),
        groups=groups,
        weights=weights,
        overwrite=overwrite,
    )
    if not quiet:
        for line in imported.chosen:
            sys.stderr.write(f"took {line}\n")
        for line in imported.told:
            sys.stderr.write(f"assumed {line}\n")
    prior = imported.name if out is None else str(imported.path)
    if as_json:
        row = {
            "name": imported.name,
            "prior": prior,
            "path": str(imported.path),
            "card": str(imported.card),
            "assumed": imported.told,
            "chosen": imported.chosen,
        }
        sys.stdout.write(json.dumps(row, indent=2) + "\n")
    else:
        sys.stdout.write(f"{imported.path}\nUse it with: --prior {prior}\n")
