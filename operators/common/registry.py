"""Lazy tables: `name -> module:attribute`, imported at first use, so that one stale file breaks one entry only."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .described import describe, keyword_parameters, plain
from .errors import BadInput, BadType
from .kinds import closest
from .settings import check, rules

__all__ = [
    "Entry",
    "Registry",
    "check_keywords",
    "check_types",
    "keyword_defaults",
    "plain",
    "unknown_name",
]


@dataclass(frozen=True)
class Entry:
    """One line of a table: where a part is, one sentence on it, and where it was published."""

    target: str  # "package.module:attribute"
    summary: str
    source: str = ""

    def load(self) -> Any:
        """The class or function; BadInput where the entry names a module or an attribute that is not there."""
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

    @property
    def shipped(self) -> tuple[str, ...]:
        """The names that come with the package."""
        return tuple(self._entries)

    def load(self, name: str) -> Any:
        """The class or function behind a name; BadInput with a suggestion for an unknown one."""
        return self[name].load()

    def build(self, name: str, *data: Any, **parameters: Any) -> Any:
        """The part; BadType for a keyword it does not take (with a suggestion) or a value of another kind."""
        target = self.load(name)
        check_keywords(target, parameters, where=f"{self.kind} {name!r}")
        check_types(target, parameters, where=f"{self.kind} {name!r}")
        return target(*data, **parameters)

    def parameters(self, name: str) -> dict[str, Any]:
        """Keyword parameters and their defaults (None where one must be given)."""
        return keyword_defaults(self.load(name))

    def describe(self, name: str) -> dict[str, Any]:
        """`{name, summary, parameters, settings, source}`, the row that tables and `--json` show.

        parameters: the default of each. settings: `{name, default, required, type, range, meaning}` of each.
        """
        entry = self[name]
        rows = describe(entry.load())
        return {
            "name": name,
            "summary": entry.summary,
            "parameters": {row.name: row.default for row in rows},
            "settings": [row.as_dict() for row in rows],
            "source": entry.source,
        }


def unknown_name(kind: str, name: str, names: Mapping[str, Any]) -> BadInput:
    """The error for a name that a table lacks: the closest one it has, else all of them."""
    hint = closest(str(name), list(names)) or f"Known: {', '.join(names)}."
    return BadInput(f"unknown {kind} {name!r}", do=hint)


def keyword_defaults(target: Any) -> dict[str, Any]:
    """Keyword parameters of a class or function with their defaults (None where one must be given)."""
    empty = inspect.Parameter.empty
    return {name: None if value is empty else value for name, value in keyword_parameters(target).items()}


def check_keywords(target: Any, keywords: Mapping[str, Any], *, where: str) -> None:
    """BadType, with the closest parameter there is, for a keyword that the target does not take."""
    names = list(keyword_parameters(target))
    for key in keywords:
        if key not in names:
            hint = closest(key, names) or f"It takes: {', '.join(names) or 'nothing'}."
            raise BadType(f"{where} has no parameter {key!r}", do=hint)


def check_types(target: Any, keywords: Mapping[str, Any], *, where: str) -> None:
    """BadType or BadInput where a value is not what the parameter's annotation says (`operators.common.settings`)."""
    allowed = rules(target)
    for key, value in keywords.items():
        if key in allowed:
            check(key, value, allowed[key], where=where)
