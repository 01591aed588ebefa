"""A window of a large picture, or a picture of a stack, under one task: measured (or cut from what was) and solved.

What is measured in a window is what would be measured there in the whole picture: the window is read with all that the
operator sees around it, masks are those of the whole picture, and noise is drawn in blocks of BLOCK x BLOCK entries of
y whose names hold their place, so that it depends on the seed, the picture and the place alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from operators import NoiseSource
from restore import io
from restore.problem import Problem
from restore.tasks import Task, measurement, units

from ..records.item import Item
from ..runs.mapping.grid import Box, Cutout
from . import methods
from .methods import Answer, Watch
from .pictures import Pictures

VERSION = 1  # of how a window is measured: another one makes other rows
BLOCK = 64  # entries of y along a side that draw their noise together
_open: dict[str, Windows] = {}


@dataclass(frozen=True)
class Windows(Pictures):
    """One window. kept: the part of its answer that counts; None for all of it."""

    kept: tuple[slice, slice] | None = None

    @classmethod
    def open(cls, item: Item) -> Windows:
        """The window of an item, kept while the same one is asked for."""
        if item.problem not in _open:
            _open.clear()
            _open[item.problem] = _pose(item)
        return _open[item.problem]

    @classmethod
    def forget(cls, item: Item) -> None:
        _open.pop(item.problem, None)

    def answer(self, item: Item, watch: Watch | None = None) -> Answer:
        return methods.answer(item, self.problem, methods.prior(item), samples=item.samples, watch=watch)

    def presented(self, answer: Answer) -> tuple[Tensor, Tensor, Tensor | None]:
        """The kept part of estimate, draws and truth."""
        rows, columns = self.kept or (slice(None), slice(None))
        estimate, samples, truth = super().presented(answer)
        return (
            estimate[..., rows, columns],
            samples[..., rows, columns],
            None if truth is None else truth[..., rows, columns],
        )

    def arrays(self) -> dict[str, Tensor]:
        """Nothing beside the estimate: the picture is put together from it."""
        return {}


def _pose(item: Item) -> Windows:
    where = item.where
    task = Task.from_table(where["table"], item.task, frozenset(where["chosen"]))
    window = None if where["window"] is None else Cutout(tuple(where["window"]), tuple(where["keep"]))
    kept = None if window is None else window.kept
    if where["measured"] is not None:
        problem = _cut(task, where, window)
    elif window is None:
        problem = task.problem(_read(where, None), seed=item.seed)
    else:
        problem = _simulated(task, where, window, seed=item.seed)
    ids = problem.image_ids if window is None else (str(item.identity["image"]),)
    return Windows(task, dataclasses.replace(problem, image_ids=ids), kept)


def _cut(task: Task, where: Mapping[str, Any], window: Cutout | None) -> Problem:
    """The window of a picture that is itself a measurement."""
    given, factor = where["measured"], where["factor"]
    box = None if window is None else _divided(window.solve, factor)
    image = _read(where, box)
    kernel = None if given["kernel"] is None else array(given["kernel"])
    return task.measured(image, sigma=given["sigma"], peak=given["peak"], kernel=kernel, mask=_mask(where, box))


def _simulated(task: Task, where: Mapping[str, Any], window: Cutout, *, seed: int) -> Problem:
    """Measure the window of a clean picture as the whole picture would be, and pose the problem there."""
    size, factor = where["size"], where["factor"]
    wanted = _divided(window.solve, factor)
    drawn = _outward(wanted, (BLOCK, BLOCK), tuple(n // f for n, f in zip(size, factor, strict=True)))
    seen = _outward(_widened(_times(drawn, factor), where["reach"]), where["grid"], tuple(size))
    image = _read(where, seen)
    pictures = task.sections.input
    units.check_file(pictures.unit, image.meta.unit)
    legal = units.UNITS[pictures.unit]
    measurement.check_values(image.data, low=legal.low, high=legal.high)
    truth, _ = units.enter(image.data[None], pictures, [])
    mask = _mask(where, seen)
    operator = task.operator(tuple(truth.shape[1:]), {} if mask is None else {"mask": mask != 0})
    with torch.no_grad():
        y = operator(truth)
    noise = task.noise()
    for box in _blocks(drawn):
        rows, columns = _within(box, _divided(seen, factor))
        name = f"{where['picture']} block {box[0] // BLOCK} {box[2] // BLOCK}"
        y[..., rows, columns] = noise.sample(y[..., rows, columns], NoiseSource(seed, [name]))
    y = measurement.keep_observed(y, operator)
    if task.bits is not None:
        y = measurement.keep_observed(measurement.quantise(y, task.bits), operator)
    rows, columns = _within(wanted, _divided(seen, factor))
    problem = task.measured(y[..., rows, columns], mask=_mask(where, window.solve))
    rows, columns = _within(window.solve, seen)
    return dataclasses.replace(problem, truth=truth[..., rows, columns].contiguous())


def _read(where: Mapping[str, Any], box: Box | None) -> io.Image:
    """The picture, or the part of it in a box."""
    return io.read(where["path"], **where["reading"], index=where["index"], window=box)


def _mask(where: Mapping[str, Any], box: Box | None) -> Tensor | None:
    if where["mask"] is None:
        return None
    return io.read(where["mask"], unit="counts", window=box).data[0]


@lru_cache(maxsize=4)
def array(path: str) -> Tensor:
    """A kernel, h x w, from a file."""
    return io.read(path, unit="counts").data[0]


def _divided(box: Box, factor: tuple[int, int]) -> Box:
    """A box of the picture in entries of y."""
    return (box[0] // factor[0], box[1] // factor[0], box[2] // factor[1], box[3] // factor[1])


def _times(box: Box, factor: tuple[int, int]) -> Box:
    return (box[0] * factor[0], box[1] * factor[0], box[2] * factor[1], box[3] * factor[1])


def _widened(box: Box, reach: tuple[int, int]) -> Box:
    return (box[0] - reach[0], box[1] + reach[0], box[2] - reach[1], box[3] + reach[1])


def _outward(box: Box, grid: tuple[int, int], size: tuple[int, ...]) -> Box:
    """The smallest box on the grid, inside the picture, that holds this one."""
    top, left = (max(n // g * g, 0) for n, g in zip(box[::2], grid, strict=True))
    bottom, right = (min(-(-n // g) * g, s) for n, g, s in zip(box[1::2], grid, size, strict=True))
    return (top, bottom, left, right)


def _within(box: Box, frame: Box) -> tuple[slice, slice]:
    """Rows and columns of a box inside a frame."""
    return slice(box[0] - frame[0], box[1] - frame[0]), slice(box[2] - frame[2], box[3] - frame[2])


def _blocks(box: Box) -> list[Box]:
    rows = [(top, min(top + BLOCK, box[1])) for top in range(box[0], box[1], BLOCK)]
    columns = [(left, min(left + BLOCK, box[3])) for left in range(box[2], box[3], BLOCK)]
    return [(*down, *across) for down in rows for across in columns]
