"""What a format's reader hands over, and the two rules pictures share: orientation tags and alpha channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from operators.common.metadata import Facts

from .declared import Declared
from .layout import Layout
from .source import Options, Source
from .values import full_range, stored_bits


@dataclass(frozen=True)
class Decoded:
    """Stored numbers, arranged as C x H x W or C x D x H x W, not yet scaled.

    full: stored value that stands for 1, None where none is agreed.
    unit, offset: what the file itself declares, where the caller gave none. facts: the typed parts of the metadata, for
    the part that index names. The rest as in `Metadata`.
    """

    array: np.ndarray
    axes: str
    bits: int
    full: int | None = None
    orientation: int = 1
    pages: int = 1
    unit: str | None = None
    offset: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    facts: Facts = field(default_factory=Facts)


def arrays_only(source: Source, options: Options, kind: str, *, allowed: tuple[str, ...] = ()) -> None:
    """ReadError for options that mean nothing for this format, rather than ignoring them."""
    for name in ("dataset", "index", "axes"):
        if name not in allowed and getattr(options, name) is not None:
            raise source.fail(f"{name} {getattr(options, name)!r} for a {kind}", do=f"Leave {name} out (--{name}).")


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """The array with an EXIF/TIFF orientation (1 to 8) undone in its last two axes: row 0 is the top of the scene.

    Values 2, 4, 5, 7 mirror; 5 to 8 exchange rows and columns (TIFF 6.0, tag 274). Others leave the picture alone.
    """
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(-1, -2)
    if orientation in (3, 4, 7, 8):
        array = array[..., ::-1, :]
    if orientation in (2, 3, 6, 7):
        array = array[..., ::-1]
    return array


def orientation_notes(orientation: int) -> tuple[str, ...]:
    """The note on an orientation that was undone; none for an upright picture."""
    return () if orientation == 1 else (f"applied the orientation tag {orientation}",)


def drop_alpha(source: Source, array: np.ndarray, full: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The array without an opaque alpha channel (last of the first axis), and notes; ReadError where it is in use.

    What lies under transparent pixels is not a picture anybody saw, and a background would be our invention.
    """
    alpha = array[-1]
    hidden = int(np.count_nonzero(alpha != full))
    if hidden:
        raise source.fail(
            f"a picture with transparency ({hidden} of {alpha.size} pixels are not opaque)",
            wanted="an opaque picture",
            do="Put it on a background first, for example: magick in.png -background white -alpha remove out.png",
        )
    return array[:-1], ("dropped an alpha channel that was opaque everywhere",)


def arranged(
    stored: np.ndarray,
    layout: Layout,
    *,
    fields: Mapping[str, Any],
    notes: tuple[str, ...] = (),
    declared: Declared | None = None,
) -> Decoded:
    """Numbers of an array format, with the axes that the layout found and the range of their own type.

    declared: what the file says of them beside.
    """
    declared = declared or Declared()
    return Decoded(
        layout.arrange(stored),
        axes=layout.axes,
        bits=stored_bits(stored),
        full=full_range(stored.dtype),
        unit=declared.unit,
        offset=declared.offset,
        fields=dict(fields),
        notes=notes + layout.notes,
        facts=declared.facts,
    )
