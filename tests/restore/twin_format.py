"""A format of two files for `test_io_new_format`: a text header, NAME.twin, and the numbers it describes, NAME.raw."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from operators.common.metadata import Facts, Geometry
from restore.io.declared import Declared
from restore.io.decoded import Decoded, arranged
from restore.io.format import Format, Sized
from restore.io.layout import plan
from restore.io.source import Options, Source
from restore.io.write_spec import Spec

KEYS = ("axes", "shape", "type", "mm")


def recognise(source: Source) -> bool:
    """Whether this is a header, or the data beside one."""
    return source.head.startswith(b"TWIN\n") or (not source.folder and source.path.with_suffix(".twin").is_file())


def files(source: Source) -> tuple[Path, Path]:
    return source.path.with_suffix(".twin"), source.path.with_suffix(".raw")


def header(source: Source) -> tuple[tuple[int, ...], str, np.dtype, float]:
    text, data = files(source)
    lines = text.read_text("ascii").splitlines()[1:]
    values = dict(line.split(" = ", 1) for line in lines)
    if missing := [key for key in KEYS if key not in values]:
        raise source.fail(f"a header without {', '.join(missing)}", do="Write it again.")
    shape = tuple(int(n) for n in values["shape"].split())
    dtype = np.dtype(values["type"])
    promised = int(np.prod([*map(int, shape)], dtype=object)) * dtype.itemsize
    if min(shape) < 1 or not data.is_file() or data.stat().st_size != promised:
        raise source.fail(f"{data.name} is missing or of another size", wanted=f"{promised} bytes")
    return shape, values["axes"], dtype, float(values["mm"])


def extent(source: Source, options: Options) -> Sized:
    shape, axes, _, _ = header(source)
    return shape, axes


def read(source: Source, options: Options) -> Decoded:
    shape, axes, dtype, mm = header(source)
    layout = plan(source, shape, options, axes=axes)
    stored = np.array(np.memmap(files(source)[1], dtype, "r", shape=shape)[layout.selection])
    declared = Declared(unit="reflectance", facts=Facts(geometry=Geometry("HW", (mm, mm))))
    return arranged(stored, layout, fields={"dtype": dtype.str}, declared=declared)


def write(path: Path, stored: np.ndarray, spec: Spec, data: Path) -> None:
    mm = spec.facts.geometry.step("H") if spec.facts.geometry else None
    text = (
        f"axes = {spec.axes}\nshape = {' '.join(map(str, stored.shape))}\ntype = {stored.dtype.str}\nmm = {mm or 1}\n"
    )
    path.write_text(f"TWIN\n{text}", "ascii")
    data.write_bytes(np.ascontiguousarray(stored).tobytes())


FORMAT = Format(read, write, extent, others=(".raw",), files=files)
