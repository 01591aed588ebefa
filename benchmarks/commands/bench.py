"""`restore bench`: suites of tasks, pictures and solvers, resumed where they stopped, and the tables they fill."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore.commands import options

from . import bench_map

if TYPE_CHECKING:
    from ..records.item import Item, Outcome
    from ..records.store import Store
    from ..runs.runner import SuitePlan, Tally

FAILED_ROWS = 1
INTERRUPTED = 130

app = typer.Typer(
    help="Run a suite of benchmarks; the same command goes on where it stopped.",
    rich_markup_mode=None,
    add_completion=False,
)

Out = Annotated[Path, typer.Argument(help="Folder that `restore bench --out` wrote.")]
Submission = Annotated[Path, typer.Argument(help="Folder with submission.toml and TASK/SET/PICTURE files.")]
Intersect = Annotated[
    bool, typer.Option("--intersect", help="Where some failed, rank over the pictures that all methods have.")
]


def register(parent: typer.Typer) -> None:
    """`restore bench` and its sub-commands, added to the program."""
    parent.add_typer(app, name="bench")


app.command("map", help="Restore one large picture, a volume or a stack, piece by piece.")(bench_map.map_file)


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    suite: Annotated[str | None, typer.Option("--suite", help="smoke, standard, sr, oracle, or a TOML file.")] = None,
    tasks: Annotated[list[str] | None, typer.Option("--tasks", help="Only these; commas or repeated.")] = None,
    solvers: Annotated[
        list[str] | None,
        typer.Option("--solvers", help="Instead of the suite's own: names, peers, or module:attribute."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="The first N pictures of each task.")] = 0,
    samples: Annotated[int | None, typer.Option("--samples", min=1, help="Draws per picture.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Seeds 0 .. N - 1.")] = None,
    crop: Annotated[int | None, typer.Option("--crop", min=0, help="Centre crop; 0: whole pictures.")] = None,
    calls: Annotated[
        int | None, typer.Option("--calls", min=0, help="Most network calls per draw; 0: no limit.")
    ] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", min=0.1, help="Seconds per picture and solver.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of results; default: results/SUITE.")] = None,
    data_root: Annotated[
        Path | None, typer.Option("--data-root", help="Folder of the test sets; default: the one RESTORE_DATA names.")
    ] = None,
    scheduler: options.Scheduler = "",
    workers: options.Workers = 0,
    threads: options.Threads = 0,
    device: options.Devices = "cpu",
    dtype: options.Dtype = "auto",
    estimates: Annotated[
        str, typer.Option("--estimates", help="Which to keep: shown (first picture of a task), all, none.")
    ] = "shown",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Compute failed rows again.")] = False,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Leave out sets that are not here.")] = False,
    intersect: Intersect = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    _schema: Annotated[bool, options.schema("benchmarks.suites.schema:suite_schema")] = False,
) -> None:
    """`restore bench`: the rows of a suite, and the tables over them."""
    if context.invoked_subcommand is not None:
        return
    from benchmarks import suites
    from operators.common.errors import BadInput

    from ..cases.planning import Context
    from ..runs import executors, runner
    from ..tables import leaderboard

    if suite is None:
        raise BadInput("no suite named", wanted=f"--suite {'|'.join(suites.names())}", do="Try --suite smoke.")
    if estimates not in ("shown", "all", "none"):
        raise BadInput(f"--estimates {estimates!r}", wanted="shown, all or none")
    narrowed = suites.load(suite).narrowed(
        tasks=_listed(tasks), solvers=_listed(solvers), samples=samples, seeds=seeds, crop=crop, calls=calls
    )
    if timeout is not None:
        import dataclasses

        narrowed = dataclasses.replace(narrowed, timeout=timeout)
    devices = _listed([device])
    planning = Context(
        data_root=data_root,
        settings={"device": devices[0].partition(":")[0], "dtype": dtype},
        limit=limit,
        keep_all=estimates == "all",
        keep_first=0 if estimates == "none" else 1,
        allow_missing=allow_missing,
    )
    folder = out if out is not None else Path("results") / narrowed.name
    executor = executors.make(scheduler, workers=workers, threads=threads, devices=devices)
    command = shlex.join(["restore", *(context.obj or {}).get("arguments", ["bench", "--suite", suite])])
    teller = _RowTeller(quiet)
    try:
        plan, progress = runner.bench(
            narrowed,
            folder,
            context=planning,
            executor=executor,
            command=command,
            retry_failed=retry_failed,
            tell=teller.tell,
            said=teller.begin,
        )
    except KeyboardInterrupt:
        sys.stderr.write("restore: stopped; what is finished is kept. The same command goes on from there.\n")
        raise typer.Exit(INTERRUPTED) from None
    with _opened(folder) as store:
        leaderboard.write(store, intersect=intersect)
        broken = store.failures() & set(plan.keys)
    _finish(folder, progress, as_json=as_json, quiet=quiet)
    if broken:
        raise typer.Exit(FAILED_ROWS)


@app.command("report", help="Write the tables of a results folder again.")
def report(out: Out, intersect: Intersect = False) -> None:
    """`restore bench report`: the tables of a results folder, written again."""
    from ..tables import leaderboard

    with _opened(out) as store:
        for path in leaderboard.write(store, intersect=intersect):
            sys.stdout.write(f"{path}\n")


class _RowTeller:
    """One line per finished row on the error stream, for people and logs alike."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.total = self.done = 0

    def begin(self, plan: SuitePlan) -> None:
        self.total = len(plan.items)
        for note in plan.notes:
            sys.stderr.write(f"note: {note}\n")

    def tell(self, item: Item, outcome: Outcome) -> None:
        self.done += 1
        if self.quiet:
            return
        first = outcome.scores[0] if outcome.scores else None
        score = "" if first is None or first.value is None else f"  {first.value:.2f} {first.metric.partition('[')[0]}"
        what = outcome.reason or f"{outcome.seconds:.1f} s{score}"
        where = "/".join(filter(None, (item.task, item.data_set, item.image)))
        sys.stderr.write(f"{self.done}: {where}  {item.method}  {what}\n")


def _finish(folder: Path, progress: Tally, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        sys.stdout.write((folder / "leaderboard.json").read_text("utf-8"))
        return
    if quiet:
        return
    sys.stdout.write((folder / "leaderboard.md").read_text("utf-8") + "\n")
    done = f"{progress.done} rows computed, {progress.skipped} were there"
    more = f", {progress.failed} failed" if progress.failed else ""
    other = f"; {progress.other} rows of other versions are kept and not shown" if progress.other else ""
    sys.stdout.write(f"{done}{more}{other}\nopen {folder / 'leaderboard.html'}\n")


def _listed(texts: list[str] | None) -> tuple[str, ...]:
    """The words of lists with commas: "a,b" and "c" -> a, b, c."""
    return tuple(word.strip() for text in texts or () for word in text.split(",") if word.strip())


@app.command("rescore", help="Score kept estimates again, under further conventions too; no method is run.")
def rescore(
    out: Out,
    metrics: Annotated[
        list[str] | None, typer.Option("--metrics", help="A further convention, such as 'ms-ssim'. Repeatable.")
    ] = None,
    intersect: Intersect = False,
) -> None:
    """`restore bench rescore`: scores of the kept estimates, measured again."""
    from ..records import rescoring
    from ..tables import leaderboard

    with _opened(out) as store:
        done = rescoring.rescore(store, metrics or ())
        leaderboard.write(store, intersect=intersect)
    note = f"; {done.without} rows kept no estimate (--estimates all keeps every one)" if done.without else ""
    sys.stdout.write(f"{done.rows} rows scored again{note}\n")


@app.command("measurements", help="Write the measurements of a run, for a method of your own to start from.")
def measurements(out: Out, folder: Annotated[Path, typer.Argument(help="Folder to write.")]) -> None:
    """`restore bench measurements`: the measurements of a run, in a folder."""
    from ..records import submission

    with _opened(out) as store:
        sys.stdout.write(f"{submission.measurements(store, folder)} measurements in {folder}\n")


@app.command("validate", help="Check a submission against a run: complete, right shapes, finite.")
def validate(out: Out, folder: Submission) -> None:
    """`restore bench validate`: every fault of a submission, by file."""
    from ..records import submission

    with _opened(out) as store:
        checked = submission.validate(folder, store)
    for problem in checked.problems:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(f"{checked.method}: {len(checked.files)} estimates, {len(checked.problems)} problems\n")
    if checked.problems:
        raise typer.Exit(2)


@app.command("submit", help="Check a submission, score it, and merge it into the tables of a run.")
def submit(out: Out, folder: Submission) -> None:
    """`restore bench submit`: the scores of a submission, merged into the tables of a run."""
    from ..records import submission
    from ..tables import leaderboard

    with _opened(out) as store:
        count = submission.submit(folder, store)
        leaderboard.write(store)
    sys.stdout.write(f"{count} estimates scored and merged; open {out / 'leaderboard.html'}\n")


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[Store]:
    from ..records.store import Store

    store = Store(folder, create=False)
    try:
        yield store
    finally:
        store.close()
