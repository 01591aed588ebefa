"""`restore doctor`: what is installed, what is missing and how to get it; whether an operator of one's own is right."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    from ..runs.checkup import Finding

WRONG = 1


def register(app: typer.Typer) -> None:
    """`restore doctor`, added to the program."""
    app.command("doctor", help="Show versions, devices, weights; check the embedded prior, or an operator of yours.")(
        doctor
    )


def doctor(
    operator: Annotated[
        str | None,
        typer.Option("--operator", metavar="FILE:NAME", help="Check this operator of yours (its file is run)."),
    ] = None,
    prior: Annotated[
        str | None, typer.Option("--prior", help="Look at this prior: does it predict its own errors? With --input.")
    ] = None,
    input: Annotated[
        Path | None, typer.Option("--input", help="A clean picture, or a folder of them.", callback=options.there)
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Pictures of the prior's kind, to compare with.", callback=options.there),
    ] = None,
    fetch: Annotated[
        str | None, typer.Option("--fetch", help="Download what a metric needs: lpips, lpips-vgg.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """`restore doctor`: versions, devices and weights, and findings on the embedded prior or an operator."""
    from ..runs import checkup

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
