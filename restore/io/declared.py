"""What our own writers leave beside an array that has attributes (HDF5, Zarr): axes, unit, and the typed metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from operators.common import outside
from operators.common.errors import RestoreError
from operators.common.metadata import Facts, Geometry, parts_from_dict

from .image import UNITS
from .layout import LETTERS
from .source import Source
from .write_spec import Spec

LONGEST = 1 << 24  # characters of typed metadata
VOXEL = "element_size_um"  # of HDF5 files of ImageJ, ilastik and others: depth, row and column in micrometres


@dataclass(frozen=True)
class Declared:
    """What a file says of an array beside its values.

    axes: a letter for each axis, None where nobody left them. unit: one of UNITS, or None. offset: value - stored.
    """

    axes: str | None = None
    unit: str | None = None
    offset: float | None = None
    facts: Facts = field(default_factory=Facts)


def read_declared(source: Source, attributes: Mapping[str, Any], ndim: int) -> Declared:
    """What stands in the attributes of an array of `ndim` axes; ReadError for typed metadata that make no sense."""
    axes, unit = attributes.get("axes"), attributes.get("unit")
    letters = axes if isinstance(axes, str) else ""
    fits = len(letters) == ndim == len(set(letters)) and {"H", "W"} <= set(letters) <= set(LETTERS)
    return Declared(
        letters if fits else None,
        unit if isinstance(unit, str) and unit in UNITS else None,
        _offset(attributes.get("offset")),
        _facts(source, attributes),
    )


def write_declared(attributes: MutableMapping[str, Any], spec: Spec) -> None:
    """Axes, unit and typed metadata left in the attributes of an array."""
    attributes["axes"] = spec.axes
    if spec.unit in UNITS:
        attributes["unit"] = spec.unit
    if spec.offset and spec.full is None:
        attributes["offset"] = float(spec.offset)
    if facts := spec.facts.parts_as_dict():
        attributes["facts"] = json.dumps(facts, sort_keys=True)


def _offset(value: Any) -> float | None:
    """A number that may be added to stored numbers, or None."""
    number = float(value) if isinstance(value, int | float | np.floating) else math.nan
    return number if math.isfinite(number) else None


def _facts(source: Source, attributes: Mapping[str, Any]) -> Facts:
    text = attributes.get("facts")
    if text is None:
        return Facts(geometry=_voxel(attributes.get(VOXEL)))
    try:
        if not isinstance(text, str) or len(text) > LONGEST:
            raise ValueError("no text, or too much of it")
        return Facts(**parts_from_dict(outside.json_value(text, where="the typed metadata")))
    except (ValueError, TypeError, AttributeError, RestoreError) as error:
        raise source.fail(f"typed metadata that make no sense ({error})", do="Write the file again.") from error


def _voxel(size: Any) -> Geometry | None:
    """The spacing that the convention of HDF5 files for microscopes states; None for anything else under its name."""
    values = np.asarray(size, dtype=float).ravel() if isinstance(size, np.ndarray) else np.empty(0)
    if values.shape != (3,) or not np.isfinite(values).all() or (values <= 0).any():
        return None
    return Geometry("DHW", tuple(float(value) / 1000 for value in values))
