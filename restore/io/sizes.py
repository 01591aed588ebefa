"""How large a file's picture is and how many there are, told without reading the values."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from operators.common.errors import BadInput

from .errors import as_read_error
from .formats import FORMATS, detect
from .layout import name_axes
from .source import MAX_PIXELS, Options, Source, open_source

STACKS = "ND"  # axes along which lie pictures of their own


@dataclass(frozen=True)
class Extent:
    """Sizes of a picture or of a stack of pictures.

    pictures: how many lie along the axis `along` ("N", "D"); None and "" for a single picture.
    """

    channels: int
    height: int
    width: int
    pictures: int | None = None
    along: str = ""


def extent(
    path: str | os.PathLike[str],
    *,
    dataset: str | None = None,
    axes: str | None = None,
    unit: str | None = None,
    offset: float = 0.0,
    max_pixels: int = MAX_PIXELS,
) -> Extent:
    """The extent of what `read` would read with these options; ReadError where it could not."""
    options = Options(dataset, None, axes, unit, float(offset), max_pixels)
    source = open_source(path)
    name = detect(source)
    with as_read_error(source.path, FORMATS[name].summary.split(",", 1)[0]):
        shape, letters = _shape(source, name, options)
    sizes = dict(zip(letters, shape, strict=True))
    along = [letter for letter in STACKS if letter in sizes]
    if len(along) > 1:
        raise BadInput(f"{path} has axes {letters}", wanted="one axis of pictures, N or D", do="Write it as one stack.")
    pictures = sizes[along[0]] if along else None
    return Extent(sizes.get("C", 1), sizes["H"], sizes["W"], pictures, "".join(along))


def _shape(source: Source, name: str, options: Options) -> tuple[tuple[int, ...], str]:
    """Shape of the stored array and a letter for each axis."""
    if name == "hdf5":
        from . import hdf5

        with hdf5.opened(source) as file:
            data = hdf5.named(source, file, options)[0]
            hdf5.check_storage(source, data, options)
            shape, axes = tuple(int(n) for n in data.shape), hdf5.declared(data, data.ndim)[0]
    elif name == "zarr":
        from .zarr_arrays import chosen

        shape, axes = tuple(int(n) for n in chosen(source, options)[0].shape), None
    elif name == "npy":
        from .numpy_arrays import npy_header

        shape, axes = npy_header(source).shape, None
    elif name == "tiff":
        from . import tiff

        shape, axes = tiff.extent(source, options)
    else:
        from .reading import read

        # Pictures that cannot be read in part, and archives that are unpacked whole.
        image = read(
            source.path,
            dataset=options.dataset,
            axes=options.axes,
            unit=options.unit,
            offset=options.offset,
            max_pixels=options.max_pixels,
        )
        return tuple(np.shape(image.data)), "CHW" if image.data.ndim == 3 else "CDHW"
    return shape, name_axes(source, shape, options, axes=axes)
