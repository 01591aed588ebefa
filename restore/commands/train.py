"""`restore train NAME`: train a prior from its shipped recipe; a killed run goes on from its checkpoint.

`restore train resshift --task sr4x` and `--pairs DIR` train a residual process on a task's measurements or on files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """`restore train`, added to the program."""
    app.command("train", help="Train a prior from its recipe, or go on training; Ctrl-C is safe.")(train)


def train(
    name: Annotated[str, typer.Argument(help="Name of a recipe: natural, resshift, rddm, ir-sde, ...")],
    task: Annotated[
        str | None, typer.Option("--task", help="Task whose measurement a residual process learns to undo.")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            help="Folder with input/ and target/ (or HDF5 files of both) to learn from instead.",
            callback=options.a_folder,
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", envvar="RESTORE_DATA", help="Folder with the training pictures.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for checkpoint and weights; default: runs/NAME.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Training steps; default: the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Pictures per step; default: the recipe's.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="Weights of the same recipe to go on from where there is no checkpoint."),
    ] = None,
    device: options.Device = "cpu",
    quiet: options.Quiet = False,
    _schema: Annotated[bool, options.schema("priors.training.schema:recipe_schema")] = False,
) -> None:
    """`restore train`: a prior, trained from its recipe."""
    from operators import BadInput
    from operators.common.atomic import claimed
    from priors.files.checkpoints import load_network
    from priors.training import recipe as recipes

    from ..runs.plan import check_device, check_writable

    recipe = recipes.load(name, steps=steps, batch=batch)
    recipe, origin = _named(recipe, task, pairs)
    if pairs is None and data is None:
        raise BadInput("no training pictures were named", do="Give their folder with --data, or set RESTORE_DATA.")
    if pairs is None and data is not None and not data.is_dir():
        raise BadInput(f"{data} is not a folder", do="Give the folder of training pictures with --data.")
    check_device(device)
    folder = out if out is not None else Path("runs") / recipe.name
    check_writable(folder)
    if weights is not None:
        load_network(weights)  # a wrong file is refused before minutes of decoding pictures
    batches = _batches(recipe, data, task, pairs)

    def report(progress: Any) -> None:
        if not quiet:
            left = (recipe.settings.steps - progress.step) * progress.each / 60
            sys.stderr.write(
                f"step {progress.step} of {recipe.settings.steps}  loss {progress.loss:.4f}  "
                f"{progress.each:.2f} s a step  {left:.0f} min left\n"
            )

    try:
        with claimed(folder / recipe.name):
            path = recipes.train(
                recipe, batches, out=folder, device=device, report=report, origin=origin, weights=weights
            )
    except KeyboardInterrupt:
        sys.stderr.write(f"restore: stopped; the checkpoint is in {folder}. The same command continues.\n")
        raise typer.Exit(INTERRUPTED) from None
    sys.stdout.write(f"{path}\n")


def _named(recipe: Any, task: str | None, pairs: Path | None) -> tuple[Any, str]:
    """The recipe under the name of what it is trained on, and where that comes from."""
    import dataclasses

    from operators import BadInput

    if not recipe.needs_pairs:
        if task is not None or pairs is not None:
            raise BadInput(f"recipe {recipe.name!r} learns from pictures alone", do="Leave --task and --pairs out.")
        return recipe, ""
    if (task is None) == (pairs is None):
        raise BadInput(
            f"recipe {recipe.name!r} learns from pairs of pictures and measurements",
            wanted="one of --task NAME and --pairs DIR",
        )
    learned = task if pairs is None else pairs.resolve().name
    return dataclasses.replace(
        recipe, name=f"{recipe.name}-{learned}"
    ), f"{'task' if pairs is None else 'pairs'} {learned}"


def _batches(recipe: Any, data: Path | None, task: str | None, pairs: Path | None) -> Any:
    """What the recipe is trained on."""
    from priors.training.pairs import Measured
    from priors.training.recipe import photographs

    from .. import tasks
    from ..runs.pairing import file_pairs, task_measure

    if pairs is not None:
        return file_pairs(pairs, recipe.objective.process, size=recipe.crop)
    # The task comes first: it may be unknown, and decoding the photographs takes a while.
    measure = None if task is None else task_measure(tasks.load(task), recipe.objective.process)
    pictures = photographs(recipe, Path() if data is None else data)
    return pictures if measure is None else Measured(pictures, measure)
