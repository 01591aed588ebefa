"""The tables of docs/results.md that come from `restore bench`: from rows kept in benchmarks/results/ to the page.

    restore bench --suite defaults --workers 2 --threads 1 --out results/defaults
    python -m benchmarks.tables.results_page --run results/defaults --keep-as defaults-set14

Without --run the page is filled from the rows that are kept already. Each table tells the command, the machine and the
day of its run; what is said about it stands above its heading and is written by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from operators import BadInput, RestoreError

from . import leaderboard
from .sections import fill

ROOT = Path(__file__).parents[2]
KEPT = Path("benchmarks/results")
PAGE = Path("docs/results.md")
# Heading -> (file of rows, its tasks in the order of the table; none: all)
TABLES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "### Whole pictures": ("defaults-set14", ("sr4x",)),
    "### Centre crops of 128 pixels": (
        "defaults-set14",
        (
            *("denoise", "denoise-poisson", "cs4x", "cs10x", "single-pixel", "sr2x", "sr8x"),
            *("deblur-gaussian", "deblur-motion", "demosaic", "inpaint-box"),
        ),
    ),
    "### Centre crops of 256 pixels": ("defaults-set14", ("inpaint-random",)),
    "### Two pictures, all solvers": ("standard-limit2", ()),
    "### Two pictures, both packages": ("deepinv-set14", ()),
}
HEAD = (
    "| task | method | pictures | PSNR | gain (95 % interval) | SSIM | LPIPS | NFE | seconds |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
INTERVAL_FROM = 5  # pictures; the bootstrap of fewer says nothing


def section(stored: Mapping[str, Any], tasks: Sequence[str]) -> str:
    """One table under the line that says where its rows are from; BadInput for a task that was not run."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in stored["rows"]:
        rows.setdefault(row["task"], []).append(row)
    missing = [task for task in tasks if task not in rows]
    if missing:
        raise BadInput(f"no rows of {', '.join(missing)}", do="Run the whole suite, or drop them from TABLES.")
    lines = [line(row) for task in tasks or rows for row in rows[task]]
    machine = stored["machine"]
    origin = (
        f"`{stored['command']}`, {stored['date'][:10]}: {machine['processor']} ({machine['cpu_capability']}), "
        f"{machine['cores']} cores, torch {machine['torch']}."
    )
    return "\n".join([origin, "", HEAD, *lines])


def line(row: Mapping[str, Any]) -> str:
    """One method on one task."""
    lpips = "-" if row["lpips"] is None else f"{row['lpips']:.4f}"
    return (
        f"| {row['task']} | {row['method']} | {row['psnr_pictures']} | {row['psnr']:.2f} | {gain(row)} "
        f"| {row['ssim']:.4f} | {lpips} | {row['nfe'] or 0:.0f} | {row['seconds']:.1f} |"
    )


def gain(row: Mapping[str, Any]) -> str:
    """+1.65 (+1.13 to +2.20), or nothing for the baseline itself."""
    if row["psnr_gain"] is None:
        return ""
    if row["psnr_pictures"] < INTERVAL_FROM:
        return f"{row['psnr_gain']:+.2f}"
    return f"{row['psnr_gain']:+.2f} ({row['psnr_gain_low']:+.2f} to {row['psnr_gain_high']:+.2f})"


def keep(run: Path, path: Path) -> None:
    """A file of the rows of a finished run; BadInput where there are none or some items are missing."""
    stored = leaderboard.read(run)
    if stored["missing_rows"]:
        raise BadInput(f"{run} lacks {stored['missing_rows']} items", do="Repeat its command; it goes on.")
    path.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, with the page filled from the kept rows, or from those of a run where one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted({name for name, _ in TABLES.values()})
    parser.add_argument("--run", type=Path, help="folder of `restore bench`; default: the rows that are kept")
    parser.add_argument("--keep-as", choices=names, help="which kept rows those of --run replace")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose page is filled")
    options = parser.parse_args(arguments)
    if (options.run is None) != (options.keep_as is None):
        parser.error("--run and --keep-as go together")
    try:
        if options.run is not None:
            keep(options.run, options.root / KEPT / f"{options.keep_as}.json")
        page = (options.root / PAGE).read_text("utf-8")
        for heading, (name, tasks) in TABLES.items():
            stored = json.loads((options.root / KEPT / f"{name}.json").read_text("utf-8"))
            page = fill(page, heading, section(stored, tasks))
    except (RestoreError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    (options.root / PAGE).write_text(page, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
