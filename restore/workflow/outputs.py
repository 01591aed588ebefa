"""The folder a run leaves: everything is written beside it under another name, then renamed at once."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import io, report
from ..io.atomic import atomic_path
from ..judge import Baseline
from ..reconstruction import Reconstruction


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A fresh folder that becomes `out` when the block ends well; otherwise nothing is left and `out` is as it was."""
    out.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    stage.chmod(0o755)  # mkdtemp makes it private; results are ordinary files
    try:
        yield stage
        _replace(stage, out)
    except io.WriteError as error:
        if error.path.is_relative_to(stage):
            raise error.about(out / error.path.relative_to(stage)) from error
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _replace(stage: Path, out: Path) -> None:
    if not out.exists():
        stage.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
    out.rename(old / "kept")
    try:
        stage.rename(out)
    except BaseException:
        (old / "kept").rename(out)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def write_all(
    out: Path, result: Reconstruction, baseline: Baseline, image: io.Image, metrics: dict[str, Any], title: str
) -> None:
    """Every file of one picture: estimate, measurement, comparison, result.h5, report.html, metrics.json."""
    problem = result.problem
    shown, remarks = report.pictures(problem, result.estimate, std=result.std, baseline=baseline.estimate)
    notes = [*(problem.recipe or {}).get("notes", ()), *image.meta.notes, *remarks]
    page = report.Page(
        title=title,
        command=str(result.provenance["command"]),
        task=dict((problem.recipe or {}).get("task", {})),
        metrics=metrics,
        pictures=shown,
        trace=[dict(row) for row in result.trace],
        provenance=dict(result.provenance),
        notes=notes,
        timing={"total": result.timing.total, "network": result.timing.network, "noise": result.timing.noise},
    )
    with staged(out) as stage:
        notes += write_estimate(stage, result.estimate[0], image)
        if "measurement" in shown:
            io.write(stage / "measurement.png", shown["measurement"].float().clamp(0, 1))
        io.write(stage / "comparison.png", report.comparison(shown, unit=image.meta.unit))
        result.save(stage / "result.h5")
        report.write(stage / "report.html", page)
        write_json(stage / "metrics.json", metrics)


def write_estimate(folder: Path, estimate: Tensor, image: io.Image) -> list[str]:
    """estimate.png, and the kind of file that came in where that is another one; returns what could not be done."""
    io.write(folder / "estimate.png", estimate.float().clamp(0, 1))
    if image.meta.format in ("png", "jpeg") and image.meta.bits <= 8:
        return []
    try:
        io.write_native(folder / "estimate", estimate.float(), image.meta)
    except io.WriteError as error:
        # The picture itself is safe in result.h5; its own format may not hold it.
        return [f"no file of the input's kind ({image.meta.format}) was written: {error.found}"]
    return []


def write_json(path: Path, table: Mapping[str, Any]) -> None:
    """Plain data as JSON, whole or not at all; NaN and infinity are refused."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(table, indent=2, allow_nan=False) + "\n", encoding="utf-8")
