"""`restore score`: PSNR, SSIM, LPIPS of two files or two folders."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options

DEFAULT = ("psnr", "ssim", "lpips")


def register(app: typer.Typer) -> None:
    """`restore score`, added to the program."""
    app.command("score", help="Compare an estimate with the truth: two files, or two folders paired by stem.")(score)


def score(
    estimate: Annotated[Path, typer.Argument(help="File or folder of estimates.", callback=options.there)],
    truth: Annotated[Path, typer.Argument(help="File or folder of true pictures.", callback=options.there)],
    metrics: Annotated[
        list[str] | None, typer.Option("--metrics", help="A convention such as 'psnr[y601,crop=4]'. Repeatable.")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out pictures without a partner.")
    ] = False,
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
    """`restore score`: metrics of estimates against their truths."""
    from ..runs.scoring import score_paths

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
    table = score_paths(estimate, truth, metrics or DEFAULT, reading=reading, allow_missing=allow_missing)
    for note in table.pop("notes"):
        sys.stderr.write(f"note: {note}\n")
    if as_json:
        sys.stdout.write(json.dumps(table, indent=2, allow_nan=False) + "\n")
    else:
        _show(table)


def _show(table: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    keys = list(table["conventions"])
    shown = Table(box=None, pad_edge=False)
    shown.add_column("picture")
    for key in keys:
        shown.add_column(Text(table["conventions"][key]), justify="right")
    for row in table.get("images", []):
        shown.add_row(Text(row["name"]), *(_number(row, key) for key in keys))
    if "images" in table:
        counts = table["counts"]
        shown.add_row("mean", *(f"{_number(table, key)} (n={counts[key]['ok']})" for key in keys))
    else:
        shown.add_row("", *(_number(table, key) for key in keys))
    console = Console()
    console.print(shown)
    for key, reason in table["reasons"].items():
        console.print(Text(f"{key}: {reason}"), soft_wrap=True)


def _number(row: dict[str, Any], key: str) -> str:
    if row[key] is None:
        return "infinite" if row.get("flags", {}).get(key) == "infinite" else "-"
    return f"{row[key]:.4f}"
