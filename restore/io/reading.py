"""`read`: from a path to an `Image`, whatever the format."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import torch

from operators.common.metadata import Camera

from .decoded import Decoded
from .errors import as_read_error, one_line, shown
from .format import Format
from .formats import detect, line, load
from .image import Image, Metadata
from .layout import check_window
from .source import MAX_PIXELS, Options, Source, open_source
from .values import check_options, to_values


def read(
    path: str | os.PathLike[str],
    *,
    dataset: str | None = None,
    index: int | None = None,
    axes: str | None = None,
    unit: str | None = None,
    offset: float | None = None,
    max_pixels: int = MAX_PIXELS,
    window: tuple[int, int, int, int] | None = None,
    white: float | None = None,
    black: float | None = None,
) -> Image:
    """A picture, a volume or an array as an Image; the format is told by the file's first bytes.

    Parameters
    ----------
    path: file of one of the kinds in `restore.io.formats.FORMATS`.
    dataset: array to take from .npz, .h5 or .mat; needed where there are several.
    index: picture to take along the leading axis (N or D) of an array, or page of a TIFF; from 0.
    axes: a letter for each axis of the stored array: C channels, D depth, H height, W width, N pictures (with index).
        Needed for three axes or more, unless the last of three has length 3 or 4.
    unit: "[0,1]", "hu", "counts", "reflectance", "radiance" or "magnitude". Without it, integers of 8 and 16 bits are
        divided by their full range and floats are taken as they are; with one of the last five, numbers are kept.
    offset: added to the stored numbers, with a unit: value = stored + offset (-1024 for CT counts to HU).
    max_pixels: refuse more pixels than this (one pixel: up to four values).
    window: (top, bottom, left, right), rows and columns of the picture to read alone; the digest of the file is then
        left empty. Only that part is loaded from .npy, .h5, Zarr and uncompressed TIFF files.
    white, black: stored numbers that become 1 and 0, for pictures in [0,1]: 4095 for 12 bits in a 16-bit file, or the
        count that stands for 1. Values beyond are kept. Without them the file's own, else the full range of its type.

    Returns
    -------
    Image
        `data` C x H x W or C x D x H x W, float32 or complex64. Orientation tags are applied once. NaN stay NaN.

    Raises
    ------
    ReadError
        The file is missing, damaged, too large, of another kind, or leaves a choice open.
    BadInput
        An option is wrong by itself (unknown unit, max_pixels below 1).
    """
    options = Options(dataset, index, axes, unit, offset, max_pixels, window, white, black)
    check_options(options)
    source = open_source(path)
    name = detect(source)
    with as_read_error(source.path, line(name).kind):
        kind = load(name)
        decoded = kind.read(source, options)
        if window is not None and not kind.parts:
            decoded = _cut(source, decoded, window)
        return _image(source, name, kind, decoded, options)


def _cut(source: Source, decoded: Decoded, window: tuple[int, int, int, int]) -> Decoded:
    top, bottom, left, right = window
    check_window(source, top, bottom, decoded.array.shape[-2])
    check_window(source, left, right, decoded.array.shape[-1])
    return replace(decoded, array=decoded.array[..., top:bottom, left:right])


def _image(source: Source, name: str, kind: Format, decoded: Decoded, options: Options) -> Image:
    options, notes = _as_declared(decoded, options)
    values = to_values(source, decoded.array, options, full=decoded.full, picture=kind.picture)
    facts = decoded.facts
    if options.white is not None or options.black is not None:
        camera = replace(facts.camera or Camera(), white=None, black=None)
        black = None if options.black is None else (options.black,)
        facts = replace(facts, camera=replace(camera, white=options.white, black=black))
    if facts.geometry is not None and options.window is not None:
        facts = replace(facts, geometry=facts.geometry.beginning(H=options.window[0], W=options.window[2]))
    files = () if kind.files is None else kind.files(source)
    meta = Metadata(
        format=name,
        sha256=source.sha256(files) if options.window is None else "",
        name=one_line(shown(source.path.name)),
        unit=values.unit,
        value_range=values.value_range,
        bits=decoded.bits,
        dtype=decoded.array.dtype.name,
        axes=decoded.axes,
        orientation=decoded.orientation,
        pages=decoded.pages,
        fields={**decoded.fields, **values.fields},
        notes=decoded.notes + notes + values.notes,
        shape=tuple(values.array.shape),
        geometry=facts.geometry,
        camera=facts.camera,
        spectral=facts.spectral,
        acquisition=facts.acquisition,
    )
    return Image(torch.from_numpy(np.ascontiguousarray(values.array)), meta)


def _as_declared(decoded: Decoded, options: Options) -> tuple[Options, tuple[str, ...]]:
    """The options with unit, offset, white and black as the file has them, where the caller gave none; and notes."""
    if options.unit is None and decoded.unit is not None and not options.offset:
        unit = decoded.unit if decoded.unit != "[0,1]" else None
        options = replace(options, unit=unit, offset=decoded.offset if options.offset is None else options.offset)
    camera = decoded.facts.camera
    scaled = options.unit in (None, "[0,1]") and options.white is None and options.black is None
    if not scaled or camera is None or camera.white is None or len(camera.black or (0.0,)) > 1:
        return options, ()
    (black,) = camera.black or (None,)
    note = f"white is {camera.white:g}, as the file says (another with --white)"
    return replace(options, white=camera.white, black=black), (note,)
