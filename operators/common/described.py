"""What the settings of a part are, for people and machines: names, true defaults, kinds, ranges and meanings."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import settings
from .kinds import Choice, Items, Number, Plain, Rule, Text


@dataclass(frozen=True)
class Setting:
    """One setting. default: as JSON can hold it, None where `required`; type: "number or none"; range: "above 0"."""

    name: str
    default: Any
    required: bool
    type: str
    range: str
    meaning: str

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def describe(target: Any) -> list[Setting]:
    """The settings of a class or function in the order of its signature: fields, or keyword-only parameters."""
    rules = settings.rules(target)
    rows = []
    for name, default in keyword_parameters(target).items():
        required = default is inspect.Parameter.empty
        allowed = rules[name]
        value = None if required else plain(default)
        rows.append(Setting(name, value, required, allowed.name, allowed.limits(), allowed.meaning))
    return rows


def schema(target: Any) -> dict[str, Any]:
    """The JSON schema of those settings as one object, which takes no other keys."""
    rules, parameters = settings.rules(target), keyword_parameters(target)
    properties: dict[str, Any] = {}
    for name, default in parameters.items():
        properties[name] = _schema(rules[name])
        if default is not inspect.Parameter.empty and default is not None:
            properties[name]["default"] = plain(default)
        if rules[name].meaning:
            properties[name]["description"] = rules[name].meaning
    return {"type": "object", "properties": properties, "additionalProperties": False}


def keyword_parameters(target: Any) -> dict[str, Any]:
    """The settings with their defaults (`inspect.Parameter.empty` where one must be given); data arguments are none."""
    fields = dataclasses.is_dataclass(target)
    return {
        p.name: p.default
        for p in inspect.signature(target).parameters.values()
        if p.kind is p.KEYWORD_ONLY or (fields and p.kind is p.POSITIONAL_OR_KEYWORD)
    }


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


def _schema(rule: Rule) -> dict[str, Any]:
    """TOML has no null: a setting that may be none may be left out."""
    kinds = [
        _kind_schema(kind) for kind in rule.kinds if not (isinstance(kind, Plain) and kind.classes == (type(None),))
    ]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if all(kinds) else {}


def _kind_schema(kind: Any) -> dict[str, Any]:
    if isinstance(kind, Number):
        bounds = {
            "minimum": kind.range.low,
            "maximum": kind.range.high,
            "exclusiveMinimum": kind.range.above,
            "exclusiveMaximum": kind.range.below,
        }
        limits = {word: bound for word, bound in bounds.items() if bound is not None}
        return {"type": "integer" if kind.whole else "number", **limits}
    if isinstance(kind, Choice):
        return {"enum": list(kind.of.names)}
    if isinstance(kind, Text):
        return {"type": "string"}
    if isinstance(kind, Plain):
        return {"type": "boolean" if kind.classes == (bool,) else "object"}
    if isinstance(kind, Items):
        entries = _schema(kind.rules[0])
        size = {"minItems": len(kind.rules), "maxItems": len(kind.rules)}
        return {"type": "array", "items": entries, **({} if kind.repeated else size)}
    return {}
