"""How large a file's picture is and how many there are, told without reading the values."""

from __future__ import annotations

import os
from dataclasses import dataclass

from operators.common.errors import BadInput

from .errors import as_read_error
from .format import Format
from .formats import detect, line, load
from .layout import name_axes
from .reading import read
from .source import MAX_PIXELS, Options, Source, open_source

STACKS = "ND"  # axes along which lie pictures of their own


@dataclass(frozen=True)
class Extent:
    """Sizes of a picture or of a stack of pictures.

    pictures: how many lie along the axis `along` ("N", "D"); None and "" for a single picture. axes: letters of the
    stored axes, in their order.
    """

    channels: int
    height: int
    width: int
    pictures: int | None = None
    along: str = ""
    axes: str = ""


def extent(
    path: str | os.PathLike[str],
    *,
    dataset: str | None = None,
    axes: str | None = None,
    unit: str | None = None,
    offset: float | None = None,
    max_pixels: int = MAX_PIXELS,
    white: float | None = None,
    black: float | None = None,
) -> Extent:
    """The extent of what `read` would read with these options; ReadError where it could not."""
    options = Options(dataset, None, axes, unit, offset, max_pixels, None, white, black)
    source = open_source(path)
    name = detect(source)
    with as_read_error(source.path, line(name).kind):
        shape, letters = _sized(source, load(name), options)
    sizes = dict(zip(letters, shape, strict=True))
    along = [letter for letter in STACKS if letter in sizes]
    if len(along) > 1:
        raise BadInput(f"{path} has axes {letters}", wanted="one axis of pictures, N or D", do="Write it as one stack.")
    pictures = sizes[along[0]] if along else None
    return Extent(sizes.get("C", 1), sizes["H"], sizes["W"], pictures, "".join(along), letters)


def check_head(path: str | os.PathLike[str], *, dataset: str | None = None, max_pixels: int = MAX_PIXELS) -> None:
    """ReadError for a file of no known kind, or one whose head is wrong; no values are read."""
    source = open_source(path)
    name = detect(source)
    with as_read_error(source.path, line(name).kind):
        kind = load(name)
        if kind.extent is not None:
            kind.extent(source, Options(dataset, None, None, None, None, max_pixels, None, None, None))


def _sized(source: Source, kind: Format, options: Options) -> tuple[tuple[int, ...], str]:
    """Shape of the stored array and a letter for each axis."""
    if kind.extent is not None:
        shape, axes = kind.extent(source, options)
        return shape, name_axes(source, shape, options, axes=axes)
    meta = read(
        source.path,
        dataset=options.dataset,
        axes=options.axes,
        unit=options.unit,
        offset=options.offset,
        max_pixels=options.max_pixels,
        white=options.white,
        black=options.black,
    ).meta
    sizes = dict(zip("CDHW" if len(meta.shape) == 4 else "CHW", meta.shape, strict=True))
    return tuple(sizes[letter] for letter in meta.axes), meta.axes
