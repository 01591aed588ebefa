"""Solvers against the simple baseline of a task, on a test set: the command behind the tables of docs/results.md.

    python -m benchmarks.comparison --task sr4x --set set14 --solver diffpir --out results/sr4x-set14.json

Every method sees the same measurement of a picture. Finished rows are kept in the JSON file as they come, so a killed
run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import restore
from benchmarks import metrics
from benchmarks.datasets import data_root, find
from operators import BadInput, RestoreError
from restore.io.atomic import atomic_path
from restore.tasks import Task

CHROMA = "chroma-rmse[bt601]"


@dataclasses.dataclass(frozen=True)
class Row:
    """One method on one picture. psnr, ssim and lpips follow the task's conventions; None where not to be had."""

    task: str
    data_set: str
    image: str
    method: str
    psnr: float | None
    ssim: float | None
    lpips: float | None
    chroma: float | None
    seconds: float
    nfe: int


def compare(task: Task, path: Path, data_set: str, method: str, *, size: int = 0, seed: int = 0) -> Row:
    """Measure the picture at `path` and restore it.

    method: "baseline" or a solver's name. size: side of the centre crop, 0 for the whole picture.
    """
    picture = restore.read(path).data[None]
    problem = task.problem(centre_crop(picture, size) if size else picture, seed=seed)
    began = time.perf_counter()
    if method == "baseline":
        estimate, nfe = task.baseline(problem), 0
        seconds = time.perf_counter() - began
    else:
        result = restore.solve(problem, task.prior_for(method), task.solver_for(method), seed=seed)
        estimate, nfe, seconds = result.estimate, result.nfe, result.seconds
    scores = score(task, estimate, problem.truth)
    return Row(task.name, data_set, path.stem, method, **scores, seconds=seconds, nfe=nfe)


def score(task: Task, estimate: Tensor, truth: Tensor | None) -> dict[str, float | None]:
    """psnr, ssim, lpips by the task's conventions and the colour-difference error beside them."""
    if truth is None:
        raise BadInput("no truth to score against")
    names = {**task.metrics, "chroma": CHROMA} if truth.shape[1] == 3 else dict(task.metrics)
    scores = metrics.evaluate(estimate, truth, list(names.values()))
    values = {key: scores[name].value for key, name in names.items()}
    return {key: values.get(key) for key in ("psnr", "ssim", "lpips", "chroma")}


def centre_crop(picture: Tensor, size: int) -> Tensor:
    """The middle `size` x `size` pixels (fewer where the picture is smaller)."""
    top, left = (max((side - size) // 2, 0) for side in picture.shape[-2:])
    return picture[..., top : top + size, left : left + size]


def summary(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Mean of each method on each task and set; `wins` counts the pictures on which it beats the baseline."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, row.data_set, row.method), []).append(row)
    lines = []
    for (task, data_set, method), members in groups.items():
        base = {r.image: r.psnr for r in groups.get((task, data_set, "baseline"), []) if r.psnr is not None}
        gains = [r.psnr - base[r.image] for r in members if r.psnr is not None and r.image in base]
        line: dict[str, Any] = {"task": task, "set": data_set, "method": method, "images": len(members)}
        for key in ("psnr", "ssim", "lpips", "chroma", "seconds", "nfe"):
            values = [getattr(r, key) for r in members if getattr(r, key) is not None]
            line[key] = sum(values) / len(values) if values else None
        line["gain"] = sum(gains) / len(gains) if gains else None
        line["wins"] = sum(1 for gain in gains if gain > 0)
        lines.append(line)
    return lines


def markdown(lines: Sequence[dict[str, Any]]) -> str:
    """The summary as a Markdown table."""
    head = "| task | set | method | images | PSNR | gain | better on | SSIM | LPIPS | chroma RMSE | seconds | NFE |"
    out = [head, "|" + "---|" * 12]
    for line in lines:
        cells = [line["task"], line["set"], line["method"], str(line["images"])]
        cells += [_cell(line["psnr"], 2), _cell(line["gain"], 2, sign=True), str(line["wins"])]
        cells += [_cell(line["ssim"], 4), _cell(line["lpips"], 4), _cell(line["chroma"], 4)]
        cells += [_cell(line["seconds"], 1), _cell(line["nfe"], 0)]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def _cell(value: float | None, digits: int, *, sign: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def load_rows(path: Path) -> list[Row]:
    """Rows of an earlier, perhaps unfinished run."""
    return [Row(**r) for r in json.loads(path.read_text())["rows"]] if path.exists() else []


def store_rows(path: Path, rows: Sequence[Row], command: str) -> None:
    """All rows and the command that made them, written whole."""
    content = {
        "command": command,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "rows": [dataclasses.asdict(r) for r in rows],
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", required=True, help="a task; may be repeated")
    parser.add_argument("--set", default="set14", help="a data set of data/datasets.toml")
    parser.add_argument("--solver", action="append", default=[], help="a solver; default: the task's own")
    parser.add_argument("--limit", type=int, default=0, help="the first N pictures; 0 for all")
    parser.add_argument("--size", type=int, default=0, help="side of the centre crop; 0 for the whole picture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="the data root; default RESTORE_DATA")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of rows, resumed where it exists")
    options = parser.parse_args(arguments)
    command = "python -m benchmarks.comparison " + " ".join(sys.argv[1:] if arguments is None else arguments)
    try:
        paths = find(options.set).paths(data_root(options.data))
        rows = load_rows(options.out)
        done = {(r.task, r.data_set, r.image, r.method) for r in rows}
        for name in options.task:
            task = restore.tasks.load(name)
            for path in paths[: options.limit or None]:
                for method in ["baseline", *(options.solver or [task.table["solver"]["name"]])]:
                    if (name, options.set, path.stem, method) not in done:
                        rows.append(compare(task, path, options.set, method, size=options.size, seed=options.seed))
                        store_rows(options.out, rows, command)
                        sys.stderr.write(f"{name} {path.stem} {method} {rows[-1].psnr}\n")
    except RestoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(markdown(summary(rows)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
