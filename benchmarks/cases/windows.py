"""A window of a large picture, or a picture of a stack, under one task: measured (or cut from what was) and solved.

A window of a clean picture is a part of the measurement of the whole picture, which is made once (`streaming`): the y
that `restore run` would draw from the same picture and seed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from restore import io
from restore.problem import Problem
from restore.tasks import Task
from restore.tasks.given import Given

from ..records.item import Item
from ..runs.mapping import streaming
from ..runs.mapping.grid import Box, Cutout
from . import methods
from .methods import Answer, Watch
from .pictures import Pictures

VERSION = 2  # of how a window is measured: another one makes other rows
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
    acquisition, factor = where["measured"], where["factor"]
    box = None if window is None else _divided(window.solve, factor)
    image = _read(where, box)
    kernel = None if acquisition["kernel"] is None else Path(acquisition["kernel"])
    return task.posed(image, Given(acquisition["sigma"], acquisition["peak"], kernel, _mask(where, box)))


def _simulated(task: Task, where: Mapping[str, Any], window: Cutout, *, seed: int) -> Problem:
    """The window of a clean picture whose measurement lies in the work folder, posed there."""
    streaming.ensure(task, where, seed=seed)
    truth = streaming.part(where, "x", window.solve)
    y = streaming.part(where, "y", _divided(window.solve, where["factor"]))
    problem = task.posed(y, Given(mask=_mask(where, window.solve)))
    return dataclasses.replace(problem, truth=truth)


def _read(where: Mapping[str, Any], box: Box | None) -> io.Image:
    """The picture, or the part of it in a box."""
    return io.read(where["path"], **where["reading"], index=where["index"], window=box)


def _mask(where: Mapping[str, Any], box: Box | None) -> Tensor | None:
    if where["mask"] is None:
        return None
    return io.read(where["mask"], unit="counts", window=box).data[0]


def _divided(box: Box, factor: tuple[int, int]) -> Box:
    """A box of the picture in entries of y."""
    return (box[0] // factor[0], box[1] // factor[0], box[2] // factor[1], box[3] // factor[1])
