""".npz files: zip archives of .npy members, one of which is read by name.

Format: numpy.lib.format.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from .decoded import Decoded
from .format import Format, Sized
from .inside import choose_name
from .layout import plan
from .numpy_arrays import NpyHeader, check_length, decoded, header
from .source import Options, Source, check_whole
from .write_spec import Spec

MAX_MEMBERS = 100_000


def read(source: Source, options: Options) -> Decoded:
    """One array; `dataset` names it where there are several."""
    with _member(source, options) as (file, told, name, notes):
        layout = plan(source, told.shape, options)
        check_whole(source, told.shape, options)
        # Read to the end, so that the archive's checksum is verified too.
        content = file.read(told.nbytes + 1)
    if len(content) != told.nbytes:
        raise source.fail(f"truncated .npz: {len(content)} bytes of {name!r}", wanted=f"{told.nbytes}")
    values = np.frombuffer(content, told.dtype).reshape(told.shape, order="F" if told.fortran else "C")
    return decoded(values[layout.selection], layout, told, {"dataset": name}, notes)


def extent(source: Source, options: Options) -> Sized:
    """Shape of the array that would be read; its axes have no names."""
    with _member(source, options) as (_, told, _name, _notes):
        return told.shape, None


@contextmanager
def _member(source: Source, options: Options) -> Iterator[tuple[IO[bytes], NpyHeader, str, tuple[str, ...]]]:
    """The member that the options name, open behind its header; the header, the name, and notes on the choice."""
    with zipfile.ZipFile(source.path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()[:MAX_MEMBERS]}
        arrays = {name: info for name, info in members.items() if info.filename.endswith(".npy")}
        if not arrays:
            raise source.fail(
                "a zip archive without .npy members", "a .npz file", "If it is a checkpoint, use `restore import`."
            )
        if options.dataset is None and len(arrays) > 1:
            described = _described(source, archive, arrays)
        else:
            described = dict.fromkeys(arrays, "")
        name, notes = choose_name(source, described, options.dataset)
        with archive.open(arrays[name]) as file:
            told = header(source, file)
            check_length(source, told, arrays[name].file_size)
            yield file, told, name, notes


def _described(source: Source, archive: zipfile.ZipFile, arrays: Mapping[str, zipfile.ZipInfo]) -> dict[str, str]:
    """Name -> type and shape of the members that could be a picture; of all, where none could."""
    everything, pictures = {}, {}
    for name, info in arrays.items():
        told = _member_header(source, archive, info)
        everything[name] = "not readable" if told is None else f"{told.dtype} {told.shape}"
        if told is not None and len(told.shape) >= 2 and (told.dtype.kind in "buifc" or told.dtype.names):
            pictures[name] = everything[name]
    return pictures or everything


def _member_header(source: Source, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NpyHeader | None:
    with archive.open(info) as file:
        try:
            return header(source, file)
        except ValueError:
            return None


def write(path: Path, stored: np.ndarray, spec: Spec) -> None:
    """Write one array under the name `dataset`."""
    name = str(spec.fields.get("dataset") or "image")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{name}.npy", "w") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(stored), allow_pickle=False)


FORMAT = Format(read, write, extent)
