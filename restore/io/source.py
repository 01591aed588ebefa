"""How a file is to be read, and the limits that every reader of pictures keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from operators.common.outside import Source, check_there, open_source

__all__ = ["MAX_PIXELS", "Options", "Source", "check_pixels", "check_there", "check_whole", "open_source"]

MAX_PIXELS = 178_000_000  # default limit of one read; a pixel is up to four values


@dataclass(frozen=True)
class Options:
    """How the caller wants a file read; the meaning of each is in `restore.io.read`."""

    dataset: str | None = None
    index: int | None = None
    axes: str | None = None
    unit: str | None = None
    offset: float | None = None
    max_pixels: int = MAX_PIXELS
    window: tuple[int, int, int, int] | None = None
    white: float | None = None
    black: float | None = None


def check_whole(source: Source, shape: Sequence[int], options: Options) -> None:
    """The pixel limit for an array that must be unpacked whole, even where only a part of it is wanted."""
    what = f"the array of {' x '.join(map(str, shape))}, which must be unpacked whole,"
    check_pixels(source, -(-math.prod(shape) // 4), options, what=what)


def check_pixels(source: Source, pixels: int, options: Options, *, what: str) -> None:
    """ReadError for a picture above the limit, before anything of its size is allocated."""
    if pixels > options.max_pixels:
        raise source.fail(
            f"{what} is {pixels} pixels",
            wanted=f"at most {options.max_pixels}",
            do="If you trust the file, raise max_pixels (--max-pixels), or read a part of it (index).",
        )
