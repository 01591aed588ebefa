"""`restore run`: measure (or take a measurement), solve, judge, write a folder with a report to open."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .options import chosen

if TYPE_CHECKING:
    from ..runs.execute import RunOutcome
    from ..runs.plan import Plan

FAILED_PICTURES = 1
INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """`restore run`, added to the program."""
    app.command("run", help="Restore a picture or a folder of pictures, and write a report.")(run)


def run(
    context: typer.Context,
    task: Annotated[
        str,
        typer.Option("--task", help="Name of a task (restore tasks), or a TOML file.", callback=options.there_if_file),
    ],
    input: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="File or folder; default: a picture that ships with scikit-image.",
            callback=options.there,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; default: restore-out/TASK-STEM-SEED.")
    ] = None,
    measured: Annotated[
        bool, typer.Option("--measured", help="The input is the measurement itself; no ground truth.")
    ] = False,
    sigma: Annotated[
        str | None, typer.Option("--sigma", help="With --measured: noise standard deviation, or 'estimate'.")
    ] = None,
    peak: Annotated[float | None, typer.Option("--peak", help="With --measured: peak of Poisson noise.")] = None,
    kernel: Annotated[
        Path | None,
        typer.Option("--kernel", help="With --measured: file with the blur kernel.", callback=options.there),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", help="With --measured: file with the mask, nonzero = measured.", callback=options.there),
    ] = None,
    shape: Annotated[
        str | None, typer.Option("--shape", help="With --measured: C,H,W of the picture where y does not tell it.")
    ] = None,
    nan_as_mask: Annotated[
        bool, typer.Option("--nan-as-mask", help="With --measured: NaN marks what was not measured.")
    ] = False,
    array: Annotated[
        list[str] | None,
        typer.Option("--array", metavar="KEY=FILE", help="With --measured: another array of the operator. Repeatable."),
    ] = None,
    solver: Annotated[str | None, typer.Option("--solver", help="Name of a solver (restore solvers).")] = None,
    prior: Annotated[
        str | None, typer.Option("--prior", help="Name of a prior (restore priors), or a safetensors file.")
    ] = None,
    keep_prior: Annotated[
        Path | None,
        typer.Option("--keep-prior", help="Keep what was learned from the picture, as NAME.safetensors."),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", help="Posterior samples; the estimate is their mean.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="0 to 2^63 - 1.")] = 0,
    set: options.Set = None,
    device: options.Device = "cpu",
    dtype: options.Dtype = "auto",
    tile: Annotated[
        int | None, typer.Option("--tile", help="Side of the tiles of large pictures; 0: never tile.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", help="Draws that run together; default: as many as fit; 1: one by one.")
    ] = None,
    noise: options.NoiseWhere = "cpu",
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Only algorithms that repeat bit by bit (a GPU is slower so).")
    ] = False,
    baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Compute the task's simple baseline too.")
    ] = True,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="Bounds of `restore calibrate` for this run.", callback=options.there),
    ] = None,
    origin: Annotated[
        bool, typer.Option("--origin", help="Show what was measured and what the prior filled in (linear operators).")
    ] = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    dataset: options.Dataset = None,
    index: options.Index = None,
    axes: options.Axes = None,
    unit: options.Unit = None,
    offset: options.Offset = None,
    white: options.White = None,
    black: options.Black = None,
    max_pixels: options.MaxPixels = None,
) -> None:
    """`restore run`: pictures restored, each with its report."""
    from ..driver import Settings
    from ..runs import execute
    from ..runs import plan as planning
    from ..tasks.given import Given

    request = planning.RunOptions(
        task=task,
        input=input,
        out=out,
        measured=measured,
        given=Given.worded(
            sigma=sigma,
            peak=peak,
            kernel=kernel,
            mask=mask,
            shape=shape,
            nan_as_mask=nan_as_mask,
            arrays=array or (),
        ),
        solver=solver,
        prior=prior,
        keep_prior=keep_prior,
        samples=samples,
        seed=seed,
        set=tuple(set or ()),
        settings=Settings(device=device, dtype=dtype, noise=noise, tile=tile, deterministic=deterministic, batch=batch),  # type: ignore[arg-type]
        reading=chosen(
            dataset=dataset,
            index=index,
            axes=axes,
            unit=unit,
            offset=offset,
            white=white,
            black=black,
            max_pixels=max_pixels,
        ),
        overwrite=overwrite,
        baseline=baseline,
        calibration=calibration,
        origin=origin,
        command=shlex.join(["restore", *(context.obj or {}).get("arguments", ["run", "--task", task])]),
    )
    plan = planning.make(request)
    try:
        outcome = execute.execute(plan, quiet=quiet, say=_say(quiet))
    except execute.Stopped as stopped:
        sys.stderr.write(f"restore: {stopped}\n")
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        shown = outcome.summary if plan.folder else next(iter(outcome.metrics.values()))
        sys.stdout.write(json.dumps(shown, indent=2, allow_nan=False) + "\n")
    elif not quiet:
        _show(plan, outcome)
    if outcome.failed:
        raise typer.Exit(FAILED_PICTURES)


def _say(quiet: bool) -> Any:
    def say(text: str) -> None:
        if not quiet:
            sys.stderr.write(f"note: {' '.join(text.split())}\n")

    return say


def _show(plan: Plan, outcome: RunOutcome) -> None:
    """A short table: one line per picture, its baseline under it, then where the time went."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    keys = ("psnr", "ssim", "lpips", "chi2", "seconds")
    for heading in ("picture", "estimate", *keys):
        table.add_column(heading, justify="left" if heading in ("picture", "estimate") else "right")
    for name, row in outcome.metrics.items():
        label = row["solver"] + (f", {row['samples']} samples" if row["samples"] > 1 else "")
        table.add_row(Text(name), label, *(_number(row, key) for key in keys))
        table.add_row("", row["baseline"]["name"], *(_number(row["baseline"], key) for key in keys))
    console = Console()
    console.print(table)
    for text in _remarks(plan, outcome):
        console.print(Text(text), soft_wrap=True)


def _number(row: Any, key: str) -> str:
    value = row.get(key)
    if value is None:
        return "infinite" if row.get("flags", {}).get(key) == "infinite" else "-"
    return f"{value:.{ {'psnr': 2, 'ssim': 4, 'lpips': 4, 'chi2': 3, 'seconds': 1}[key] }f}"


def _remarks(plan: Plan, outcome: RunOutcome) -> list[str]:
    lines = []
    for split in outcome.timing.values():
        if len(outcome.timing) == 1 and split["total"] > 0:
            shares = ", ".join(
                f"{part} {100 * seconds / split['total']:.1f} %" for part, seconds in split.items() if part != "total"
            )
            lines.append(f"time of the solver: {split['total']:.1f} s ({shares})")
    for name, row in outcome.metrics.items():
        said = [*row.get("verdict", ()), *row.get("calibration", {}).get("sentences", ())]
        lines += [f"{name}: {sentence}" if plan.folder else sentence for sentence in said]
    if not plan.folder:
        row = next(iter(outcome.metrics.values()))
        lines += [
            f"{key}: no value, {reason}" for key, reason in row["reasons"].items() if key in ("psnr", "ssim", "lpips")
        ]
        if row["coverage"] is not None:
            shown = ", ".join(
                f"{100 * share:.0f} % in the {level} % interval" for level, share in row["coverage"].items()
            )
            lines.append(f"coverage of the truth: {shown}")
        lines.append(f"conventions: {', '.join(row['conventions'].values())}")
        lines.append(f"report: {plan.out / 'report.html'}")
    else:
        lines.append(f"summary: {plan.out / 'summary.json'}")
    return lines
