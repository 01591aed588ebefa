"""The board of posterior samplers: exact posteriors of Levy processes and of a Gaussian mixture, every sampler on each.

    python -m benchmarks.studies.oracle_board --out results/oracle --page docs/oracle.md

It prints for each cell and sampler: the gap of its mean to the exact mean (dB, bias of few draws taken out), the error
of its covariance, coverage of 50 and 90 % order-statistic intervals and of the 90 % highest-density region, rank
statistics (SBC along projections, TARP by two references), the sliced Wasserstein distance to exact draws, calls and
seconds. Exact draws (floor) and draws of the prior (ceiling) stand beside them. Samplers are all that the registry
knows and that take a diffusion prior, or those named (`--solvers diffpir,dps:steps=50`).

This is a command of its own, not a suite of `restore bench`: its figures belong to many signals together (ranks,
ratios of sums), which a row for each picture does not hold. Rows are kept for blocks of signals; the same command goes
on where it was stopped, and a larger --signals adds to what is there.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import json
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import restore
from operators import BadInput, RestoreError
from operators.common import outside
from operators.common.atomic import atomic_path
from priors.analytic.levy_laws import LAWS
from priors.base import DiffusionPrior
from restore import solvers
from restore.driver import Settings

from ..cases.board_scores import Known, order_statistics, values
from ..cases.levy import OPERATORS, SIZES, Cell, Exact, LevyCell, MixtureCell
from .oracle_page import board, page, summary

FLOOR, CEILING = "exact draws (floor)", "prior draws (ceiling)"
VERSION = 1


def cells(patterns: Sequence[str], instances: Path | None = None) -> list[Cell]:
    """The cells whose names match: laplace/identity, mixture/d8-m1 and so on."""
    every: list[Cell] = [LevyCell(law, operator) for law in LAWS for operator in OPERATORS]
    every += [MixtureCell(d, m, instances) for d, m in SIZES]
    found = [cell for cell in every if any(fnmatch.fnmatch(cell.name, p) for p in patterns)]
    if not found:
        raise BadInput(f"no cell matches {', '.join(patterns)}", do=f"Cells: {', '.join(c.name for c in every)}.")
    return found


def samplers() -> list[str]:
    """Names of all registered solvers that take a diffusion prior and linear Gaussian problems."""
    found = []
    for name in solvers.REGISTRY:
        solver = solvers.REGISTRY.load(name)
        kind = solver.prior_kind
        diffusion = kind == "diffusion" if isinstance(kind, str) else issubclass(DiffusionPrior, kind)
        if solver.needs_prior and diffusion and not solver.needs_modulus:
            found.append(name)
    return found


def built(label: str) -> solvers.Solver:
    """The solver of a label such as dps:steps=50;rule=norm."""
    name, _, words = label.partition(":")
    settings: dict[str, Any] = {}
    for word in filter(None, words.split(";")):
        key, equals, value = word.partition("=")
        if not equals:
            raise BadInput(f"setting {word!r} of {name}", wanted="key=value, several with semicolons")
        settings[key] = outside.toml(f"v = {value}", where=label)["v"] if _is_toml(value) else value
    return solvers.build(name, **settings)


def _is_toml(word: str) -> bool:
    return word in ("true", "false") or not word[:1].isalpha()


def blocks(cell: Cell, signals: int) -> Iterator[tuple[int, ...]]:
    """Signals that are one problem."""
    for first in range(0, signals, cell.together):
        yield tuple(range(first, min(first + cell.together, signals)))


def exact_posterior(cell: Cell, problem: restore.Problem, block: Sequence[int], draws: int, kept: Path) -> Exact:
    """Of a block, kept in a folder for Levy cells, where it costs seconds to minutes."""
    if isinstance(cell, MixtureCell):
        return cell.exact(problem, block, draws)
    name = f"{cell.law}-{cell.operator}-{block[0]}-{block[-1]}-{draws}-v{VERSION}.npz"
    place = kept / name
    if place.exists():
        with np.load(outside.checked(place, limit=2**30), allow_pickle=False) as archive:
            return Exact(*(torch.from_numpy(archive[key]) for key in ("mean", "covariance", "draws")))
    found = cell.exact(problem, block, draws)
    kept.mkdir(parents=True, exist_ok=True)
    with atomic_path(place) as path:
        np.savez(path, **{f.name: getattr(found, f.name).numpy() for f in dataclasses.fields(found)})
    return found


def answered(cell: Cell, problem: restore.Problem, block: Sequence[int], label: str, draws: int) -> dict[str, Any]:
    """Draws of a solver (L x B x d; one where nothing is drawn), its calls and seconds for each signal and draw."""
    solver = built(label)
    count = draws if solver.draws else 1
    began = time.perf_counter()
    result = restore.solve(
        dataclasses.replace(problem, truth=None),
        cell.prior(block),
        solver,
        samples=count,
        settings=Settings(dtype="float64", tile=0, batch=cell.together * draws),
    )
    seconds = (time.perf_counter() - began) / (count * len(block))
    return {"draws": result.samples.double().flatten(2), "calls": float(result.nfe), "seconds": seconds}


def block_rows(cell: Cell, block: Sequence[int], labels: Sequence[str], draws: int, kept: Path) -> Iterator[dict]:
    """A row for each label and signal of a block; a refusal is a row too."""
    problem = cell.problem(block)
    exact = exact_posterior(cell, problem, block, 2 * (draws + 1), kept)
    targets = exact.draws[-draws:]
    if problem.truth is None:
        raise AssertionError("a posed problem has a truth")
    truth = problem.truth.flatten(1)
    ignorant = cell.ignorant(problem, block, draws + 1)
    shape = problem.operator.input_shape
    unseen = ignorant[-1].reshape(-1, *shape)
    pinv = problem.linear.pinv
    reference = (pinv(problem.y) + unseen - pinv(problem.operator(unseen))).flatten(1).double()
    for label in labels:
        head = {"version": VERSION, "cell": cell.name, "method": label, "draws": draws}
        try:
            if label == FLOOR:
                found: dict[str, Any] = {"draws": exact.draws[:draws], "calls": 0.0, "seconds": 0.0}
            elif label == CEILING:
                found = {"draws": ignorant[:draws], "calls": 0.0, "seconds": 0.0}
            else:
                found = answered(cell, problem, block, label, draws)
        except RestoreError as error:
            for signal in block:
                yield {**head, "signal": signal, "refused": outside.one_line(str(error))}
            continue
        regions = _regions(cell, problem, block, found["draws"], torch.cat([truth[None], targets]))
        for k, signal in enumerate(block):
            known = Known(exact.mean[k], exact.covariance[k], targets[:, k], truth[k], reference[k])
            region = None if regions is None else (regions[0][:, k], regions[1][:, k])
            row = values(found["draws"][:, k], known, regions=region, seed=signal)
            yield {**head, "signal": signal, "calls": found["calls"], "seconds": found["seconds"], **row}


def _regions(
    cell: Cell, problem: restore.Problem, block: Sequence[int], draws: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor] | None:
    if not cell.continuous or len(draws) < 2:
        return None
    return cell.log_posterior(problem, block, draws), cell.log_posterior(problem, block, targets)


def kept_rows(place: Path) -> list[dict[str, Any]]:
    """Rows of a file; a last line that was cut off is not one."""
    if not place.exists():
        return []
    lines = outside.text(place, limit=2**28).splitlines()
    rows = []
    for number, line in enumerate(lines):
        try:
            rows.append(outside.json_value(line, where=f"{place.name}, line {number + 1}", do="Remove the file."))
        except RestoreError:
            if number != len(lines) - 1:
                raise
    return [row for row in rows if row.get("version") == VERSION]


def run(
    chosen: Sequence[Cell],
    labels: Sequence[str],
    *,
    signals: int,
    counts: Mapping[str, int],
    out: Path,
    say: Any = None,
) -> list[dict[str, Any]]:
    """All rows of the board, those that are missing computed and added to `out`/rows.jsonl block by block.

    counts: draws of a sampler, by name of the cell.
    """
    out.mkdir(parents=True, exist_ok=True)
    place = out / "rows.jsonl"
    rows = kept_rows(place)
    _write(place, rows)
    for cell in chosen:
        draws = counts[cell.name]
        for block in blocks(cell, signals):
            have = {(r["method"], r["signal"]) for r in rows if r["cell"] == cell.name and r["draws"] == draws}
            missing = [label for label in labels if any((label, k) not in have for k in block)]
            if not missing:
                continue
            began = time.perf_counter()
            fresh = []
            for row in block_rows(cell, block, missing, draws, out / "exact"):
                if (row["method"], row["signal"]) not in have:
                    fresh.append(row)
                if row["signal"] == block[-1]:  # a method is done on this block
                    with place.open("a", encoding="utf-8") as file:
                        file.writelines(_line(one) for one in fresh)
                    rows, fresh = [*rows, *fresh], []
            if say is not None:
                say(f"{cell.name} signals {block[0]} to {block[-1]}: {time.perf_counter() - began:.1f} s")
    return [r for r in rows if r["method"] in labels and r["signal"] < signals and r["draws"] == counts.get(r["cell"])]


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps({k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()}) + "\n"


def _write(place: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with atomic_path(place) as path:
        path.write_text("".join(map(_line, rows)), "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, 2 for input that cannot be used, with the board on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of rows and of exact posteriors")
    parser.add_argument("--cells", default="*", help="patterns of cells, with commas: laplace/*,mixture/d8-*")
    parser.add_argument("--solvers", help="labels with commas, name or name:key=value;key=value; default: all")
    parser.add_argument("--signals", type=int, default=8, help="of each cell (the mixture: problems)")
    parser.add_argument("--draws", type=int, default=19, help="19, 39, 59, ...: so that 50 and 90 %% are exact")
    parser.add_argument("--mixture-draws", type=int, default=99, help="the same for the mixture")
    parser.add_argument("--instances", type=Path, help="an .npz of recorded mixture problems instead of drawn ones")
    parser.add_argument("--kept", action="store_true", help="print what is there and compute nothing")
    parser.add_argument("--page", type=Path, help="a Markdown page to write the board to")
    options = parser.parse_args(arguments)
    words = shlex.join(sys.argv[1:] if arguments is None else arguments)
    try:
        labels = samplers() if options.solvers is None else options.solvers.split(",")
        for label in labels:
            built(label)
        chosen = cells(options.cells.split(","), options.instances)
        if options.signals < 1:
            raise BadInput(f"{options.signals} signals", wanted="1 or more")
        counts = {c.name: options.mixture_draws if isinstance(c, MixtureCell) else options.draws for c in chosen}
        for count in set(counts.values()):
            order_statistics(count, 90), order_statistics(count, 50)
        rows = run(
            [] if options.kept else chosen,
            [FLOOR, *labels, CEILING],
            signals=options.signals,
            counts=counts,
            out=options.out,
            say=lambda words: sys.stderr.write(f"{words}\n"),
        )
    except RestoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    text = f"{summary(rows, FLOOR)}\n\n{board(rows)}\n"
    sys.stdout.write(text)
    if options.page is not None:
        with atomic_path(options.page) as path:
            path.write_text(page(text, rows, f"python -m benchmarks.studies.oracle_board {words}"), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
