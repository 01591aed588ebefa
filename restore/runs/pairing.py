"""Training pairs for residual processes: from a task's own measurement of photographs, or from files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.resampling.matrices import resize
from priors.residual.grid import on_grid
from priors.residual.process import Process
from priors.training.pairs import Measure, PairedCrops

from .. import io
from ..tasks import Task

INPUT, TARGET = "input", "target"
COLOURS = 3


def task_measure(task: Task, process: Process) -> Measure:
    """What a solver will be shown for this task: simulated, posed in the process's units, brought to the grid.

    A task whose operator is drawn from a seed (masks, motion) is given another one for every batch.
    """
    seeded = "seed" in task.sections.operator.parameters

    def measure(pictures: Tensor, index: int) -> Tensor:
        varied = task.override({"operator.seed": index}) if seeded else task
        problem = varied.physics.simulated((pictures + 1) / 2, seed=index, notes=[])
        posed = problem.gaussian().posed(process.space)
        x0 = posed.truth
        if x0 is None:
            raise BadInput(f"task {task.name!r} gives no picture to train on")
        return torch.cat([x0, on_grid(posed.operator, posed.y)], dim=1)

    return measure


def file_pairs(folder: Path, process: Process, *, size: int) -> PairedCrops:
    """The pairs of a folder.

    FOLDER/input and FOLDER/target with files of the same stems, or HDF5 files in it, each with the data sets input and
    target.
    Pictures in [0, 1] (integers of 8 and 16 bits are scaled by their range), gray or RGB; an input that is smaller than
    its target is enlarged bicubically. BadInput or ReadError for what does not fit.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder", do="Give the folder of pairs with --pairs.")
    inputs, targets = [], []
    for picture, target in _pictures(folder):
        inputs.append(process.space.back(_colour(_enlarged(picture, target))))
        targets.append(process.space.back(_colour(target)))
    return PairedCrops(targets, inputs, size=size)


def _pictures(folder: Path) -> list[tuple[Tensor, Tensor]]:
    """(input, target) of every pair, C x H x W in [0, 1]."""
    if (folder / INPUT).is_dir() and (folder / TARGET).is_dir():
        files = io.pair_by_stem(folder / INPUT, folder / TARGET).pairs
        return [(_picture(source), _picture(wanted)) for source, wanted in files]
    stored = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".h5", ".hdf5")]
    if not stored:
        raise BadInput(
            f"{folder} holds no pairs",
            wanted=f"folders {INPUT} and {TARGET}, or HDF5 files with data sets of these names",
        )
    return [(_picture(path, INPUT), _picture(path, TARGET)) for path in stored]


def _picture(path: Path, dataset: str | None = None) -> Tensor:
    data = io.read(path, dataset=dataset).data
    low, high = float(data.min()), float(data.max())
    if data.ndim != 3 or data.shape[0] not in (1, COLOURS) or data.is_complex() or not (low >= 0 and high <= 1):
        raise BadInput(
            f"{path.name} holds {tuple(data.shape)} values from {low:.4g} to {high:.4g}",
            wanted="a gray or RGB picture in [0, 1]",
        )
    return data


def _enlarged(picture: Tensor, target: Tensor) -> Tensor:
    if picture.shape[-2:] == target.shape[-2:]:
        return picture
    (height, width), (high, wide) = picture.shape[-2:], target.shape[-2:]
    if height > high or width > wide:
        raise BadInput(
            f"an input of {height} x {width} has a target of {high} x {wide}",
            wanted="inputs that are not larger than their targets",
        )
    return resize(picture[None], size=(high, wide))[0]


def _colour(picture: Tensor) -> Tensor:
    return picture.expand(COLOURS, -1, -1) if picture.shape[0] == 1 else picture
