"""MATLAB files: version 5 to 7 through scipy, 7.3 (HDF5) through h5py with its axes put back in MATLAB's order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .decoded import Decoded, arranged
from .format import Format, Sized
from .hdf5 import candidates, check_storage, opened, resolve
from .inside import choose_name, join_parts
from .layout import Layout, plan
from .source import Options, Source, check_whole
from .write_spec import Spec

NUMERIC = {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
HEADER = 128  # bytes before the first element of a version 5 file


def read(source: Source, options: Options) -> Decoded:
    """One variable as Decoded; `dataset` names it ("x", or "s.x" for a field of a structure)."""
    if source.head[:10] == b"MATLAB 7.3":
        return _read_hdf5(source, options)
    return _read_version5(source, options)


def extent(source: Source, options: Options) -> Sized:
    """Shape of the variable; its axes have no names."""
    if source.head[:10] == b"MATLAB 7.3":
        with _opened(source, options) as (data, _name, _notes):
            return tuple(int(n) for n in data.shape[::-1]), None
    inside, path, _ = _chosen(source, options)
    shape, kind = inside[path[0]]
    return (shape if kind in NUMERIC else _load(source, path).shape), None


def _decoded(stored: np.ndarray, layout: Layout, name: str, notes: tuple[str, ...]) -> Decoded:
    return arranged(stored, layout, fields={"dataset": name, "dtype": stored.dtype.str}, notes=notes)


@contextmanager
def _opened(source: Source, options: Options) -> Iterator[tuple[Any, str, tuple[str, ...]]]:
    """The variable of a version 7.3 file, its name, and notes on the choice."""
    with opened(source) as file:
        everything = candidates(file)
        # Text is stored as numbers of two bytes; a one-row matrix is a parameter rather than a picture.
        pictures = {k: v for k, v in everything.items() if _class(file[k]) != "char" and min(file[k].shape) > 1}
        name = (options.dataset or "").replace(".", "/")
        notes: tuple[str, ...] = ()
        if not name:
            name, notes = choose_name(source, pictures or everything, None)
        data = resolve(source, file, name)
        check_storage(source, data, options)
        yield data, name, notes


def _read_hdf5(source: Source, options: Options) -> Decoded:
    with _opened(source, options) as (data, name, notes):
        layout = plan(source, data.shape[::-1], options)  # MATLAB counts its first index fastest
        stored = join_parts(np.asarray(data[layout.selection[::-1]]).T)
        stored = stored.astype(bool) if _class(data) == "logical" else stored
    return _decoded(stored, layout, name.replace("/", "."), notes)


def _class(data: Any) -> str:
    value = data.attrs.get("MATLAB_class", b"")
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _chosen(
    source: Source, options: Options
) -> tuple[dict[str, tuple[tuple[int, ...], str]], list[str], tuple[str, ...]]:
    """Shape and class of the variables of a version 5 file, the path of the one to be read, and notes on the choice."""
    import scipy.io

    _check_elements(source)
    inside = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(str(source.path))}
    pictures = {
        name: f"{kind} {shape}"
        for name, (shape, kind) in inside.items()
        if kind in NUMERIC and len(shape) >= 2 and min(shape) > 1
    }
    everything = {name: f"{kind} {shape}" for name, (shape, kind) in inside.items()}
    path = (options.dataset or "").split(".")
    path[0], notes = choose_name(source, everything if options.dataset else pictures or everything, path[0] or None)
    return inside, path, notes


def _read_version5(source: Source, options: Options) -> Decoded:
    inside, path, notes = _chosen(source, options)
    shape, kind = inside[path[0]]
    if kind in NUMERIC:  # on the header alone, before the values are unpacked
        plan(source, shape, options)
        check_whole(source, shape, options)
    stored = _load(source, path)
    stored = stored.astype(bool) if kind == "logical" else stored
    layout = plan(source, stored.shape, options)
    return _decoded(stored[layout.selection], layout, ".".join(path), notes)


def _load(source: Source, path: list[str]) -> np.ndarray:
    import scipy.io

    value = scipy.io.loadmat(str(source.path), variable_names=[path[0]])[path[0]]
    return _field(source, value, path)


def _field(source: Source, value: Any, path: list[str]) -> np.ndarray:
    """Follow field names into structures of one element."""
    for depth, key in enumerate(path[1:], start=1):
        names = getattr(getattr(value, "dtype", None), "names", None) or ()
        if key not in names or value.size != 1:
            raise source.fail(
                f"no field {key!r} in {'.'.join(path[:depth])!r}", do=f"It has: {', '.join(names) or 'none'}."
            )
        value = value[key].item()
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "buifc":
        names = getattr(getattr(value, "dtype", None), "names", None) or ()
        kind = f"a structure with fields {', '.join(names)}" if names else "no array of numbers"
        dataset = ".".join(path)
        raise source.fail(
            f"{dataset!r} is {kind}", "an array", f"Name a field: {dataset}.FIELD (--dataset)." if names else ""
        )
    return value


def _check_elements(source: Source) -> None:
    """Every top-level element lies inside the file; scipy would read on in some that do not."""
    order: Any = "little" if source.head[126:128] == b"IM" else "big"
    position, count = HEADER, 0
    with source.path.open("rb") as file:
        while position < source.size:
            file.seek(position)
            tag = file.read(8)
            position += 8 + int.from_bytes(tag[4:], order)
            count += 1
            if len(tag) < 8 or position > source.size:
                raise source.fail(
                    "truncated MAT file: a variable runs past its end", do="Get or export the file again."
                )
    if not count:
        raise source.fail("a MAT file without variables", do="Get or export the file again.")


def write(path: Path, stored: np.ndarray, spec: Spec) -> None:
    """A MATLAB file of version 5 with one variable, compressed."""
    import scipy.io

    name = (spec.member or "image").rsplit(".", 1)[-1]
    scipy.io.savemat(path, {name: stored}, do_compression=True, appendmat=False)


FORMAT = Format(read, write, extent)
