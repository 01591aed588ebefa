"""What a picture's file says reaches the physics: parameters of the operator that the file states, with a note each."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor

from operators import REGISTRY
from operators.common.metadata import Facts, Hints
from operators.core.base import Operator

from .physics import Physics


def hints(physics: Physics, image: Any, output_shape: tuple[int, ...] | None, *, arrays: Collection[str] = ()) -> Hints:
    """Hints on the operator's parameters in the file of an image and in the shape of a measurement.

    image: a restore.io Image or its metadata; or a tensor, which has no file. output_shape: of the measurement; None
    for a picture. arrays: names of those that the user gave. What the user chose is not overruled.
    """
    meta = getattr(image, "meta", image)
    facts = meta if isinstance(meta, Facts) else Facts()
    part = physics.sections.operator
    overridden = {name.removeprefix("operator.") for name in physics.chosen if name.startswith("operator.")}
    answer: Hints = REGISTRY.load(part.name).informed_by(
        facts, output_shape, part.parameters, fixed={*overridden, *arrays}
    )
    return answer


def listens(physics: Physics) -> bool:
    """Whether the operator takes anything of what a file states."""
    own: Any = REGISTRY.load(physics.sections.operator.name).informed_by
    silent: Any = Operator.informed_by
    return bool(own.__func__ is not silent.__func__)


def stated(physics: Physics, hints: Hints, notes: list[str]) -> Physics:
    """The physics with the parameters that the file states; a sentence on each is appended to the notes."""
    notes += sentences(hints, hints.notes.keys() - hints.sizes.keys() - {"input_shape"})
    return physics.fitted(hints.settings)


def sentences(hints: Hints, names: Iterable[str]) -> list[str]:
    """The notes on these parameters, in the order in which the operator gave them."""
    wanted = set(names)
    return [sentence for name, sentence in hints.notes.items() if name in wanted]


def arrays(hints: Hints) -> dict[str, Tensor]:
    """Arrays that the file states, in double precision."""
    return {name: torch.as_tensor(values, dtype=torch.float64) for name, values in hints.arrays.items()}
