"""`restore train NAME`: train a prior from its shipped recipe; a killed run goes on from its checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    app.command("train", help="Train a prior from its recipe, or go on training; Ctrl-C is safe.")(train)


def train(
    name: Annotated[str, typer.Argument(help="Name of a recipe, such as natural.")],
    data: Annotated[
        Path | None, typer.Option("--data", envvar="RESTORE_DATA", help="Folder with the training pictures.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for checkpoint and weights; default: runs/NAME.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Training steps; default: the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Pictures per step; default: the recipe's.")] = None,
    device: options.Device = "cpu",
    quiet: options.Quiet = False,
) -> None:
    from operators import BadInput
    from priors.training import recipe as recipes

    from ..workflow.plan import check_device, check_writable

    recipe = recipes.load(name, steps=steps, batch=batch)
    for key, value in (("--steps", steps), ("--batch", batch)):
        if value is not None and value < 1:
            raise BadInput(f"{key} is {value}", wanted="at least 1")
    if data is None:
        raise BadInput("no training pictures were named", do="Give their folder with --data, or set RESTORE_DATA.")
    if not data.is_dir():
        raise BadInput(f"{data} is not a folder", do="Give the folder of training pictures with --data.")
    check_device(device)
    folder = out if out is not None else Path("runs") / name
    check_writable(folder)

    def report(progress: Any) -> None:
        if not quiet:
            each = progress.seconds / max(progress.step, 1)
            left = (recipe.settings.steps - progress.step) * each / 60
            sys.stderr.write(
                f"step {progress.step} of {recipe.settings.steps}  loss {progress.loss:.4f}  "
                f"{each:.2f} s a step  {left:.0f} min left\n"
            )

    try:
        path = recipes.train(recipe, data=data, out=folder, device=device, report=report)
    except KeyboardInterrupt:
        sys.stderr.write(f"restore: stopped; the checkpoint is in {folder}. The same command continues.\n")
        raise typer.Exit(INTERRUPTED) from None
    sys.stdout.write(f"{path}\n")
