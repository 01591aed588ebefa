"""The measurement of a large clean picture, made once, in bounded memory: the y that `restore run` would draw.

A picture of up to WHOLE values is measured in one piece, by the one function that measures. A larger one under a local
operator is measured band by band: A sees a band with all that reaches into it, and the noise is drawn from the same
generators in the same order (channel by channel, row by row) as for the whole, so that it is the same bit for bit;
A itself may then round differently in its last digit. y lies in the work folder until the picture is put together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operators import BadInput, NoiseSource
from restore import io
from restore.io.atomic import atomic_path
from restore.tasks import Task, measurement, units

from .grid import Box

WHOLE = 1 << 25  # values of a picture that is measured in one piece
BAND = 256  # rows of the picture measured at a time, at least


def ensure(task: Task, where: Mapping[str, Any], *, seed: int) -> Path:
    """The file with y (C x H x W) of the picture of an item; written, whole or not at all, where it is not there."""
    path = Path(where["y"])
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = where["size"]
    if where["channels"] * height * width <= WHOLE:
        image = io.read(where["path"], **where["reading"], index=where["index"])
        units.check_file(task.sections.input.unit, image.meta.unit)
        return _write(path, task.problem(image, seed=seed).y[0].numpy())
    return _in_bands(task, where, path, seed=seed)


def part(where: Mapping[str, Any], box: Box) -> Tensor:
    """A box of y, 1 x C x h x w."""
    import h5py

    with h5py.File(where["y"], "r") as file:
        return torch.from_numpy(file["y"][:, box[0] : box[1], box[2] : box[3]])[None]


def _write(path: Path, y: np.ndarray) -> Path:
    import h5py

    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("y", data=y, chunks=True, fletcher32=True)
    return path


def _in_bands(task: Task, where: Mapping[str, Any], path: Path, *, seed: int) -> Path:
    import h5py

    channels, (height, width) = where["channels"], where["size"]
    down, across = where["factor"]
    law, source = task.noise(), NoiseSource(seed, [_image_id(where)])
    if not law.in_order:
        raise BadInput(
            f"{type(law).__name__} noise is drawn for a whole picture at once, and {channels} x {height} x {width} "
            f"values are more than {WHOLE}",
            do="Measure it elsewhere and give the measurement with --measured.",
        )
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        shape = (channels, height // down, width // across)
        y = file.create_dataset("y", shape, "f4", chunks=True, fletcher32=True)
        seen = file.create_dataset("seen", shape, "?", chunks=True)
        for top, bottom in _bands(height, where["grid"][0]):
            clean, observed = _clean(task, where, top, bottom)
            y[:, top // down : bottom // down] = clean
            seen[:, top // down : bottom // down] = observed
        for channel in range(channels):  # the order of an array in memory, in which a whole measurement is drawn
            for top, bottom in _bands(shape[1], 1):
                noisy = law.sample(torch.from_numpy(y[channel, top:bottom])[None, None], source)[0, 0]
                there = torch.from_numpy(seen[channel, top:bottom])
                noisy = noisy if task.bits is None else measurement.quantise(noisy, task.bits)
                y[channel, top:bottom] = torch.where(there, noisy, torch.zeros_like(noisy)).numpy()
        del file["seen"]
    return path


def _bands(rows: int, grid: int) -> Iterator[tuple[int, int]]:
    step = -(-BAND // grid) * grid
    yield from ((top, min(top + step, rows)) for top in range(0, rows, step))


def _clean(task: Task, where: Mapping[str, Any], top: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
    """A of the rows from top to bottom of the picture, and which of its entries are observed."""
    (height, width), reach, grid, down = where["size"], where["reach"][0], where["grid"][0], where["factor"][0]
    first = max((top - reach) // grid * grid, 0)
    last = min(-(-(bottom + reach) // grid) * grid, height)
    truth = _rows(task, where, first, last)
    mask = None if where["mask"] is None else io.read(where["mask"], unit="counts", window=(first, last, 0, width)).data
    operator = task.operator(tuple(truth.shape[1:]), {} if mask is None else {"mask": mask[0] != 0})
    with torch.no_grad():
        clean = operator(truth)[0]
    observed = torch.ones((), dtype=torch.bool) if operator.observed is None else operator.observed
    rows = slice((top - first) // down, (bottom - first) // down)
    return clean[:, rows].numpy(), observed.expand(clean.shape)[:, rows].numpy()


def _rows(task: Task, where: Mapping[str, Any], first: int, last: int) -> Tensor:
    """Rows of the picture in the problem's unit (1 x C x h x W)."""
    box = (first, last, 0, where["size"][1])
    image = io.read(where["path"], **where["reading"], index=where["index"], window=box)
    pictures = task.sections.input
    units.check_file(pictures.unit, image.meta.unit)
    legal = units.UNITS[pictures.unit]
    measurement.check_values(image.data, low=legal.low, high=legal.high)
    return units.enter(image.data[None], pictures, [])[0]


def _image_id(where: Mapping[str, Any]) -> str:
    """`operators.image_id` of the whole picture, read channel by channel and band by band."""
    task = Task.from_table(where["table"], "map")
    channels, (height, width) = where["channels"], where["size"]
    total = hashlib.sha256(repr((channels, height, width)).encode())
    for channel in range(channels):
        for top, bottom in _bands(height, 1):
            total.update(_rows(task, where, top, bottom)[0, channel].contiguous().numpy().tobytes())
    return total.hexdigest()
