"""What reading gives: a tensor, and everything the file said that the tensor cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from torch import Tensor

from operators.common.errors import BadType

UNITS = ("[0,1]", "hu", "counts", "reflectance", "radiance", "magnitude")
AS_STORED = "as stored"  # floats outside [0, 1] whose unit nobody gave


@dataclass(frozen=True)
class Metadata:
    """What a file said about its picture. All of it is plain data (`as_dict` is JSON-safe).

    format: name of the file format. sha256: digest of the file. name: its file name, without folders.
    unit: one of UNITS, or "as stored". value_range: (lowest, highest) legal value: (0, 1) for [0,1], else as found.
    bits: depth of one stored value. dtype: numpy name of the stored type. axes: letters of the stored axes read.
    orientation: EXIF orientation that was applied (1: none). pages: pictures or pages in the file.
    fields: what a writer of the same format needs to write the same kind again.
    notes: choices made while reading, for the user to see.
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

    def as_dict(self) -> dict[str, Any]:
        """Plain data for provenance: lists instead of tuples, safe for JSON."""
        values = asdict(self)
        return {**values, "value_range": list(self.value_range), "notes": list(self.notes), "fields": dict(self.fields)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Metadata:
        """The inverse of `as_dict`; BadType for a key this version does not know."""
        known = {entry.name for entry in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise BadType(f"metadata with unknown keys {', '.join(unknown)}", do="Use the version that wrote it.")
        low, high = values["value_range"]
        return cls(**{**values, "value_range": (low, high), "notes": tuple(values.get("notes", ()))})


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
