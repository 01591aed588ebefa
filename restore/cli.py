"""The command line. Only typer is imported here; each command loads what it needs when it is called."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from operators.common.errors import RestoreError
from operators.common.registry import Entry

from .commands import calibrate, doctor, import_, report, rerun, run, score, tables, train
from .runs.allocator import keep_freed_memory

USAGE_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    name="restore",
    help="Restore pictures from measurements: denoise, deblur, enlarge, fill in.\n\n"
    "Start with: restore run --task sr4x",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from . import __version__

        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


for module in (run, calibrate, score, tables, train, import_, report, rerun, doctor):
    module.register(app)

# Commands of packages above this one are named here and imported when they are called: no import runs up to them.
ELSEWHERE = {
    "bench": Entry(
        "benchmarks.commands.bench:app",
        "Run a suite of benchmarks; the same command goes on where it was stopped. Write tables and a leaderboard.",
    ),
    "data": Entry("benchmarks.commands.data:app", "Test sets: list them, add a folder, fetch, show where one is."),
}


def _register_elsewhere(name: str, entry: Entry) -> None:
    # All that follows the name, --help too, is for the command itself.
    passing = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

    @app.command(name, help=entry.summary, context_settings=passing, add_help_option=False)
    def command(context: typer.Context) -> None:
        actual = typer.main.get_command(entry.load())
        status = actual.main(args=context.args, prog_name=context.command_path, standalone_mode=False, obj=context.obj)
        if isinstance(status, int) and status:
            raise typer.Exit(status)


for _name, _entry in ELSEWHERE.items():
    _register_elsewhere(_name, _entry)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status of a command: 0, 2 for input that cannot be used, 130 after Ctrl-C.

    What a user can mend is told in one line on the error stream; any other exception is a defect and shows its trace.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _print_anywhere()
    keep_freed_memory()
    try:
        status = app(args=words, standalone_mode=False, obj={"arguments": words})
    except RestoreError as error:
        return _complain(str(error), USAGE_ERROR)
    except typer.Abort:
        return _complain("stopped", INTERRUPTED)
    except KeyboardInterrupt:
        return _complain("stopped before anything was finished", INTERRUPTED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}", USAGE_ERROR)
    except Exception as error:
        if not hasattr(error, "format_message"):  # click's own errors: unknown option, missing argument, wrong type
            raise
        return _complain(f"{error.format_message()} Try --help.", getattr(error, "exit_code", USAGE_ERROR))
    return status if isinstance(status, int) else 0


def _print_anywhere() -> None:
    """A terminal of another encoding (LANG=C) shows an escape for a sign it lacks; it does not end the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _complain(text: str, status: int) -> int:
    sys.stderr.write("restore: " + " ".join(text.split()) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
