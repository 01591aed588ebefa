"""Typed TOML files: a `Form` says which keys there are and what each may be; `fill` refuses in one line what is not.

A form is a pydantic model, so that `schema(Form)` is the JSON schema that editors and other programs read. pydantic is
imported by whoever declares a form, never when the command line starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from . import outside
from .errors import BadInput, BadType, RestoreError
from .kinds import closest


class Form(BaseModel):
    """Base of all forms: immutable, strict (no text for a number, no 1 for true), unknown keys refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", protected_namespaces=())

    def plain(self) -> dict[str, Any]:
        """The form as a table of plain data: defaults filled in, keys that say nothing (None) left out."""
        table = {key: value for key in type(self).model_fields if (value := getattr(self, key)) is not None}
        return {key: _plain(value) for key, value in {**table, **(self.model_extra or {})}.items()}


class Component(Form):
    """A registered part by its name; every other key is a parameter of it, which its registry checks."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(description="name in the part's registry")

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters, without the name."""
        return dict(self.model_extra or {})


AnyForm = TypeVar("AnyForm", bound=Form)


def read(form: type[AnyForm], text: str, *, where: str, guide: str) -> AnyForm:
    """The form of a TOML text; BadInput or BadType in one line otherwise.

    where: what the text is, such as "task 'mine'". guide: the document that shows the form.
    """
    return fill(form, outside.toml(text, where=where, guide=guide), where=where)


def fill(form: type[AnyForm], table: Mapping[str, Any], *, where: str) -> AnyForm:
    """The form of a table; BadInput for a key or a value, BadType for a kind of value that it does not have."""
    try:
        return form.model_validate(table)
    except ValidationError as error:
        raise _refusal(form, error, where) from None


def schema(form: type[Form], *, title: str) -> dict[str, Any]:
    """The JSON schema of a form."""
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **form.model_json_schema(schema_generator=_Toml),
        "title": title,
    }


class _Toml(GenerateJsonSchema):
    """TOML has no null: a key that may be left out is told by its absence from `required`."""

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        return (
            self.generate_inner(schema["schema"])
            if schema.get("default", ...) is None
            else super().default_schema(schema)
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Form):
        return value.plain()
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _refusal(form: type[Form], error: ValidationError, where: str) -> RestoreError:
    """The first thing that is wrong, unknown keys before keys that are missing."""
    faults = sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    own = fault.get("ctx", {}).get("error")
    if isinstance(own, RestoreError):
        return own
    path = [part for part in fault["loc"] if not _names_a_kind(part)]
    *section, key = [str(part) for part in path] or [""]
    place = f"[{'.'.join(section)}] of {where}" if section else where
    home = _form_at(form, section)
    if fault["type"] == "extra_forbidden":
        keys = list(home.model_fields) if home else []
        return BadInput(f"{place} has unknown key {key!r}", do=nearest(key, keys, f"Known: {', '.join(keys)}."))
    field = home.model_fields.get(key) if home else None
    if fault["type"] == "missing":
        return BadInput(f"{place} has no {_bracketed(key, field)}", wanted=_required(home) if not section else "")
    value, wanted = fault["input"], _wanted(fault, field)
    if fault["type"] == "literal_error":
        allowed = _allowed(field)
        return BadInput(f"{key!r} of {place} is {value!r}", do=nearest(value, allowed, f"Known: {', '.join(allowed)}."))
    refusal = BadInput if fault["type"] in RANGES or own is not None else BadType
    return refusal(f"{key!r} of {place} is {value!r}", wanted=wanted)


RANGES = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number", "too_short")
KINDS: Mapping[str, str] = {
    "int": "an integer",
    "float": "a number",
    "string": "a string",
    "bool": "true or false",
    "dict": "a table",
    "model": "a table",
    "tuple": "a list",
    "list": "a list",
    "finite": "a finite number",
}


def _wanted(fault: Mapping[str, Any], field: FieldInfo | None) -> str:
    """What would have been right, in words; the meaning that the form gives the key comes with it."""
    low, high = (_bound(field, names) for names in (("ge", "gt"), ("le", "lt")))
    if fault["type"] in RANGES and low is not None and high is not None:
        words = f"{low:g} to {high:g}"
    elif fault["type"] == "too_short":
        words = "at least one"
    elif fault["type"].startswith("greater_than"):
        limit = next(iter(fault["ctx"].values()))
        words = f"at least {limit:g}" if fault["type"].endswith("equal") else f"above {limit:g}"
    else:
        words = KINDS.get(fault["type"].partition("_")[0], str(fault["msg"]).removeprefix("Value error, "))
    meaning = field.description if field is not None else None
    return f"{words} ({meaning})" if meaning else words


def _bound(field: FieldInfo | None, names: tuple[str, ...]) -> float | None:
    limits = (getattr(limit, name, None) for limit in (field.metadata if field is not None else ()) for name in names)
    return next((limit for limit in limits if limit is not None), None)


def _allowed(field: FieldInfo | None) -> list[str]:
    return [str(choice) for choice in getattr(field.annotation, "__args__", ())] if field is not None else []


def _form_at(form: type[Form], path: Iterable[str]) -> type[Form] | None:
    """The form that holds the key at the end of a path; None inside tables whose keys are free."""
    home: Any = form
    for part in path:
        field = home.model_fields.get(part) if isinstance(home, type) and issubclass(home, Form) else None
        if field is not None:
            home = next((kind for kind in _kinds(field.annotation) if issubclass(kind, Form)), None)
    return home if isinstance(home, type) and issubclass(home, Form) else None


def _kinds(annotation: Any) -> list[type]:
    """The classes inside an annotation such as `dict[str, Part] | None`."""
    if isinstance(annotation, type) and not getattr(annotation, "__args__", None):
        return [annotation]
    return [kind for part in getattr(annotation, "__args__", ()) for kind in _kinds(part)]


def _names_a_kind(part: Any) -> bool:
    """Whether a step of pydantic's path names one kind of a union, which is no key of the file."""
    return isinstance(part, str) and (part in ("str", "int", "float", "bool") or "[" in part)


def _bracketed(key: str, field: FieldInfo | None) -> str:
    is_table = field is not None and any(issubclass(kind, Form) for kind in _kinds(field.annotation))
    return f"[{key}]" if is_table else repr(key)


def _required(home: type[Form] | None) -> str:
    keys = [key for key, field in home.model_fields.items() if field.is_required()] if home else []
    return ", ".join(keys[:-1]) + (" and " if len(keys) > 1 else "") + keys[-1] if keys else ""


def nearest(key: Any, words: Iterable[str], otherwise: str) -> str:
    """Text that asks "Did you mean ...?" with the closest known word, or what to say where none is close."""
    return closest(str(key), list(words)) or otherwise
