"""A prior in one word, as `--prior`, task files and results name it: natural:window(0,0.04), trained(steps=200):bands.

Parts are separated by colons: the prior, then adapters, the innermost first. A part may have settings in brackets, by
name, or in the order in which its constructor lists them.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from operators.common.errors import BadInput

_PART = re.compile(r"(?P<name>[^():]+?)\s*(?:\((?P<settings>.*)\))?", re.DOTALL)
_NAMED = re.compile(r"\s*(?P<key>[A-Za-z_]\w*)\s*=(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True)
class WordPart:
    """One part of a word: a name, settings in order, settings by name."""

    name: str
    values: tuple[Any, ...] = ()
    settings: Mapping[str, Any] | None = None

    @property
    def spelled(self) -> str:
        """The part as it is written: name(value,key=value), or the name alone."""
        pairs = [f"{key}={json.dumps(value)}" for key, value in (self.settings or {}).items()]
        inside = ",".join([*(json.dumps(value) for value in self.values), *pairs])
        return f"{self.name}({inside})" if inside else self.name

    def by_name(self, names: Sequence[str], *, where: str) -> dict[str, Any]:
        """All settings by name. names: in order; BadInput for more values than those."""
        if len(self.values) > len(names):
            raise BadInput(
                f"{where} was given {len(self.values)} settings", wanted=f"{', '.join(names) or 'none'} at most"
            )
        return {**dict(zip(names, self.values, strict=False)), **(self.settings or {})}


def parse(word: str) -> tuple[WordPart, ...]:
    """The parts of a word; BadInput for one that cannot be read."""
    return tuple(_part(text.strip(), word) for text in _split(word, ":"))


def with_settings(word: str, settings: Mapping[str, Any]) -> str:
    """The word with settings of its first part added or replaced: natural, {"x": 3} -> natural(x=3)."""
    if not settings:
        return word
    first, *others = parse(word)
    merged = replace(first, settings={**(first.settings or {}), **settings})
    return ":".join(part.spelled for part in (merged, *others))


def _part(text: str, word: str) -> WordPart:
    match = _PART.fullmatch(text)
    if match is None:
        raise BadInput(f"prior {word!r} cannot be read", wanted="NAME or NAME:ADAPTER, such as natural:window(0,0.04)")
    values: list[Any] = []
    settings: dict[str, Any] = {}
    for item in _split(match["settings"] or "", ","):
        pair = _NAMED.fullmatch(item)
        if pair is not None:
            settings[pair["key"]] = _value(pair["value"])
        elif item.strip():
            values.append(_value(item))
    return WordPart(match["name"], tuple(values), settings)


def _split(text: str, at: str) -> list[str]:
    """The text cut at a character, but not inside brackets or quotes."""
    pieces, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == '"'
        depth += 0 if quoted else (letter in "([") - (letter in ")]")
        if letter == at and not quoted and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces


def _value(text: str) -> Any:
    """A setting as TOML reads it; numbers of any spelling, and other text as it is."""
    for read in (int, float, lambda word: tomllib.loads(f"v = {word}")["v"]):
        try:
            return read(text.strip())
        except (ValueError, KeyError):
            continue
    return text.strip()
