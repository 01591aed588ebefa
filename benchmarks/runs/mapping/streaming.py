"""The measurement of a large clean picture, made once, in bounded memory: the y that `restore run` would draw.

A picture of up to WHOLE values is measured in one piece, by the one function that measures. A larger one under a local
operator is measured band by band: A sees a band with all that reaches into it, and the noise is drawn from the same
generators in the same order (channel by channel, row by row) as for the whole, so that it is the same bit for bit;
A itself may then round differently in its last digit. y, and the decoded picture x in the problem's unit, lie in the
work folder until the answers are put together: the file itself is decoded once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operators import BadInput, NoiseSource
from operators.common.atomic import atomic_path
from restore import io
from restore.tasks import Task, measurement, units

from ...records.store import write_arrays
from .grid import Box

WHOLE = 1 << 25  # values of a picture that is measured in one piece
BAND = 256  # rows of the picture measured at a time, at least


def ensure(task: Task, where: Mapping[str, Any], *, seed: int) -> Path:
    """The file with y and x (C x H x W) of the picture of an item; written, whole or not at all, where it is not there.

    task: with what the picture's file states of its physics.
    """
    path = Path(where["y"])
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = where["size"]
    if where["channels"] * height * width > WHOLE:
        return _in_bands(task, where, path, seed=seed)
    image = io.read(where["path"], **where["reading"], index=where["index"])
    units.check_file(task.sections.input.unit, image.meta.unit)
    problem = task.problem(image, seed=seed)
    if problem.truth is None:
        raise BadInput(f"task {task.name!r} keeps no picture to cut windows from")
    return write_arrays(path, {"y": problem.y[0].numpy(), "x": problem.truth[0].numpy()})


def part(where: Mapping[str, Any], name: str, box: Box) -> Tensor:
    """A box of y or x (its name), 1 x C x h x w."""
    import h5py

    with h5py.File(where["y"], "r") as file:
        return torch.from_numpy(file[name][:, box[0] : box[1], box[2] : box[3]])[None]


def file_bands(where: Mapping[str, Any], size: tuple[int, int]) -> Iterator[tuple[int, io.Image]]:
    """First row and picture of the bands of a file, from the top; one that can only be decoded whole is so once."""
    from restore.io.formats import detect, load
    from restore.io.source import open_source

    (height, width), options = size, {**where["reading"], "index": where["index"]}
    whole = None if load(detect(open_source(where["path"]))).parts else io.read(where["path"], **options)
    for top, bottom in _bands(height, 1):
        if whole is None:
            yield top, io.read(where["path"], **options, window=(top, bottom, 0, width))
        else:
            yield top, replace(whole, data=whole.data[..., top:bottom, :width])


def _in_bands(task: Task, where: Mapping[str, Any], path: Path, *, seed: int) -> Path:
    import h5py

    law = task.noise()
    if not law.in_order:
        channels, (height, width) = where["channels"], where["size"]
        raise BadInput(
            f"{type(law).__name__} noise is drawn for a whole picture at once, and {channels} x {height} x {width} "
            f"values are more than {WHOLE}",
            do="Measure it elsewhere and give the measurement with --measured.",
        )
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        _copy(task, where, file)
        _apply(task, where, file)
        _draw(task, file, NoiseSource(seed, [_image_id(file["x"])]))
        del file["seen"]
    return path


def _copy(task: Task, where: Mapping[str, Any], file: Any) -> None:
    """x: the picture in the problem's unit."""
    pictures, size = task.sections.input, (where["size"][0], where["size"][1])
    legal = units.UNITS[pictures.unit]
    for top, image in file_bands(where, size):
        units.check_file(pictures.unit, image.meta.unit)
        measurement.check_values(image.data, low=legal.low, high=legal.high)
        band = units.enter(image.data[None], pictures, [])[0][0].numpy()
        _stored(file, "x", band, size)[:, top : top + band.shape[1]] = band


def _apply(task: Task, where: Mapping[str, Any], file: Any) -> None:
    """y without noise, and `seen`: which of its entries are observed."""
    (height, width), reach, grid = where["size"], where["reach"][0], where["grid"][0]
    down, across = where["factor"]
    for top, bottom in _bands(height, grid):
        first = max((top - reach) // grid * grid, 0)
        last = min(-(-(bottom + reach) // grid) * grid, height)
        truth = torch.from_numpy(file["x"][:, first:last])[None]
        mask = _mask(where, (first, last, 0, width))
        operator = task.operator(tuple(truth.shape[1:]), {} if mask is None else {"mask": mask})
        with torch.no_grad():
            clean = operator(truth)[0]
        observed = torch.ones((), dtype=torch.bool) if operator.observed is None else operator.observed
        rows, place = slice((top - first) // down, (bottom - first) // down), slice(top // down, bottom // down)
        for name, values in (("y", clean), ("seen", observed.expand(clean.shape))):
            band = values[:, rows].numpy()
            _stored(file, name, band, (height // down, width // across))[:, place] = band


def _draw(task: Task, file: Any, source: NoiseSource) -> None:
    """Noise on y, and its storing."""
    y, seen, law = file["y"], file["seen"], task.noise()
    for channel in range(y.shape[0]):  # the order of an array in memory, in which a whole measurement is drawn
        for top, bottom in _bands(y.shape[1], 1):
            noisy = law.sample(torch.from_numpy(y[channel, top:bottom])[None, None], source)[0, 0]
            there = torch.from_numpy(seen[channel, top:bottom])
            noisy = noisy if task.bits is None else measurement.quantise(noisy, task.bits)
            y[channel, top:bottom] = torch.where(there, noisy, torch.zeros_like(noisy)).numpy()


def _stored(file: Any, name: str, band: np.ndarray, size: tuple[int, int]) -> Any:
    """The array of that name, made for bands like this one where it is not there."""
    if name not in file:
        file.create_dataset(name, (band.shape[0], *size), band.dtype, chunks=True, fletcher32=True)
    return file[name]


def _mask(where: Mapping[str, Any], box: Box) -> Tensor | None:
    if where["mask"] is None:
        return None
    return io.read(where["mask"], unit="counts", window=box).data[0] != 0


def _bands(rows: int, grid: int) -> Iterator[tuple[int, int]]:
    step = -(-BAND // grid) * grid
    yield from ((top, min(top + step, rows)) for top in range(0, rows, step))


def _image_id(x: Any) -> str:
    """`operators.image_id` of the whole picture, read channel by channel and band by band."""
    total = hashlib.sha256(repr(tuple(x.shape)).encode())
    for channel in range(x.shape[0]):
        for top, bottom in _bands(x.shape[1], 1):
            total.update(np.ascontiguousarray(x[channel, top:bottom], dtype=np.float32).tobytes())
    return total.hexdigest()
