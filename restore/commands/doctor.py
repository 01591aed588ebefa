"""`restore doctor`: what is installed and what is missing; whether an operator is right; what noise a file has."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from ..noise_doctor.consultation import Consultation
    from ..runs.checkup import Finding

WRONG = 1


def register(app: typer.Typer) -> None:
    """`restore doctor`, added to the program."""
    app.command(
        "doctor", help="Show versions, devices, weights; check an operator of yours; say what noise a picture has."
    )(doctor)


def doctor(
    operator: Annotated[
        str | None,
        typer.Option("--operator", metavar="FILE:NAME", help="Check this operator of yours (its file is run)."),
    ] = None,
    prior: Annotated[
        str | None, typer.Option("--prior", help="Look at this prior: does it predict its own errors? With --input.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Pictures of the prior's kind, to compare with.", callback=options.there),
    ] = None,
    fetch: Annotated[
        str | None, typer.Option("--fetch", help="Download what a metric needs: lpips, lpips-vgg.")
    ] = None,
    input: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="Say what noise this picture has, and what to run. With --prior: clean pictures, a file or a folder.",
            callback=options.there,
        ),
    ] = None,
    dark: Annotated[
        list[Path] | None,
        typer.Option("--dark", metavar="FILE", help="With --input: a dark frame of the same camera. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="With --input: write the evidence to this .html or .svg file.")
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    dataset: options.Dataset = None,
    index: options.Index = None,
    axes: options.Axes = None,
    unit: options.Unit = None,
    offset: options.Offset = None,
    white: options.White = None,
    black: options.Black = None,
    max_pixels: options.MaxPixels = None,
) -> None:
    """`restore doctor`: versions, devices and weights; findings on an operator, or on the noise of a picture."""
    from operators import BadInput

    from ..runs import checkup

    if prior is None and against is not None:
        raise BadInput("--against without --prior", do="Name the prior with --prior.")
    if input is not None and (operator is not None or fetch is not None):
        raise BadInput("--input beside --operator or --fetch", do="Ask one thing at a time.")
    if input is not None and prior is None:
        from ..noise_doctor.consultation import consult

        reading = options.chosen(
            dataset=dataset,
            index=index,
            axes=axes,
            unit=unit,
            offset=offset,
            white=white,
            black=black,
            max_pixels=max_pixels,
        )
        told = consult(input, dark=tuple(dark or ()), out=out, overwrite=overwrite, reading=reading)
        if as_json:
            sys.stdout.write(json.dumps(told.plain(), indent=2, allow_nan=False) + "\n")
        else:
            _tell(told)
        return
    if dark or out is not None:
        raise BadInput("--dark or --out without --input", do="Name the picture with --input.")
    if operator is not None:
        findings = checkup.check_operator(operator)
    elif prior is not None:
        from ..runs import prior_checkup

        findings = prior_checkup.examine_prior(prior, input, against)
    elif fetch is not None:
        findings = [checkup.fetch(fetch)]
    else:
        findings = checkup.examine()
    if as_json:
        rows = [{"name": f.name, "state": f.state, "text": f.text} for f in findings]
        sys.stdout.write(json.dumps(rows, indent=2, allow_nan=False) + "\n")
    else:
        _show(findings)
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(WRONG)


def _show(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "absent": "yellow", "wrong": "red"}
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    for finding in findings:
        table.add_row(Text(finding.name), Text(finding.state, style=styles[finding.state]), Text(finding.text))
    Console().print(table)


def _tell(told: Consultation) -> None:
    """The levels, a line for each assumption, then the advice."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    words = {True: ("holds", "green"), False: ("does not hold", "red"), None: ("not told", "yellow")}
    console = Console()
    for note in told.notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)
    console.print(Text(told.found.level.sentence()), soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for heading in ("assumption", "", "what was seen", "needed by"):
        table.add_column(heading)
    for line in told.assumptions:
        word, style = words[line.holds]
        table.add_row(Text(line.name), Text(word, style=style), Text(line.text), Text(line.who))
    console.print(table)
    for sentence in (*told.dark_sentences(), *told.advice.reasons):
        console.print(Text(sentence), soft_wrap=True)
    if told.advice.command is not None:
        console.print(Text(told.advice.command, style="bold"), soft_wrap=True)
    if told.written is not None:
        console.print(Text(f"evidence: {told.written}"), soft_wrap=True)
