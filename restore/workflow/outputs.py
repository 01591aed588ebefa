"""The folder a run leaves: everything is written beside it under another name, then renamed at once."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import io, report
from ..io.atomic import atomic_path
from ..judge import Baseline
from ..reconstruction import Reconstruction

ERROR_FULL_SCALE = 0.2  # an absolute error of this much is drawn white


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A fresh folder that becomes `out` when the block ends well; otherwise nothing is left and `out` is as it was."""
    out.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    stage.chmod(0o755)  # mkdtemp makes it private; results are ordinary files
    try:
        yield stage
        _replace(stage, out)
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
    shown = pictures(result, baseline)
    notes = [*(result.problem.recipe or {}).get("notes", ()), *image.meta.notes, *display_notes(result, shown)]
    page = report.Page(
        title=title,
        command=str(result.provenance["command"]),
        task=dict((result.problem.recipe or {}).get("task", {})),
        metrics=metrics,
        pictures=shown,
        trace=[dict(row) for row in result.trace],
        provenance=dict(result.provenance),
        notes=notes,
    )
    with staged(out) as stage:
        notes += write_estimate(stage, result.estimate[0], image)
        io.write(stage / "measurement.png", measurement_picture(result))
        io.write(stage / "comparison.png", report.comparison(shown))
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


def pictures(result: Reconstruction, baseline: Baseline) -> dict[str, Tensor]:
    """What a person looks at, each C x H x W in [0, 1] and of the estimate's size; absent ones are left out."""
    estimate, truth = result.estimate[0], result.problem.truth
    shown = {"measurement": fit(measurement_picture(result), estimate.shape), "estimate": estimate}
    if truth is not None:
        shown["truth"] = truth[0]
        shown["error"] = (estimate - truth[0]).abs().mean(0, keepdim=True) / ERROR_FULL_SCALE
    if baseline.estimate is not None:
        shown["baseline"] = baseline.estimate[0]
    if result.std is not None:
        spread = result.std[0].mean(0, keepdim=True)
        shown["std"] = spread / spread.max().clamp_min(1e-12)
    return {name: picture.detach().cpu().float().clamp(0, 1) for name, picture in shown.items()}


def measurement_picture(result: Reconstruction) -> Tensor:
    """y where it is a picture; otherwise A^H y, stretched to [0, 1]."""
    y = result.problem.y[0].detach().cpu().float()
    if is_picture(y):
        return y.clamp(0, 1)
    back = result.problem.linear.adjoint(result.problem.y)[0].detach().cpu().float()
    low, high = back.min(), back.max()
    return (back - low) / (high - low).clamp_min(1e-12)


def is_picture(y: Tensor) -> bool:
    return not y.is_complex() and y.ndim == 3 and y.shape[0] in (1, 3) and min(y.shape[-2:]) > 1


def fit(picture: Tensor, shape: torch.Size) -> Tensor:
    """Enlarged by repeating pixels, so that a low-resolution measurement can lie over the estimate."""
    if tuple(picture.shape[-2:]) == tuple(shape[-2:]):
        return picture
    return torch.nn.functional.interpolate(picture[None], size=tuple(shape[-2:]), mode="nearest-exact")[0]


def display_notes(result: Reconstruction, shown: Mapping[str, Tensor]) -> list[str]:
    """How values became grey levels, where that is not plain."""
    notes = []
    if not is_picture(result.problem.y[0]):
        notes.append("the measurement is no picture: shown is A^H y, stretched from its least to its largest value")
    if "error" in shown:
        notes.append(f"error: mean over channels of |estimate - truth|, white = {ERROR_FULL_SCALE:g} and more")
    if "std" in shown and result.std is not None:
        notes.append(f"std: mean over channels, white = {float(result.std[0].mean(0).max()):.3g}")
    return notes


def write_json(path: Path, table: Mapping[str, Any]) -> None:
    """Plain data as JSON, whole or not at all; NaN and infinity are refused."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(table, indent=2, allow_nan=False) + "\n", encoding="utf-8")
