"""What stands between a solver and a prior's network: one view for every kind of prior, since each names its calls."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from operators.common.errors import BadType

from .base import Prior

P = TypeVar("P", bound=Prior)
Handle = Callable[..., Any]
"""(call, state, *others, **named) -> what call(state, *others, **named) gives, in whatever way it is had."""


def around(prior: P, handle: Handle) -> P:
    """The same prior, each of whose network calls (`Prior.calls`) passes through `handle`; the prior itself is kept.

    BadType where the prior's class names no calls.
    """
    if not prior.calls:
        raise BadType(f"{type(prior).__name__} names no network calls", do="Set `calls` in the class (priors.Prior).")
    view = copy.copy(prior)
    for name in prior.calls:
        object.__setattr__(view, name, partial(handle, getattr(prior, name)))
    return view


def tensors_of(answer: Any) -> list[Tensor]:
    """The tensors of an answer: itself, or the fields of a dataclass that are tensors, in order."""
    if isinstance(answer, Tensor):
        return [answer]
    values = (getattr(answer, field.name) for field in dataclasses.fields(answer))
    return [value for value in values if isinstance(value, Tensor)]


def map_tensors(function: Callable[[Tensor], Tensor], answer: Any) -> Any:
    """The answer with a function applied to each of its tensors, in order."""
    if isinstance(answer, Tensor):
        return function(answer)
    fields = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    changed = {name: function(value) for name, value in fields.items() if isinstance(value, Tensor)}
    return dataclasses.replace(answer, **changed)
