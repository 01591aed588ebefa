"""TIFF and BigTIFF through tifffile: integers and floats, one picture, a volume of pages, or one page of many.

Format: TIFF 6.0 (Adobe, 1992).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .decoded import Decoded, arrays_only, drop_alpha, orientation_notes, upright
from .format import Format, Sized
from .layout import Layout, plan
from .source import Options, Source, check_pixels, check_whole
from .tiff_facts import dialect_of, read_facts, written_metadata
from .tiff_structure import check_structure
from .values import full_range
from .write_spec import Spec

INVERTED, GRAY, COLOUR = 0, 1, 2  # photometric kinds that are read; the others are refused by name
LETTERS = {"Y": "H", "X": "W", "S": "C", "C": "C"}
DNG_VERSION = 50706  # the tag of every digital negative
KEPT = {"ADOBE_DEFLATE": "zlib", "DEFLATE": "zlib", "LZMA": "lzma"}  # written back; others become uncompressed


def read(source: Source, options: Options) -> Decoded:
    """The pixels of a TIFF as Decoded; ReadError where it is damaged, of an unusual colour kind, or lacks its codec."""
    arrays_only(source, options, "TIFF picture", allowed=("index", "axes"))
    check_structure(source)
    with _opened(source) as file:
        if DNG_VERSION in file.pages.first.tags or source.head[8:10] == b"CR":
            raise source.fail(
                "a camera's raw file (DNG or CR2), whose first picture is often a preview of it",
                wanted="gray or RGB",
                do="Develop it first, or save its mosaic as an array (.npy) for --task demosaic --measured.",
            )
        series, options = _choose(source, file.series, options)
        page = series.keyframe
        kind = getattr(page.photometric, "name", str(page.photometric))
        if int(page.photometric) not in (INVERTED, GRAY, COLOUR):
            raise source.fail(f"a {kind} TIFF", wanted="gray or RGB", do="Convert it to RGB first.")
        shape, axes = _axes(source, series, options)
        layout = plan(source, shape, options, axes=axes)
        check_pixels(source, page.tilewidth * page.tilelength if page.is_tiled else 1, options, what="a TIFF tile that")
        _check_segments(source, series)
        stored = _load(source, series, layout, shape, options)
        pages = len(file.pages)
        compression, byteorder = page.compression.name, file.byteorder
        facts, dialect = read_facts(source, file, page), dialect_of(file)
        tag = page.tags.get(274)
        orientation = int(tag.value) if tag is not None else 1
        bits = int(page.bitspersample)
    if orientation != 1 and options.window is not None:
        raise source.fail(f"a window of a TIFF with orientation tag {orientation}", do="Save it upright first.")
    array = layout.arrange(stored)
    full = full_range(stored.dtype, bits if stored.dtype.kind == "u" else None)
    notes = layout.notes + orientation_notes(orientation)
    if int(page.photometric) == INVERTED:
        if full is None:
            raise source.fail(f"an inverted (MINISWHITE) TIFF of {stored.dtype}", wanted="8 or 16 bits")
        array, notes = (
            (full - array.astype(np.int32)).astype(stored.dtype),
            (*notes, "inverted: stored with white as 0"),
        )
    if full is not None and len(array) == page.samplesperpixel:
        for channel in reversed(_alpha(page)):
            last = np.concatenate([np.delete(array, channel, 0), array[channel : channel + 1]])
            array, more = drop_alpha(source, last, full)
            notes += more
    if orientation != 1:
        facts = replace(facts, geometry=None)  # of the axes as they are stored
    return Decoded(
        upright(array, orientation),
        axes=layout.axes,
        bits=bits,
        full=full,
        orientation=orientation,
        pages=pages,
        fields={
            "compression": KEPT.get(compression),
            "byteorder": byteorder,
            "dtype": stored.dtype.str,
            "dialect": dialect,
            "colour": int(page.photometric) == COLOUR,
            "samples": "S" in series.axes,
        },
        notes=notes,
        facts=facts,
    )


def _alpha(page: Any) -> list[int]:
    """Which samples of a pixel are transparency: extra ones of kind 1 or 2, kind 0 being data (tag 338)."""
    first = int(page.samplesperpixel) - len(page.extrasamples)
    return [first + k for k, kind in enumerate(page.extrasamples) if int(kind) in (1, 2)]


def extent(source: Source, options: Options) -> Sized:
    """Shape and letters of the stored array, its values unread."""
    check_structure(source)
    with _opened(source) as file:
        series, options = _choose(source, file.series, options)
        return _axes(source, series, options)


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    """The file; pages that were written one by one, all alike, are seen as one stack."""
    import tifffile

    with _quiet(), tifffile.TiffFile(source.path, _multifile=False) as file:
        _check_alone(source, file)
        kinds = {(tuple(entry.shape), entry.axes, str(entry.dtype)) for entry in file.series}
        if len(file.series) == 1 or len(kinds) > 1:
            yield file
            return
    with _quiet(), tifffile.TiffFile(source.path, is_shaped=False, _multifile=False) as file:
        yield file


@contextmanager
def _quiet() -> Iterator[None]:
    """A block in which tifffile's remarks on damaged files do not come before our one line."""
    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _check_alone(source: Source, file: Any) -> None:
    """ReadError for an OME-TIFF whose planes lie in other files: what a file names in its XML is not opened."""
    text = file.pages.first.description if len(file.pages) and file.is_ome else ""
    own = re.search(r'<OME\b[^>]*\bUUID="([^"]+)"', text)
    planes = re.findall(r'<UUID\b[^>]*\bFileName="([^"]*)"[^>]*>\s*([^<\s]*)', text)
    others = sorted({name for name, uuid in planes if own is None or uuid != own[1]} - {source.path.name})
    if others:
        raise source.fail(
            f"an OME-TIFF whose planes lie in other files ({', '.join(others[:3])!r:.200})",
            wanted="one file that holds them all",
            do="Save it as one file first.",
        )


def _choose(source: Source, series: Any, options: Options) -> tuple[Any, Options]:
    """The only series, or the one that index names; the index is used up then."""
    if not series:
        raise source.fail("a TIFF without a picture", do="Get or export the file again.")
    if len(series) == 1:
        return series[0], options
    shapes = ", ".join("x".join(map(str, entry.shape)) for entry in series[:6])
    if options.index is None or not 0 <= options.index < len(series):
        message = f"a TIFF of {len(series)} pictures of different kinds ({shapes})"
        raise source.fail(message, do=f"Choose one with index 0 to {len(series) - 1} (--index).")
    return series[options.index], replace(options, index=None)


def _axes(source: Source, series: Any, options: Options) -> tuple[tuple[int, ...], str | None]:
    """Shape without axes of length 1, and our letters: pages are depth; a second page axis must be indexed (N)."""
    kept = [(n, c) for n, c in zip(series.shape, series.axes, strict=True) if n > 1 or c in "YX"]
    shape, stored = tuple(n for n, _ in kept), "".join(c for _, c in kept)
    if options.axes is not None:
        return shape, None
    pages = [c for c in stored if c not in LETTERS]
    if len(pages) > 2 or stored.count("S") + stored.count("C") > 1:
        raise source.fail(f"a TIFF of shape {shape} with axes {stored}", do="Give axes (--axes), or export one stack.")
    letters = dict(zip(pages, "ND"[-len(pages) :] if pages else "", strict=True))
    return shape, "".join(LETTERS.get(c) or letters[c] for c in stored)


def _check_segments(source: Source, series: Any) -> None:
    """Every strip or tile lies inside the file, and uncompressed ones are as long as the picture."""
    advice, key = "Get or export the file again.", series.keyframe  # pages after the first carry no tags of their own
    if series.dataoffset is not None and series.dataoffset + series.nbytes > source.size:
        raise source.fail("truncated TIFF: its values run past the end of the file", do=advice)
    for page in series.pages:
        if page is None:
            raise source.fail("a TIFF with missing pages", do=advice)
        offsets, counts = page.dataoffsets, page.databytecounts
        if any(offset + count > source.size for offset, count in zip(offsets, counts, strict=True)):
            raise source.fail("truncated TIFF: a strip or tile runs past the end of the file", do=advice)
        if not offsets or (0 in counts and series.dataoffset is None):
            raise source.fail("a TIFF with missing strips or tiles", do=advice)
        if int(key.compression) == 1 and sum(counts) * 8 < key.size * key.bitspersample:
            raise source.fail("truncated TIFF: fewer bytes than pixels", do=advice)


def _load(source: Source, series: Any, layout: Layout, shape: tuple[int, ...], options: Options) -> np.ndarray:
    try:
        first, rest = layout.selection[0], layout.selection[1:]
        pages = series.pages
        if series.dataoffset is not None:
            # Uncompressed and in one piece: only the part that is wanted is read.
            stored = series.dtype.newbyteorder(series.keyframe.parent.byteorder)
            return np.array(np.memmap(source.path, stored, "r", series.dataoffset, shape)[layout.selection])
        if isinstance(first, int) and len(pages) == shape[0] and tuple(pages[first].shape) == shape[1:]:
            return pages[first].asarray()[rest]
        check_whole(source, shape, options)
        return series.asarray().reshape(shape)[layout.selection]
    except (ImportError, KeyError, ValueError) as error:
        codec = series.keyframe.compression.name
        if "imagecodecs" in str(error) or isinstance(error, ImportError):
            raise source.fail(
                f"a TIFF compressed with {codec}, which needs the package imagecodecs",
                do="Install it (pip install imagecodecs), or save the picture uncompressed or with deflate.",
            ) from error
        raise


def write(path: Path, stored: np.ndarray, spec: Spec) -> None:
    """A TIFF of an array of any order of axes: colours and samples as such, other axes as pages."""
    import tifffile

    letters, kind = _samples(spec, stored.shape)
    tifffile.imwrite(
        path,
        np.ascontiguousarray(stored),
        compression=spec.fields.get("compression"),
        byteorder=spec.fields.get("byteorder") or "<",
        bigtiff=stored.nbytes > 3 << 30,
        **kind,
        **written_metadata(spec, letters),
    )


def _samples(spec: Spec, shape: tuple[int, ...]) -> tuple[str, dict[str, Any]]:
    """tifffile's letters of the axes, and how it is told that channels are the samples of a pixel."""
    letters = spec.axes.translate(str.maketrans("HWD", "YXZ"))
    channels = dict(zip(spec.axes, shape, strict=True)).get("C", 1)
    last, planes = letters.endswith("YXC"), letters.endswith("CYX") and bool(spec.fields.get("samples"))
    colour = channels == 3 or (channels > 3 and bool(spec.fields.get("colour")))
    if channels == 1 or not (last or planes):
        return letters, {"photometric": "minisblack"}
    extra = channels - (3 if colour else 1)
    tags = {"photometric": "rgb" if colour else "minisblack", "planarconfig": "contig" if last else "separate"}
    return letters.replace("C", "S"), {**tags, **({"extrasamples": ["unspecified"] * extra} if extra else {})}


FORMAT = Format(read, write, extent, picture=True)
