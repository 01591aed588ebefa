"""`restore calibrate`: bounds for results, from pictures whose truth is known, or from measurements alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .options import chosen

FAILED_PICTURES = 1


def register(app: typer.Typer) -> None:
    """`restore calibrate`, added to the program."""
    app.command("calibrate", help="Bounds on the error of results, from calibration pictures.")(calibrate)


def calibrate(
    task: Annotated[
        str,
        typer.Option("--task", help="Name of a task (restore tasks), or a TOML file.", callback=options.there_if_file),
    ],
    input: Annotated[
        Path, typer.Option("--input", help="Folder of calibration pictures, one per scene.", callback=options.there)
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write; `restore run --calibration` reads it.")] = Path(
        "calibration.json"
    ),
    level: Annotated[float, typer.Option("--level", help="Share of pictures for which a bound holds.")] = 0.9,
    measured: Annotated[
        bool, typer.Option("--measured", help="The pictures are measurements: no truth, one more solve each (SURE).")
    ] = False,
    sigma: Annotated[
        str | None, typer.Option("--sigma", help="With --measured: noise standard deviation, or 'estimate'.")
    ] = None,
    solver: Annotated[str | None, typer.Option("--solver", help="Name of a solver (restore solvers).")] = None,
    prior: Annotated[str | None, typer.Option("--prior", help="Name of a prior, or a safetensors file.")] = None,
    samples: Annotated[int, typer.Option("--samples", help="Posterior samples of each picture.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="0 to 2^63 - 1.")] = 0,
    set: options.Set = None,
    device: options.Device = "cpu",
    dtype: options.Dtype = "auto",
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    dataset: options.Dataset = None,
    axes: options.Axes = None,
    unit: options.Unit = None,
    offset: options.Offset = None,
    white: options.White = None,
    black: options.Black = None,
    max_pixels: options.MaxPixels = None,
) -> None:
    """`restore calibrate`: a calibration file."""
    from operators import BadInput

    from ..driver import Settings
    from ..runs import calibrating
    from ..runs import plan as planning
    from ..tasks.given import Given

    if out.exists() and not overwrite:
        raise BadInput(f"{out} exists", do="Choose another --out, or add --overwrite.")
    reading = chosen(
        dataset=dataset, axes=axes, unit=unit, offset=offset, white=white, black=black, max_pixels=max_pixels
    )
    request = planning.RunOptions(
        task=task,
        input=input,
        out=out.with_name(f".{out.name}-unused"),
        measured=measured,
        given=Given.worded(sigma=sigma),
        solver=solver,
        prior=prior,
        samples=samples,
        seed=seed,
        set=tuple(set or ()),
        settings=Settings(device=device, dtype=dtype),  # type: ignore[arg-type]
        reading=reading,
    )

    def say(text: str) -> None:
        if not quiet:
            sys.stderr.write(f"note: {' '.join(text.split())}\n")

    found: Any = calibrating.calibration(planning.make(request), level=level, quiet=quiet, say=say)
    found.write(out)
    if not quiet:
        for line in calibrating.told(found):
            sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{out}\n")
