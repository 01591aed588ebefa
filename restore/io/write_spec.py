"""How a tensor is stored: decided once, then the same for every format's writer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from operators.common.metadata import Facts

LONGEST = 200  # characters of the name of an array


@dataclass(frozen=True)
class Spec:
    """Type, scaling and axes of the stored array.

    dtype: stored type. full: stored value of 1 (integers), None: values as they are. ceiling: largest stored value,
    None: full. offset: value - stored.
    axes: letters of the stored axes. unit, facts: recorded where the format has a place for them.
    fields: of the format: "dataset" (npz, hdf5, mat), "compression", "byteorder" (tiff), "quality" (jpeg), ...
    """

    dtype: np.dtype
    full: float | None = None
    ceiling: float | None = None
    offset: float = 0.0
    axes: str = "HW"
    unit: str | None = None
    facts: Facts = field(default_factory=Facts)
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def member(self) -> str:
        """The name of the array in a file that names arrays, "" for none; one that leads elsewhere is not handed on."""
        name = str(self.fields.get("dataset") or "")
        parts = name.split("/")
        plain = len(name) <= LONGEST and name.isprintable() and "\\" not in name and not {"", ".", ".."} & set(parts)
        return name if plain else ""
