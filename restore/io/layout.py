"""Which axis of a stored array is which: planned on the shape alone, before any value is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .source import Options, Source, check_pixels

LETTERS = {"C": "channels", "D": "depth", "H": "height", "W": "width", "N": "pictures, one of which index takes"}
GUESSED_CHANNELS = (3, 4)  # a last axis of this length is taken as channels


@dataclass(frozen=True)
class Layout:
    """The part of a stored array that is read, and how it becomes C x H x W or C x D x H x W.

    selection: an index for the stored array. shape, axes: what that gives, one letter per axis. notes: choices made.
    """

    selection: tuple[int | slice, ...]
    shape: tuple[int, ...]
    axes: str
    notes: tuple[str, ...] = ()

    @property
    def pixels(self) -> int:
        """Positions of the part that is read, a pixel being up to four values."""
        return pixel_count(self.shape, self.axes)

    def arrange(self, selected: np.ndarray) -> np.ndarray:
        """The selected part as C x H x W or C x D x H x W (a view)."""
        order = [self.axes.index(letter) for letter in "CDHW" if letter in self.axes]
        moved = selected.transpose(order)
        return moved if "C" in self.axes else moved[None]


def pixel_count(shape: Sequence[int], axes: str) -> int:
    """Pixels of an array of these axes, one pixel being up to four values."""
    sizes = dict(zip(axes, shape, strict=True))
    channels = sizes.pop("C", 1)
    return math.prod(sizes.values()) * -(-channels // 4)


def disarrange(array: np.ndarray, axes: str) -> np.ndarray:
    """The inverse of `Layout.arrange`: C x H x W or C x D x H x W to `axes` (without C: one channel only)."""
    letters = "CDHW" if array.ndim == 4 else "CHW"
    if "C" not in axes:
        array, letters = array[0], letters[1:]
    return array.transpose([letters.index(letter) for letter in axes])


def plan(source: Source, shape: Sequence[int], options: Options, *, axes: str | None = None) -> Layout:
    """The layout of an array: each axis named, the size checked; ReadError where its shape leaves a choice.

    shape: of the stored array. axes: what the file itself says, used where the caller gave none.
    """
    shape = tuple(int(n) for n in shape)
    notes: list[str] = []
    if options.index is not None and axes is not None and not {"N", "D"} & set(axes):
        axes = None  # one picture to the program that wrote it; the index may still mean one of its bands
    letters = name_axes(source, shape, options, axes=axes)
    if options.axes is None and axes is None and letters[-1] == "C":
        notes.append(f"took the last axis ({shape[-1]}) as channels")
    selection: list[int | slice] = [slice(None)] * len(shape)
    if options.index is not None:
        position = _indexed_axis(source, letters, options.index, shape)
        selection[position] = options.index
        notes.append(f"took index {options.index} of {shape[position]} along axis {position}")
        letters = letters[:position] + letters[position + 1 :]
        shape = shape[:position] + shape[position + 1 :]
    if "N" in letters:
        count = shape[letters.index("N")]
        raise source.fail(f"{count} pictures", wanted="one", do=f"Choose one with index 0 to {count - 1} (--index).")
    if options.window is not None:
        places = [k for k, part in enumerate(selection) if isinstance(part, slice)]
        for letter, (start, stop) in zip("HW", (options.window[:2], options.window[2:]), strict=True):
            axis = letters.index(letter)
            check_window(source, start, stop, shape[axis])
            selection[places[axis]] = slice(start, stop)
            shape = (*shape[:axis], stop - start, *shape[axis + 1 :])
    check_pixels(source, pixel_count(shape, letters), options, what=f"an array of {' x '.join(map(str, shape))}")
    return Layout(tuple(selection), shape, letters, tuple(notes))


def name_axes(source: Source, shape: tuple[int, ...], options: Options, *, axes: str | None = None) -> str:
    """A letter for each axis: what the caller says, or the file, or where the shape leaves no choice."""
    if len(shape) < 2 or 0 in shape:
        raise source.fail(f"an array of shape {shape}", wanted="a picture: two axes or more, none of length 0")
    if options.axes is not None:
        return _named_axes(source, shape, options)
    return axes or _guess(source, shape, options)


def check_window(source: Source, start: int, stop: int, size: int) -> None:
    """ReadError for a window that leaves the picture or holds nothing."""
    if not 0 <= start < stop <= size:
        raise source.fail(f"a window from {start} to {stop}", wanted=f"a part of 0 to {size}")


def _named_axes(source: Source, shape: tuple[int, ...], options: Options) -> str:
    axes = str(options.axes).upper()
    wrong = [letter for letter in axes if letter not in LETTERS]
    if wrong or len(set(axes)) < len(axes) or not {"H", "W"} <= set(axes):
        meaning = ", ".join(f"{k} {v}" for k, v in LETTERS.items())
        raise source.fail(f"axes {options.axes!r}", wanted="H and W and each letter once", do=f"Letters: {meaning}.")
    if len(axes) == len(shape) - 1 and options.index is not None and "N" not in axes:
        axes = "N" + axes
    if len(axes) != len(shape):
        raise source.fail(f"axes {options.axes!r} name {len(axes)} axes", wanted=f"{len(shape)}, for shape {shape}")
    return axes


def _guess(source: Source, shape: tuple[int, ...], options: Options) -> str:
    lead, rest = ("N", shape[1:]) if options.index is not None else ("", shape)
    if len(rest) == 2 and not (lead and rest[-1] in GUESSED_CHANNELS):
        return lead + "HW"
    if len(rest) == 3 and rest[-1] in GUESSED_CHANNELS:
        return lead + "HWC"
    if len(shape) == 3:
        choices = "CHW, HWC or DHW" if shape[0] > 1 else "CHW"
        do = f"Give axes (--axes), for example {choices}; or an index (--index) for one picture of a stack."
    else:
        do = "Give axes (--axes), a letter for each, for example DHWC or CDHW; or an index (--index) along the first."
    raise source.fail(f"an array of shape {shape}, whose axes can be read in several ways", do=do)


def _indexed_axis(source: Source, letters: str, index: int, shape: tuple[int, ...]) -> int:
    for letter in "ND":
        if letter in letters:
            position = letters.index(letter)
            if not 0 <= index < shape[position]:
                raise source.fail(f"index {index}", wanted=f"0 to {shape[position] - 1}, for shape {shape}")
            return position
    raise source.fail(
        f"index {index} for an array of shape {shape} with axes {letters}", do="Leave the index out: it is one picture."
    )
