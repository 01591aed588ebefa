"""The options of a convention, from `[token,key=value,...]` and back.

A family of metrics is a frozen dataclass whose fields are its convention; its `OPTIONS` say which token sets which.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from operators.common.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Option:
    """One slot of a convention: the field it sets, the words it may be, or the key and type of its number.

    What the field may be its annotation says. A number without a key stands alone, as in `coverage[90]`.
    """

    field: str
    words: tuple[str, ...] = ()
    key: str = ""  # "crop" for crop=4
    number: type[int] | type[float] | None = None


def spell(family: str, options: Sequence[Option], values: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """The name of a convention: one token for each option that is not at its default."""
    tokens = []
    for option in options:
        value = values[option.field]
        if value is None or value == defaults[option.field]:
            continue
        key = f"{option.key}=" if option.key else ""
        tokens.append(value if isinstance(value, str) else f"{key}{value:.15g}")
    return f"{family}[{','.join(tokens) or 'any'}]"


def settings(tokens: Sequence[str], options: Sequence[Option], name: str) -> dict[str, Any]:
    """The value of each field that the tokens of `name` set; BadInput for an unknown, repeated or contradicting one."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for token in (t.strip() for t in tokens):
        field, value = _read(token, options, name)
        if field in values:
            raise BadInput(
                f"{name!r} holds both {sources[field]!r} and {token!r}", do="They exclude each other; keep one."
            )
        values[field], sources[field] = value, token
    return values


def _read(token: str, options: Sequence[Option], name: str) -> tuple[str, Any]:
    key, equals, text = (part.strip() for part in token.partition("="))
    for option in options:
        if not equals and token in option.words:
            return option.field, token
        if option.number is not None and key == option.key and equals:
            return option.field, _number(text, option.number, token, name)
        if option.number is not None and not option.key and not equals:
            return option.field, _number(token, option.number, token, name)
    words = [word for option in options for word in option.words] + [f"{o.key}=" for o in options if o.key]
    close = difflib.get_close_matches(f"{key}=" if equals else token, words, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"It takes: {', '.join(words)}."
    raise BadInput(f"unknown option {token!r} in metric {name!r}", do=hint)


def _number(text: str, kind: type[int] | type[float], token: str, name: str) -> int | float:
    try:
        return kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise BadInput(f"option {token!r} in metric {name!r}", wanted=wanted) from error
