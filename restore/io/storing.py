"""Stored numbers into the files of a format, under temporary names that are exchanged for the true ones at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from operators.common.atomic import atomic_folder, atomic_path

from .errors import WriteError
from .format import Format
from .formats import line, load
from .layout import disarrange
from .source import Source
from .values import to_stored
from .write_spec import Spec


def writable(path: Path, name: str) -> Format:
    """The format of that name; WriteError where its files are only read."""
    kind = load(name)
    if kind.write is None:
        raise WriteError(path, f"{line(name).kind} is a format that is only read", do="Write .npy, .h5 or .tif.")
    return kind


def store(path: Path, name: str, array: np.ndarray, spec: Spec, *, overwrite: bool) -> Path:
    """The path of a file that holds C x H x W or C x D x H x W values as a spec says, written whole or not at all.

    WriteError for values that the format does not hold, and for a place that cannot be written.
    """
    kind = load(name)
    _check_kind(path, name, kind, array)
    if spec.dtype.kind in "ui" and not np.isfinite(array).all():
        bad = int(array.size - np.count_nonzero(np.isfinite(array)))
        raise WriteError(path, f"{bad} values are NaN or infinite", do="Write floats (.npy, .tif) to keep them.")
    stored = to_stored(
        disarrange(array, spec.axes), spec.dtype, full=spec.full, offset=spec.offset, ceiling=spec.ceiling
    )
    with _temporary(path, name, kind, overwrite=overwrite) as places:
        kind.write(places[0], stored, spec, *places[1:])  # type: ignore[misc]  # `writable` has looked
    return path


@contextmanager
def _temporary(path: Path, name: str, kind: Format, *, overwrite: bool) -> Iterator[list[Path]]:
    """Where a format writes before everything is renamed: a file, several, or a folder."""
    with ExitStack() as stack:
        if line(name).folder:
            _check_folder(path, name, overwrite=overwrite)
            yield [stack.enter_context(atomic_folder(path))]
            return
        names = [path, *(path.with_suffix(suffix) for suffix in kind.others)]
        # Left in reverse: a header comes after the data that it describes.
        yield [stack.enter_context(atomic_path(each, overwrite=overwrite)) for each in names]


def _check_folder(path: Path, name: str, *, overwrite: bool) -> None:
    """WriteError where something else than a store of this format would be replaced."""
    if not path.exists():
        return
    if not path.is_dir() or not line(name).fits(Source(path, 0, b"", folder=True)):
        kind = "a folder" if path.is_dir() else "a file"
        raise WriteError(path, f"this is {kind} that holds something else", do="Name another place.")
    if not overwrite:
        raise WriteError(path, "it exists already", do="Choose another name or allow overwriting.")


def _check_kind(path: Path, name: str, kind: Format, array: np.ndarray) -> None:
    """WriteError for values or a shape that the format does not hold."""
    if kind.picture and array.dtype.kind == "c":
        raise WriteError(path, f"complex values for {name.upper()}", do="Write the magnitude, or use .npy or .h5.")
    if (kind.layouts and array.ndim == 4) or (kind.channels and array.shape[0] not in kind.channels):
        shape = " x ".join(map(str, array.shape))
        wanted = f"{' or '.join(map(str, kind.channels))} channels"
        raise WriteError(path, f"an array of {shape} for {name.upper()}", wanted, "Use .tif, .npy or .h5.")
