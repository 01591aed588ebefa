"""How a measurement came about: what a result file keeps of its problem beside the arrays y and truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from operators.common.errors import BadInput
from operators.common.forms import Component, fill
from operators.common.space import IDENTITY, Affine


@dataclass(frozen=True)
class Recipe(Mapping[str, Any]):
    """Plain data and arrays from which operator and noise are made again, and the measurement drawn again.

    task: name and sections of the task, as its file says them, with what the measurement told put in. input_shape: of
    the picture. noise: the law as the problem has it, rounding included. notes: what was decided, in sentences.
    file_units: x_problem = file_units.to(x_file). seed: of the simulated measurement, None for one
    from elsewhere. prior_level: see `Problem`. arrays: of the operator (kernel, mask, maps, ...), by name.

    It reads as a mapping too, of the keys that result files have had from the first on.
    """

    task: Mapping[str, Any]
    input_shape: tuple[int, ...]
    noise: Component
    notes: tuple[str, ...] = ()
    file_units: Affine = IDENTITY
    seed: int | None = None
    prior_level: float | None = None
    arrays: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def read(cls, kept: Mapping[str, Any] | None, arrays: Mapping[str, Tensor] | None = None) -> Recipe:
        """The recipe of a result file of any age; BadInput where it holds none (a problem that a script posed)."""
        if isinstance(kept, Recipe):
            return kept
        if not kept or "task" not in kept:
            raise BadInput(
                "this result has no recipe: its operator was made in a script",
                do="Run the script again; only results of `restore run` can be repeated from the file.",
            )
        shift, scale = kept.get("file_units", (0.0, 1.0))
        return cls(
            task=dict(kept["task"]),
            input_shape=tuple(kept["input_shape"]),
            noise=fill(Component, kept["noise"], where="the recipe's noise"),
            notes=tuple(kept.get("notes", ())),
            file_units=Affine(float(shift), float(scale)),
            seed=kept.get("seed"),
            prior_level=kept.get("prior_level"),
            arrays=dict(arrays if arrays is not None else kept.get("arrays", {})),
        )

    @property
    def operator(self) -> Component:
        """The operator by name, with its parameters."""
        return fill(Component, self.task["operator"], where="the recipe's operator")

    @property
    def unit(self) -> str:
        """The unit in which the task takes pictures."""
        return str(self.task.get("input", {}).get("unit", "[0,1]"))

    def plain(self) -> dict[str, Any]:
        """What JSON can hold: everything but the arrays."""
        return {
            "task": dict(self.task),
            "input_shape": list(self.input_shape),
            "noise": self.noise.plain(),
            "notes": list(self.notes),
            "file_units": [self.file_units.shift, self.file_units.scale],
            **({} if self.seed is None else {"seed": self.seed}),
            **({} if self.prior_level is None else {"prior_level": self.prior_level}),
        }

    def __getitem__(self, key: str) -> Any:
        return self.arrays if key == "arrays" else self.plain()[key]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.plain(), "arrays"])

    def __len__(self) -> int:
        return len(self.plain()) + 1
