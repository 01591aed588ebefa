"""HDF5 through h5py: one data set by name, never another file, never more than was asked for.

External links, external storage and virtual data sets lead to other files and are refused: a picture must not depend on
(or disclose) what lies elsewhere on the disk.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .declared import read_declared, write_declared
from .decoded import Decoded, arranged
from .format import Format, Sized
from .inside import choose_name, complex_pair, join_parts
from .layout import plan
from .source import Options, Source, check_pixels
from .write_spec import Spec

MAX_OBJECTS = 10_000  # looked at while listing
MAX_LINKS = 16  # soft links followed while resolving one name


def read(source: Source, options: Options) -> Decoded:
    """One data set as Decoded, or the part of it that index names."""
    with opened(source) as file:
        data, name, notes = named(source, file, options)
        check_storage(source, data, options)
        declared = read_declared(source, data.attrs, len(data.shape))
        layout = plan(source, data.shape, options, axes=declared.axes)
        stored = data[layout.selection]
        notes += _never_written(data)
        fields = native_fields(data, name)
    stored = join_parts(stored)
    return arranged(stored, layout, fields=fields, notes=notes, declared=declared)


def extent(source: Source, options: Options) -> Sized:
    """Shape of the data set, and its axes where our own writer left them."""
    with opened(source) as file:
        data = named(source, file, options)[0]
        check_storage(source, data, options)
        return tuple(int(n) for n in data.shape), read_declared(source, data.attrs, data.ndim).axes


@contextmanager
def opened(source: Source) -> Iterator[Any]:
    """The file, for reading; ReadError with a hint where a writer holds it."""
    import h5py

    try:
        file = h5py.File(source.path, "r")
    except OSError as error:
        text = str(error).lower()
        if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK) or "lock" in text or "already open" in text:
            raise source.fail(
                "another program is writing this HDF5 file",
                do="Close it first; after a crash `h5clear -s FILE` frees the file; on a drive without locks set "
                "HDF5_USE_FILE_LOCKING=FALSE.",
            ) from error
        raise
    with file:
        yield file


def named(source: Source, file: Any, options: Options) -> tuple[Any, str, tuple[str, ...]]:
    """The data set that the options name, or the only one; its name, and notes on the choice."""
    if options.dataset is None:
        name, notes = choose_name(source, candidates(file), None)
    else:
        name, notes = options.dataset.strip("/"), ()
    return resolve(source, file, name), name, notes


def candidates(group: Any, prefix: str = "") -> dict[str, str]:
    """Arrays that could be a picture, `name -> "float32 (5, 7)"`, hard links only."""
    members: dict[str, str] = {}
    seen: set[Any] = set()
    stack = [(prefix, group)]
    while stack and len(seen) < MAX_OBJECTS:
        where, current = stack.pop()
        if current.id.id in seen:
            continue
        seen.add(current.id.id)
        for key in sorted(current.keys(), reverse=True):
            member = _hard_member(current, key)
            name = f"{where}{key}"
            if _is_group(member) and not key.startswith("#"):
                stack.append((f"{name}/", member))
            elif _is_dataset(member) and len(member.shape or ()) >= 2 and _is_numeric(member.dtype):
                members[name] = f"{member.dtype} {member.shape}"
    return dict(sorted(members.items()))


def resolve(source: Source, file: Any, name: str) -> Any:
    """The data set of that path, following no link out of the file; ReadError with a list where there is none."""
    import h5py

    parts, current, links = [p for p in name.split("/") if p], file, 0
    while parts:
        key = parts.pop(0)
        link = current.get(key, getlink=True) if _is_group(current) and key in current.keys() else None  # noqa: SIM118
        if link is None:
            choose_name(source, candidates(file), name)
            raise source.fail(f"no data set named {name!r}")
        if isinstance(link, h5py.ExternalLink):
            raise source.fail(f"{name!r} is a link into another file", do="Name that file itself.")
        if isinstance(link, h5py.SoftLink):
            links += 1
            if links > MAX_LINKS:
                raise source.fail(f"{name!r} is a link that leads to itself")
            target = [p for p in link.path.split("/") if p]
            parts, current = target + parts, file if link.path.startswith("/") else current
            continue
        current = current[key]
    if not _is_dataset(current):
        inside = candidates(current) if _is_group(current) else {}
        choices = ", ".join(f"{name}/{key}" if name else key for key in inside) or "nothing"
        raise source.fail(f"{name!r} is a group", "a data set", f"It holds: {choices}.")
    return current


def check_storage(source: Source, data: Any, options: Options) -> None:
    """ReadError for values that lie in other files, are not numbers, were never written, or come in enormous chunks."""
    if data.is_virtual or data.external:
        raise source.fail(f"the values of {data.name!r} lie in other files", do="Copy them into one file first.")
    if data.shape is None or not _is_numeric(data.dtype):
        raise source.fail(f"{data.name!r} holds {data.dtype}", wanted="numbers, or (real, imag) pairs")
    if data.chunks:
        check_pixels(source, -(-math.prod(data.chunks) // 4), options, what="an HDF5 chunk that")
    if data.size and not data.id.get_storage_size():
        raise source.fail(f"{data.name!r} was created but never written", do="Run the program that writes it again.")


def native_fields(data: Any, name: str) -> dict[str, Any]:
    """What metadata keep of a data set: its path, stored type, and the field names of a complex compound."""
    pair = complex_pair(data.dtype)
    dtype = None if pair else data.dtype.str
    return {"dataset": name, "dtype": dtype, "pair": list(pair) if pair else None}


def _never_written(data: Any) -> tuple[str, ...]:
    if not data.chunks:
        return ()
    promised = math.prod(-(-n // c) for n, c in zip(data.shape, data.chunks, strict=True))
    missing = promised - data.id.get_num_chunks()
    return (f"{missing} of {promised} chunks were never written and hold the fill value",) if missing else ()


def _hard_member(group: Any, key: str) -> Any:
    import h5py

    return group[key] if isinstance(group.get(key, getlink=True), h5py.HardLink) else None


def _is_group(thing: Any) -> bool:
    import h5py

    return isinstance(thing, h5py.Group)


def _is_dataset(thing: Any) -> bool:
    import h5py

    return isinstance(thing, h5py.Dataset)


def _is_numeric(dtype: np.dtype) -> bool:
    return dtype.kind in "buifc" or complex_pair(dtype) is not None


@contextmanager
def new_file(path: Path) -> Iterator[Any]:
    """An HDF5 file that is put together in memory and written in one piece when the block ends well.

    A disk that fills up while HDF5 itself writes cannot be survived: the library fails again when it closes the file,
    and takes the process with it.
    """
    import h5py

    with h5py.File(path, "w", driver="core", backing_store=False) as file:
        yield file
        file.flush()
        content = file.id.get_file_image()
    path.write_bytes(content)


def write(path: Path, stored: np.ndarray, spec: Spec) -> None:
    """One data set in a new file, with fletcher32 checksums, axes and unit."""
    pair = spec.fields.get("pair")
    if pair and stored.dtype.kind == "c":
        part = stored.real.dtype
        split = np.empty(stored.shape, [(pair[0], part), (pair[1], part)])
        split[pair[0]], split[pair[1]] = stored.real, stored.imag
        stored = split
    with new_file(path) as file:
        name = spec.member or "image"
        data = file.create_dataset(name, data=stored, chunks=True, fletcher32=True)
        write_declared(data.attrs, spec)


FORMAT = Format(read, write, extent)
