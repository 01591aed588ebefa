"""The unit of a task's pictures: which values are legal, how a file's values enter the problem, how answers leave it.

`[input] unit` of a task is one of UNITS. Values of most units are taken as they are. "hu" enters as linear attenuation
in 1/mm, mu = mu_water (1 + HU / 1000), since line integrals are linear in that; `mu_water` of [input] gives the
attenuation of water at the scanner's energy. `normalise = true` divides by the largest magnitude, for pictures whose
scale says nothing (MRI) but whose prior expects [0, 1]. Both are an `Affine`, x_problem = shift + scale * x_file,
kept in the problem's recipe under `file_units`; answers are judged, shown and written in the file's own unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from operators import BadInput
from operators.common.space import Affine
from operators.ct.geometry import AIR_HU, WATER, attenuation

from .sections import InputForm

if TYPE_CHECKING:
    from ..problem import Problem


@dataclass(frozen=True)
class Unit:
    """What the values of a picture may be. low, high: legal on entry. data_range: what metrics may assume, or None."""

    low: float
    high: float
    data_range: tuple[float, float] | None = None


UNITS: Mapping[str, Unit] = {
    "[0,1]": Unit(0.0, 1.0, (0.0, 1.0)),
    "reflectance": Unit(0.0, 2.0, (0.0, 1.0)),  # bright spots above a white reference are real
    "hu": Unit(-32768.0, 32767.0, (-1024.0, 3071.0)),
    "magnitude": Unit(0.0, math.inf),
    "complex": Unit(-math.inf, math.inf),
}


def check_file(unit: str, file_unit: str) -> None:
    """BadInput where a file's values are in a unit that the task does not take."""
    fits = file_unit == "hu" if unit == "hu" else file_unit != "hu"
    if unit == "[0,1]":
        fits = file_unit in ("[0,1]", "as stored")
    if not fits:
        raise BadInput(
            f"the picture is in {file_unit}",
            wanted=f"values in {unit} for this task",
            do="Name the unit of the file with --unit (and --offset -1024 for CT stored from 0).",
        )


def enter(x: Tensor, pictures: InputForm, notes: list[str]) -> tuple[Tensor, Affine]:
    """The picture in the problem's unit (B x ...), and its file's units: x_problem = units.to(x_file).

    pictures: what the task takes. notes: sentences on what was decided are appended.
    """
    if pictures.unit == "magnitude" and x.is_complex():
        x = x.abs()
        notes.append("the picture is complex: its magnitude was taken")
    if pictures.unit == "hu":
        low = float(x.min()) if x.numel() else 0.0
        if low < AIR_HU:
            notes.append(f"values below {AIR_HU:g} HU (the least is {low:g}) are taken for air")
        units = leaving(pictures)
        return attenuation(x.clamp(min=AIR_HU), water=units.shift), units
    if pictures.normalise:
        scale = 1 / largest(x)
        return scale * x, Affine(0.0, scale)
    return x, Affine()


def leaving(pictures: InputForm) -> Affine:
    """The file units of a task's answers where the measurement was made elsewhere."""
    if pictures.unit != "hu":
        return Affine()
    water = WATER if pictures.mu_water is None else pictures.mu_water
    return Affine(water, water / 1000)


def largest(x: Tensor) -> float:
    """The largest magnitude; 1 for a picture of zeros, so that nothing is divided by it."""
    most = float(x.abs().max()) if x.numel() else 0.0
    return most or 1.0


def data_range(problem: Problem) -> tuple[float, float] | None:
    """The range that metrics may assume for a problem in its file's unit; [0, 1] where no task names one."""
    return UNITS[_task_unit(problem)].data_range


def shown_unit(problem: Problem, file_unit: str) -> str:
    """The unit that decides how answers are drawn: the task's where it names one, else that of the picture's file."""
    unit = _task_unit(problem)
    return file_unit if unit == "[0,1]" else unit


def _task_unit(problem: Problem) -> str:
    return "[0,1]" if problem.recipe is None else problem.recipe.unit
