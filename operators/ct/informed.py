"""What a file says of a scan: the pixel of its picture, the angles and lengths of its scanner."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from ..common.errors import BadInput
from ..common.metadata import Facts, Geometry, Hints
from ..common.settings import check
from ..core.base import Shape
from .settings import Pixel, Spacing

SQUARE = 1e-3  # relative difference of two spacings that are still one pixel


def of_picture(meta: Facts, axes: str, settings: Mapping[str, Any], fixed: Collection[str]) -> Hints:
    """The side of a pixel of the picture that a file holds, where it is the same along `axes`."""
    if "pixel" in fixed or meta.geometry is None:
        return Hints()
    steps = [meta.geometry.step(letter) for letter in axes]
    sizes = [step for step in steps if step is not None]
    if len(sizes) < len(steps):
        return Hints()
    if max(sizes) > min(sizes) * (1 + SQUARE):
        sides = " x ".join(f"{size:g}" for size in sizes)
        own = f"{settings.get('pixel', 1.0):g} mm, the task's own"
        return Hints(notes={"pixel": f"pixel: {own}; the file's pixels of {sides} mm are not square"})
    return _pixel(sizes[-1])


def of_views(meta: Facts, sizes: Mapping[str, int], fixed: Collection[str], *, parallel: bool) -> Hints:
    """What the axes of a measurement show (`sizes`), and what its file states of angles and lengths.

    The cells of a parallel beam are as wide as what they see, so that they tell the pixel too. Lengths of a beam that
    diverges mean something together only: they are taken where the file has the distance of the source.
    """
    arrays: dict[str, Any] = {}
    stated: dict[str, Any] = {}
    notes: dict[str, str] = {}
    scan, geometry = meta.acquisition, meta.geometry or Geometry()
    if "angles" not in fixed:
        if scan is not None and scan.angles is not None:
            arrays["angles"], notes["angles"] = _angles(scan.angles, sizes["views"])
        else:
            notes["views"] = (
                f"angles: {sizes['views']} equidistant ones, as many as the measurement has views, over the task's "
                "span (give others with --array angles=FILE)"
            )
    cell, row = geometry.step("W"), geometry.step("H") if "rows" in sizes else None
    if parallel and cell is not None:
        stated |= {"spacing": cell}
        if "pixel" not in fixed:
            stated |= _pixel(cell).settings
            notes |= _pixel(cell).notes
    if not parallel and scan is not None and scan.source is not None:
        lengths = {"source": scan.source, "detector": scan.detector, "spacing": cell, "row_spacing": row}
        stated |= {name: length for name, length in lengths.items() if length is not None}
    stated = {name: value for name, value in stated.items() if name not in fixed}
    for name in stated.keys() - notes.keys():
        notes[name] = f"{name}: {stated[name]:.6g} mm, as the file says (another with --set operator.{name}=...)"
    return Hints(sizes=sizes, settings=stated, arrays=arrays, notes=notes)


def square(hints: Hints, output_shape: Shape, settings: Mapping[str, Any]) -> Shape:
    """The square as wide as the detector, which all views of a parallel beam see whole but for its corners."""
    lengths = {**settings, **hints.settings}
    pixel = check("pixel", lengths.get("pixel", 1.0), Pixel)
    spacing = check("spacing", lengths.get("spacing"), Spacing) or pixel
    side = max(1, round(hints.sizes["detectors"] * spacing / pixel))
    return (*output_shape[:-2], side, side)


def _pixel(size: float) -> Hints:
    note = f"pixel: {size:.6g} mm, as the file says (another with --set operator.pixel=...)"
    return Hints(settings={"pixel": size}, notes={"pixel": note})


def _angles(angles: tuple[float, ...], views: int) -> tuple[tuple[float, ...], str]:
    if len(angles) != views:
        raise BadInput(
            f"the file states {len(angles)} angles for a measurement of {views} views",
            do="Give the angles with --array angles=FILE.",
        )
    span = math.degrees(max(angles) - min(angles))
    return angles, f"angles: the file's own, {views} over {span:.4g} degrees (others with --array angles=FILE)"
