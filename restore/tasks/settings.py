"""Settings of the command line: `--set KEY=VALUE` read as TOML, and a task's sections with dotted keys replaced."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from operators.common.errors import BadInput, BadType
from operators.common.forms import Form, fill, nearest

from .sections import Sections

CLOSED = ("version", "summary", "source", "solvers")  # what a task is, not how it is set


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """`KEY=VALUE` pairs of the command line; a value is a TOML scalar or array, and any other text a string."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise BadInput(f"--set {pair!r} is not KEY=VALUE", do="Write it like --set solver.steps=50.")
        if key.strip() in settings:
            raise BadInput(f"--set gives {key.strip()!r} twice")
        settings[key.strip()] = _scalar(text.strip())
    return settings


def _scalar(text: str) -> Any:
    try:
        values = tomllib.loads(f"v = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return values["v"] if set(values) == {"v"} and isinstance(values["v"], str | int | float | bool | list) else text


def override(sections: Sections, settings: Mapping[str, Any], *, where: str) -> Sections:
    """The sections with dotted keys replaced: {"solver.steps": 50, "operator.factor": 2}.

    A new `solver.name` brings the task's own [solvers.NAME] with it and drops the parameters of the old solver.
    """
    table = sections.plain()
    solver = settings.get("solver.name")
    if solver is not None and solver != sections.solver.name:
        table["solver"] = {"name": solver, **table["solvers"].get(solver, {})}
        if "prior" in table["solver"]:
            table["prior"] = {"name": table["solver"].pop("prior")}
    if "solver.preset" in settings:
        # A preset is a published group of settings: the task's own tuning must not override it.
        table["solver"] = {"name": table["solver"]["name"]}
        table["solvers"].pop(table["solver"]["name"], None)
    for section, own in (("baseline", sections.baseline.name), ("prior", sections.prior.name)):
        name = settings.get(f"{section}.name")
        if name is not None and name != own:
            table[section] = {"name": name}
    for dotted, value in settings.items():
        section, key, inner = _place(dotted)
        table[section][key] = {**_group(table[section], key, where=where), inner: value} if inner else value
    return fill(Sections, table, where=where)


def _place(dotted: str) -> tuple[str, str, str]:
    """Section, key, and the key within a table of parameters ("" for none); BadInput where no section has such keys."""
    section, _, rest = dotted.partition(".")
    key, _, inner = rest.partition(".")
    if section not in _keys() or not key or "." in inner or (inner and not _is_open(section)):
        names = [f"{name}.{key}" for name, keys in _keys().items() for key in keys]
        raise BadInput(
            f"no setting {dotted!r}", do=nearest(dotted, names, f"Settings begin with {', '.join(_keys())}.")
        )
    return section, key, inner


def _keys() -> dict[str, list[str]]:
    """The sections that can be set, with the keys that each always has."""
    forms = {name: field.annotation for name, field in Sections.model_fields.items() if name not in CLOSED}
    return {
        name: list(form.model_fields) if isinstance(form, type) and issubclass(form, Form) else ["psnr"]
        for name, form in forms.items()
    }


def _is_open(section: str) -> bool:
    form = Sections.model_fields[section].annotation
    return not (isinstance(form, type) and issubclass(form, Form)) or form.model_config.get("extra") == "allow"


def _group(section: Mapping[str, Any], key: str, *, where: str) -> dict[str, Any]:
    """The table under a key, such as `settings` of a blur; empty where there is none."""
    group = section.get(key, {})
    if not isinstance(group, dict):
        raise BadType(f"{key!r} of {where} is {group!r}, which has no parts")
    return group
