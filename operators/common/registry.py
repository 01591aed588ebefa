"""Lazy tables: `name -> module:attribute`, imported at first use, so that one stale file breaks one entry only."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import math
import numbers
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import BadInput, BadType


@dataclass(frozen=True)
class Entry:
    """One line of a table: where the thing is, one sentence on what it is, and where it was published."""

    target: str  # "package.module:attribute"
    summary: str
    source: str = ""

    def load(self) -> Any:
        """The thing itself; BadInput where the entry names a module or an attribute that is not there."""
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there; something that it imports is not
            missing = f"module {error.name!r}"
        except AttributeError:
            if hasattr(importlib.import_module(module), attribute):
                raise
            missing = f"{attribute!r} in {module}"
        raise BadInput(f"a table's entry is {self.target!r}, and there is no {missing}", do="Correct the table's line.")


class Registry(Mapping[str, Entry]):
    """A read-only table of entries of one kind ("operator", "solver", ...)."""

    def __init__(self, kind: str, entries: Mapping[str, Entry]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def load(self, name: str) -> Any:
        """The class or function behind a name; BadInput with a suggestion for an unknown one."""
        return self[name].load()

    def build(self, name: str, *data: Any, **parameters: Any) -> Any:
        """Construct an entry; BadType for a keyword it does not take (with a suggestion) or a value of another kind."""
        target = self.load(name)
        check_keywords(target, parameters, where=f"{self.kind} {name!r}")
        check_types(target, parameters, where=f"{self.kind} {name!r}")
        return target(*data, **parameters)

    def parameters(self, name: str) -> dict[str, Any]:
        """Keyword parameters and their defaults (None where one must be given)."""
        return keyword_defaults(self.load(name))

    def describe(self, name: str) -> dict[str, Any]:
        """`{name, summary, parameters, source}`, the row that tables and `--json` show."""
        entry = self[name]
        return {
            "name": name,
            "summary": entry.summary,
            "parameters": {key: plain(value) for key, value in self.parameters(name).items()},
            "source": entry.source,
        }


def unknown_name(kind: str, name: str, known: Mapping[str, Any]) -> BadInput:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
    return BadInput(f"unknown {kind} {name!r}", do=hint)


def keyword_defaults(target: Any) -> dict[str, Any]:
    """Keyword parameters of a class or function with their defaults, leading data arguments left out."""
    defaults: dict[str, Any] = {}
    for parameter in inspect.signature(target).parameters.values():
        is_setting = parameter.kind is inspect.Parameter.KEYWORD_ONLY or (
            dataclasses.is_dataclass(target) and parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        )
        if is_setting:
            defaults[parameter.name] = None if parameter.default is inspect.Parameter.empty else parameter.default
    return defaults


def check_keywords(target: Any, given: Mapping[str, Any], *, where: str) -> None:
    """Refuse a keyword the target does not take, with the closest one it does."""
    known = keyword_defaults(target)
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(key, list(known), n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"It takes: {', '.join(known) or 'nothing'}."
            raise BadType(f"{where} has no parameter {key!r}", do=hint)


_KINDS: Mapping[str, tuple[type, ...]] = {
    "int": (numbers.Integral,),
    "float": (numbers.Real,),
    "str": (str,),
    "bool": (bool,),
    "tuple": (Sequence,),
    "list": (Sequence,),
    "None": (type(None),),
    "Literal": (str,),
    "Mapping": (Mapping,),
    "Sequence": (Sequence,),
}


def check_types(target: Any, given: Mapping[str, Any], *, where: str) -> None:
    """BadType where a value is of a kind that the parameter's annotation leaves out (unknown classes: anything)."""
    parameters = inspect.signature(target).parameters
    for key, value in given.items():
        told = parameters[key].annotation if key in parameters else ""
        annotation = told.__name__ if isinstance(told, type) and not hasattr(told, "__args__") else str(told)
        words = re.findall(r"[A-Za-z_][\w.]*", re.sub(r"\[.*?\]", "", annotation))
        kinds = tuple({kind for word in words for kind in _KINDS.get(word.rpartition(".")[2], (object,))})
        if kinds and not _is_one_of(value, kinds):
            raise BadType(f"{key} is {value!r} for {where}", wanted=annotation)


def _is_one_of(value: Any, kinds: tuple[type, ...]) -> bool:
    if object in kinds:
        return True
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, str):  # a sequence too
        return str in kinds
    is_scalar = getattr(value, "ndim", None) == 0  # a tensor or an array of one number
    return isinstance(value, kinds) or (is_scalar and numbers.Real in kinds)


def plain(value: Any) -> Any:
    """A default as JSON can hold it; it has no number for infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return str(value)
