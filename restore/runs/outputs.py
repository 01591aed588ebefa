"""The folder a run leaves: everything is written beside it under another name, then renamed at once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from operators.common.atomic import atomic_folder, atomic_path

from .. import io, report
from ..io.writing import shows_whole
from ..reconstruction import Reconstruction
from ..tasks.units import shown_unit
from .judge import Baseline


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A fresh folder that becomes `out` when the block ends well; otherwise nothing is left and `out` is as it was."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as stage:
        try:
            yield stage
        except io.WriteError as error:
            if error.path.is_relative_to(stage):
                raise error.about(out / error.path.relative_to(stage)) from error
            raise


def write_all(
    out: Path,
    result: Reconstruction,
    baseline: Baseline,
    image: io.Image,
    metrics: dict[str, Any],
    title: str,
    *,
    origin: bool = False,
) -> None:
    """Every file of one picture: estimate, measurement, comparison, result.h5, report.html, metrics.json.

    origin: the report shows what was measured and what was filled in.
    """
    problem, leaving = result.problem, result.in_file_units()
    unit = shown_unit(problem, image.meta.unit)
    simple = None if baseline.estimate is None else problem.file_units.back(baseline.estimate)
    parts = leaving.origin() if origin else None
    shown, remarks = report.pictures(leaving.problem, leaving.estimate, std=leaving.std, baseline=simple, origin=parts)
    notes = [*problem.notes, *image.meta.notes, *remarks]
    page = report.Page(
        title=title,
        command=str(result.provenance["command"]),
        task={} if problem.recipe is None else dict(problem.recipe.task),
        metrics=metrics,
        pictures=shown,
        trace=[dict(row) for row in result.trace],
        provenance=dict(result.provenance),
        notes=notes,
        timing=result.timing.as_dict(),
    )
    with staged(out) as stage:
        notes += write_estimate(stage, leaving.estimate[0], image, unit)
        if "measurement" in shown:
            io.write(stage / "measurement.png", as_picture(shown["measurement"], unit))
        io.write(stage / "comparison.png", report.comparison(shown, unit=unit))
        result.save(stage / "result.h5")
        report.write(stage / "report.html", page)
        write_json(stage / "metrics.json", metrics)


def as_picture(values: Tensor, unit: str) -> Tensor:
    """What a PNG can hold (C x H x W in [0, 1]): the values themselves, or drawn by the rule that the report names."""
    if unit == "[0,1]" and not values.is_complex() and values.ndim == 3 and values.shape[0] in (1, 3):
        return values.float().clamp(0, 1)
    pixels, _ = report.display(values, kind=report.kind_of("estimate", values, unit))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def write_estimate(folder: Path, estimate: Tensor, image: io.Image, unit: str = "[0,1]") -> list[str]:
    """estimate.png, and the kind of file that came in where that is another one; returns what could not be done."""
    io.write(folder / "estimate.png", as_picture(estimate, unit))
    if shows_whole(image.meta):
        return []
    try:
        values = estimate.to(torch.complex64 if estimate.is_complex() else torch.float32)
        io.write_native(folder / "estimate", values, image.meta)
    except io.WriteError as error:
        # The picture itself is safe in result.h5; its own format may not hold it.
        return [f"no file of the input's kind ({image.meta.format}) was written: {error.found}"]
    return []


def write_json(path: Path, table: Mapping[str, Any]) -> None:
    """Plain data as JSON, whole or not at all; NaN and infinity are refused."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(table, indent=2, allow_nan=False) + "\n", encoding="utf-8")
