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

from operators.common.array_files import NpyHeader, check_length, read_header

from .decoded import Decoded
from .format import Format, Sized
from .inside import choose_name
from .layout import plan
from .numpy_arrays import decoded
from .source import Options, Source, check_whole
from .write_spec import Spec

MAX_MEMBERS = 100_000


def read(source: Source, options: Options) -> Decoded:
    """One array as Decoded; `dataset` names it where there are several."""
    with _member(source, options) as (file, header, name, notes):
        layout = plan(source, header.shape, options)
        check_whole(source, header.shape, options)
        # Read to the end, so that the archive's checksum is verified too.
        content = file.read(header.nbytes + 1)
    if len(content) != header.nbytes:
        raise source.fail(f"truncated .npz: {len(content)} bytes of {name!r}", wanted=f"{header.nbytes}")
    values = np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.fortran else "C")
    return decoded(values[layout.selection], layout, header, {"dataset": name}, notes)


def extent(source: Source, options: Options) -> Sized:
    """Shape of the array that would be read; its axes have no names."""
    with _member(source, options) as (_, header, _name, _notes):
        return header.shape, None


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
            header = read_header(source, file)
            check_length(source, header, arrays[name].file_size)
            yield file, header, name, notes


def _described(source: Source, archive: zipfile.ZipFile, arrays: Mapping[str, zipfile.ZipInfo]) -> dict[str, str]:
    """Name -> type and shape of the members that could be a picture; of all, where none could."""
    everything, pictures = {}, {}
    for name, info in arrays.items():
        header = _member_header(source, archive, info)
        everything[name] = "not readable" if header is None else f"{header.dtype} {header.shape}"
        if header is not None and len(header.shape) >= 2 and (header.dtype.kind in "buifc" or header.dtype.names):
            pictures[name] = everything[name]
    return pictures or everything


def _member_header(source: Source, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NpyHeader | None:
    with archive.open(info) as file:
        try:
            return read_header(source, file)
        except ValueError:
            return None


def write(path: Path, stored: np.ndarray, spec: Spec) -> None:
    """A .npz file with one array under the name `dataset`."""
    name = spec.member or "image"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{name}.npy", "w") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(stored), allow_pickle=False)


FORMAT = Format(read, write, extent)
