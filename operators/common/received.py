"""What a measurement from elsewhere turns out to be, once an operator has looked at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Received:
    """A measurement (B x ...) and the arrays that go with it, put right, by `Operator.received`.

    input_shape: of its picture, where measurement and arrays tell it. notes: a sentence on each thing that was decided.
    """

    y: Tensor
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    input_shape: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()
