"""Zarr folders (versions 2 and 3) through the package zarr: one array, or one of a group by name; parts are read alone.

Format: the Zarr specifications, zarr-specs.readthedocs.io.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from operators.common.errors import import_extra

from .declared import read_declared, write_declared
from .decoded import Decoded, arranged
from .format import Format, Sized
from .inside import choose_name
from .layout import plan
from .source import Options, Source, check_pixels
from .write_spec import Spec

MAX_ARRAYS = 10_000  # looked at while listing
CHUNK = 128  # entries of an array along each axis that are written together
_EXTRA = 'pip install "restore[zarr]"'


def read(source: Source, options: Options) -> Decoded:
    """One array as Decoded, or the part of it that index and window name; MissingExtra without the package zarr."""
    data, name, notes = chosen(source, options)
    declared = read_declared(source, data.attrs, data.ndim)
    layout = plan(source, data.shape, options, axes=declared.axes)
    stored = np.asarray(data[layout.selection])
    missing = int(data.nchunks) - int(data.nchunks_initialized)
    if missing:
        notes += (f"{missing} of {data.nchunks} chunks were never written and hold the fill value",)
    fields = {"dataset": name, "dtype": stored.dtype.str}
    return arranged(stored, layout, fields=fields, notes=notes, declared=declared)


def extent(source: Source, options: Options) -> Sized:
    """Shape of the array, and its axes where our own writer left them."""
    data = chosen(source, options)[0]
    return tuple(int(n) for n in data.shape), read_declared(source, data.attrs, data.ndim).axes


def chosen(source: Source, options: Options) -> tuple[Any, str, tuple[str, ...]]:
    """The array that the options name, or the only one; its name and notes on the choice."""
    zarr = import_extra("zarr", do=_EXTRA)
    _check_parts(source)
    node = zarr.open(str(source.path), mode="r")
    notes: tuple[str, ...] = ()
    name, data = options.dataset or "", node
    if hasattr(node, "shape"):
        if name:
            raise source.fail(f"dataset {name!r} for a single array", do="Leave dataset out (--dataset).")
    else:
        members = dict(_arrays(node))
        wanted = options.dataset.strip("/") if options.dataset is not None else None
        name, notes = choose_name(source, {key: f"{a.dtype} {a.shape}" for key, a in members.items()}, wanted)
        data = members[name]
    if np.dtype(data.dtype).kind not in "buifc":
        raise source.fail(f"{name or 'the array'!r} holds {data.dtype}", wanted="numbers")
    check_pixels(source, -(-math.prod(data.chunks) // 4), options, what="a Zarr chunk that")
    return data, name, notes


def _check_parts(source: Source) -> None:
    """ReadError for a store with a pipe or a device in it, or a link: its chunks are files, and of this folder."""
    for part in source.path.rglob("*"):
        mode = part.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            name = part.relative_to(source.path)
            raise source.fail(
                f"{name} in it is a link, a pipe or a device", "plain files", "Put the file itself there."
            )


def _arrays(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Arrays of two axes and more, groups inside groups included."""
    for count, (key, array) in enumerate(group.arrays()):
        if count >= MAX_ARRAYS:
            return
        if array.ndim >= 2:
            yield f"{prefix}{key}", array
    for key, inner in group.groups():
        yield from _arrays(inner, f"{prefix}{key}/")


def write(path: Path, stored: np.ndarray, spec: Spec) -> None:
    """One array in a store; one with a name lies in a group of the store."""
    zarr = import_extra("zarr", do=_EXTRA)
    name = spec.member
    if name:
        zarr.open_group(str(path), mode="w")
    chunks = tuple(min(n, CHUNK) for n in stored.shape)
    data = zarr.open_array(str(path), path=name, mode="w", shape=stored.shape, dtype=stored.dtype, chunks=chunks)
    data[...] = stored
    write_declared(data.attrs, spec)


FORMAT = Format(read, write, extent)
