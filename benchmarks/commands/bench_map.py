"""`restore bench map`: one large picture or a stack, in windows or slices, through the executors of the benchmarks."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restore.commands import options

if TYPE_CHECKING:
    from ..records.item import Item, Outcome
    from ..runs.mapping.request import Mapped

FAILED, INTERRUPTED = 1, 130


def map_file(
    context: typer.Context,
    task: Annotated[
        str, typer.Option("--task", help="Name of a task, or a TOML file.", callback=options.there_if_file)
    ],
    input: Annotated[
        Path,
        typer.Option("--input", help="A large picture, a volume, a stack or a TIFF of pages.", callback=options.there),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="HDF5 file; default: restore-out/TASK-STEM-SEED.h5.")
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option("--tile", min=0, help="Side of a window; 0: whole pictures (default for stacks), else 512."),
    ] = None,
    halo: Annotated[
        int | None, typer.Option("--halo", min=0, help="Rim that is dropped; default: the operator's reach and 32.")
    ] = None,
    blend: Annotated[int, typer.Option("--blend", min=0, help="Pixels over which neighbours are blended.")] = 16,
    measured: Annotated[bool, typer.Option("--measured", help="The file is the measurement itself.")] = False,
    sigma: Annotated[float | None, typer.Option("--sigma", help="With --measured: noise, in the file's unit.")] = None,
    peak: Annotated[
        float | None, typer.Option("--peak", help="With --measured: photons where the picture is 1.")
    ] = None,
    kernel: Annotated[
        Path | None, typer.Option("--kernel", help="With --measured: the blur's kernel.", callback=options.there)
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", help="With --measured: nonzero where measured.", callback=options.there)
    ] = None,
    solver: Annotated[str | None, typer.Option("--solver", help="Name of a solver, or module:attribute.")] = None,
    prior: Annotated[str | None, typer.Option("--prior", help="Name of a prior, or a safetensors file.")] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Draws of each piece.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="0 to 2^63 - 1.")] = 0,
    set: options.Set = None,
    scheduler: options.Scheduler = "",
    workers: options.Workers = 0,
    threads: options.Threads = 0,
    device: options.Devices = "cpu",
    dtype: options.Dtype = "auto",
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds per piece.")] = 3600.0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Compute failed pieces again.")] = False,
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
    """`restore bench map`: one large picture, volume or stack, restored piece by piece."""
    from restore.tasks.given import Given

    from ..cases.planning import Context
    from ..runs import executors, mapping
    from ..runs.mapping.request import Request

    devices = tuple(word.strip() for word in device.split(",") if word.strip())
    request = Request(
        task=task,
        input=input,
        reading=options.chosen(
            dataset=dataset, axes=axes, unit=unit, offset=offset, white=white, black=black, max_pixels=max_pixels
        ),
        tile=tile,
        halo=halo,
        blend=blend,
        measured=measured,
        given=Given(sigma=sigma, peak=peak, kernel=kernel, mask=mask),
        solver=solver,
        prior=prior,
        set=tuple(set or ()),
        samples=samples,
        seed=seed,
    )
    target = out if out is not None else Path("restore-out") / f"{Path(task).stem}-{input.stem}-{seed}.h5"
    teller = _PieceTeller(quiet)
    try:
        done = mapping.restore_file(
            request,
            target,
            context=Context(settings={"device": devices[0].partition(":")[0], "dtype": dtype}, timeout=timeout),
            executor=executors.make(scheduler, workers=workers, threads=threads, devices=devices),
            command=shlex.join(["restore", *(context.obj or {}).get("arguments", ["bench", "map"])]),
            overwrite=overwrite,
            retry_failed=retry_failed,
            tell=teller.tell,
            said=teller.begin,
        )
    except KeyboardInterrupt:
        sys.stderr.write("restore: stopped; finished pieces are kept. The same command goes on from there.\n")
        raise typer.Exit(INTERRUPTED) from None
    if done.path is None:
        sys.stderr.write(
            f"restore: pieces failed, so {target} was not written. Add --retry-failed to try them again.\n"
        )
        raise typer.Exit(FAILED)
    if not quiet:
        scores = "".join(f", {name} {value:.2f}" for name, value in done.scores.items())
        state = "was there already" if done.progress is None else "written"
        sys.stdout.write(f"{done.path} {state}{scores and f' (means over pieces{scores})'}\n")


class _PieceTeller:
    """What is cut and how, then one line per finished piece, on the error stream."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.total, self.done = quiet, 0, 0

    def begin(self, mapped: Mapped) -> None:
        size, tiling = mapped.extent, mapped.tiling
        self.total = len(mapped.places)
        if self.quiet:
            return
        stack = "" if size.pictures is None else f"{size.pictures} pictures of "
        how = "whole" if not tiling.tile else f"in windows of {tiling.tile}, halo {tiling.halo[0]} x {tiling.halo[1]}"
        shape = f"{size.channels} x {size.height} x {size.width}"
        sys.stderr.write(f"note: {stack}{shape} pixels, {how}: {self.total} pieces\n")

    def tell(self, item: Item, outcome: Outcome) -> None:
        self.done += 1
        if not self.quiet:
            what: Any = outcome.reason or f"{outcome.seconds:.1f} s"
            sys.stderr.write(f"{self.done} of {self.total}: {item.image}  {what}\n")
