"""What reading gives: a tensor, and everything the file said that the tensor cannot hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from operators.common.errors import BadType
from operators.common.metadata import PARTS, Facts, parts_from_dict

UNITS = ("[0,1]", "hu", "counts", "reflectance", "radiance", "magnitude")
AS_STORED = "as stored"  # floats outside [0, 1] whose unit nobody gave


@dataclass(frozen=True)
class Metadata(Facts):
    """What a file said about its picture. All of it is plain data (`as_dict` is JSON-safe).

    format: name of the file format. sha256: digest of the file. name: its file name, without folders.
    unit: one of UNITS, or "as stored". value_range: (lowest, highest) legal value: (0, 1) for [0,1], else as found.
    bits: depth of one stored value. dtype: numpy name of the stored type. axes: letters of the stored axes read.
    orientation: EXIF orientation that was applied (1: none). pages: pictures or pages in the file.
    shape: C x H x W or C x D x H x W as read; () where older metadata do not say.
    fields: what a writer of the same format needs to write the same kind again.
    notes: choices made while reading, for the user to see.
    geometry, camera, spectral, acquisition: what it said of the physics, by kind (`operators.common.metadata`).
    """

    format: str
    sha256: str
    name: str
    unit: str
    value_range: tuple[float, float]
    bits: int
    dtype: str
    axes: str
    orientation: int = 1
    pages: int = 1
    fields: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()

    @property
    def white(self) -> float | None:
        """The stored number that became 1, where the user or the file said which; values beyond it are legal."""
        white: float | None = self.fields.get("white")
        return white

    @property
    def depth(self) -> int:
        """Bits that tell the stored numbers from black to white apart."""
        return self.bits if self.white is None else max(1, round(math.log2(float(self.fields["full"]) + 1)))

    @property
    def channels(self) -> int:
        """Of the picture as read; 0 where older metadata do not say."""
        return self.shape[0] if self.shape else 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for provenance: lists instead of tuples, safe for JSON."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name not in PARTS}
        lists = {name: list(values[name]) for name in ("value_range", "notes", "shape")}
        plain = {**lists, "fields": dict(self.fields)}
        return {**values, **plain, **self.parts_as_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Metadata:
        """The inverse of `as_dict`; BadType for a key this version does not know."""
        names = {entry.name for entry in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise BadType(f"metadata with unknown keys {', '.join(unknown)}", do="Use the version that wrote it.")
        low, high = values["value_range"]
        plain = {"value_range": (low, high), **{key: tuple(values.get(key, ())) for key in ("notes", "shape")}}
        return cls(**{**values, **plain, **parts_from_dict(values)})


@dataclass(frozen=True)
class Image:
    """A picture or volume with its metadata.

    data: C x H x W or C x D x H x W, float32 or complex64, contiguous, in `meta.unit`. NaN is kept as the file has it.
    """

    data: Tensor = field(repr=False)
    meta: Metadata

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)
