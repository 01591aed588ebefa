""".npy and .npz, read without pickle and without trusting the header.

A header that promises more than the file holds is refused before anything of that size is allocated.
Format: numpy.lib.format, versions 1 to 3.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from .decoded import Decoded, arranged, arrays_only
from .errors import ReadError
from .inside import choose_name, join_parts
from .layout import Layout, plan
from .source import Options, Source, check_whole
from .write_spec import Spec

MAX_MEMBERS = 100_000


@dataclass(frozen=True)
class NpyHeader:
    """What stands before the values of an array: start is the number of bytes."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int  # bytes before the first value

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(source: Source, options: Options) -> Decoded:
    """Read a .npy file; only the part that index names is loaded."""
    arrays_only(source, options, ".npy file", allowed=("index", "axes"))
    told = npy_header(source)
    layout = plan(source, told.shape, options)
    values = np.memmap(source.path, told.dtype, "r", told.start, told.shape, order="F" if told.fortran else "C")
    return _decoded(np.array(values[layout.selection]), layout, told, {})


def npy_header(source: Source) -> NpyHeader:
    """What a .npy file says about its array; ReadError where the file does not hold that much."""
    with source.path.open("rb") as file:
        found = _header(source, file)
    _check_length(source, found, source.size)
    return found


def read_npz(source: Source, options: Options) -> Decoded:
    """Read one array of a .npz file; `dataset` names it where there are several."""
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
        info = arrays[name]
        with archive.open(info) as file:
            header = _header(source, file)
            _check_length(source, header, info.file_size)
            layout = plan(source, header.shape, options)
            check_whole(source, header.shape, options)
            # Read to the end, so that the archive's checksum is verified too.
            content = file.read(header.nbytes + 1)
    if len(content) != header.nbytes:
        raise source.fail(f"truncated .npz: {len(content)} bytes of {name!r}", wanted=f"{header.nbytes}")
    values = np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.fortran else "C")
    return _decoded(values[layout.selection], layout, header, {"dataset": name}, notes)


def _decoded(
    stored: np.ndarray, layout: Layout, header: NpyHeader, fields: dict[str, object], notes: tuple[str, ...] = ()
) -> Decoded:
    stored = join_parts(stored)
    dtype = header.dtype.str if header.dtype.names is None else stored.dtype.str
    return arranged(stored, layout, fields={**fields, "dtype": dtype}, notes=notes)


def _header(source: Source, file: IO[bytes]) -> NpyHeader:
    try:
        version = np.lib.format.read_magic(file)
        parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise source.fail(f"a .npy header of version {version}", wanted="1.0, 2.0 or 3.0")
        shape, fortran, dtype = parse(file)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        if isinstance(error, ReadError):
            raise
        raise source.fail("truncated or damaged .npy header", do="Write the array again with numpy.save.") from error
    if dtype.hasobject:
        # Such values are pickles: loading them runs code from the file.
        raise source.fail("Python objects (a pickle)", wanted="an array of numbers", do="Save it as a plain array.")
    if any(n < 0 for n in shape):
        raise source.fail(f"damaged .npy header: shape {shape}")
    return NpyHeader(tuple(int(n) for n in shape), bool(fortran), dtype, file.tell())


def _check_length(source: Source, header: NpyHeader, size: int) -> None:
    found, wanted = size - header.start, header.nbytes
    if found != wanted:
        kind = "truncated or lying .npy" if found < wanted else "a .npy with extra bytes at its end"
        shape = f"shape {header.shape} of {header.dtype}"
        raise source.fail(f"{kind}: {found} bytes of values", f"{wanted} for {shape}", "Write the array again.")


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
            return _header(source, file)
        except ValueError:
            return None


def write_npy(path: Path, stored: np.ndarray, _spec: Spec) -> None:
    """Write an array with numpy.save's own header."""
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(stored), allow_pickle=False)


def write_npz(path: Path, stored: np.ndarray, spec: Spec) -> None:
    """Write one array under the name `dataset`."""
    name = str(spec.fields.get("dataset") or "image")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{name}.npy", "w") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(stored), allow_pickle=False)
