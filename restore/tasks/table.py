"""The TOML of a task: which keys there are, what type each has, and how `--set` changes them. No tensors here."""

from __future__ import annotations

import copy
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from operators.common.errors import BadInput, BadType

from .units import UNITS

Table = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """A part of a task file: its fixed keys with their types; `open`: other keys are parameters of what it names."""

    keys: Mapping[str, tuple[type, ...]]
    open: bool = False
    required: tuple[str, ...] = ()


NUMBER = (int, float)
SECTIONS: Mapping[str, Section] = {
    "operator": Section({"name": (str,)}, open=True, required=("name",)),
    "noise": Section({"name": (str,)}, open=True, required=("name",)),
    "measurement": Section({"bits": (int,)}),
    "input": Section({"unit": (str,), "crop_to_multiple": (int,), "normalise": (bool,), "mu_water": NUMBER}),
    "prior": Section({"name": (str,)}),
    "solver": Section({"name": (str,)}, open=True, required=("name",)),
    "baseline": Section({"name": (str,)}, open=True, required=("name",)),
    "metrics": Section({}, open=True),
    "quick": Section({"images": (int,), "size": (int,)}),
}
TOP: Mapping[str, tuple[type, ...]] = {"version": (int,), "summary": (str,), "source": (str,), "solvers": (dict,)}
ORDER = ("version", "summary", "source", *list(SECTIONS)[:6], "solvers", *list(SECTIONS)[6:])
REQUIRED = ("version", "summary", "operator", "noise", "solver")
DEFAULTS: Table = {
    "source": "",
    "measurement": {},
    "input": {"unit": "[0,1]", "crop_to_multiple": 1},
    "prior": {"name": "natural"},
    "solvers": {},
    "baseline": {"name": "measurement"},
    "metrics": {"psnr": "psnr[rgb,clip,peak=1]", "ssim": "ssim[gauss1.5,rgb]", "lpips": "lpips[alex,v0.1]"},
    "quick": {"images": 2, "size": 64},
}


def parse(text: str, *, where: str) -> Table:
    """A task file's text as a checked table with defaults filled in; BadInput with a suggestion otherwise."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{where} is not TOML ({error})", do="See docs/tasks.md for the form of a task file.") from error
    return check(raw, where=where)


def check(raw: Mapping[str, Any], *, where: str) -> Table:
    """The table with defaults filled in, after every key and type was checked."""
    known = {**TOP, **dict.fromkeys(SECTIONS, (dict,))}
    _check_keys(raw, known, where=where, open=False)
    for key in REQUIRED:
        if key not in raw:
            raise BadInput(
                f"{where} has no {_bracket(key)}", do="Every task has version, summary, operator, noise and solver."
            )
    for name, section in SECTIONS.items():
        part = raw.get(name)
        if part is None:
            continue
        _check_keys(part, section.keys, where=f"[{name}] of {where}", open=section.open)
        for key in section.required:
            if key not in part:
                raise BadInput(f"[{name}] of {where} has no {key!r}")
    for name, part in raw.get("solvers", {}).items():
        if not isinstance(part, dict):
            raise BadType(f"solvers.{name} of {where} is {part!r}", wanted="a table [solvers.NAME]")
        _check_keys(part, {"prior": (str,)}, where=f"[solvers.{name}] of {where}", open=True)
    table = copy.deepcopy(DEFAULTS)
    for key, value in copy.deepcopy(dict(raw)).items():
        merges = key in ("input", "quick", "prior")
        table[key] = {**table[key], **value} if merges else value
    _check_values(table, where)
    return {key: table[key] for key in ORDER}


def _check_values(table: Table, where: str) -> None:
    if table["version"] < 1:
        raise BadInput(f"version of {where} is {table['version']}", wanted="an integer of at least 1")
    if table["input"]["crop_to_multiple"] < 1:
        raise BadInput(f"crop_to_multiple of {where} is {table['input']['crop_to_multiple']}", wanted="at least 1")
    if table["input"]["unit"] not in UNITS:
        hint = _hint(table["input"]["unit"], UNITS, f"Known: {', '.join(UNITS)}.")
        raise BadInput(f"unit of {where} is {table['input']['unit']!r}", do=hint)
    if table["input"].get("mu_water", 1) <= 0:
        raise BadInput(f"mu_water of {where} is {table['input']['mu_water']}", wanted="a positive number, in 1/mm")
    bits = table["measurement"].get("bits", 8)
    if not 1 <= bits <= 16:
        raise BadInput(f"bits of {where} is {bits}", wanted="1 to 16")
    for key, value in table["metrics"].items():
        if not isinstance(value, str):
            raise BadType(
                f"metrics.{key} of {where} is {value!r}", wanted="a metric's name such as 'psnr[rgb,clip,peak=1]'"
            )


def override(table: Table, settings: Mapping[str, Any], *, where: str) -> Table:
    """The table with dotted keys replaced: {"solver.steps": 50, "operator.factor": 2}.

    A new `solver.name` brings the task's own [solvers.NAME] with it and drops the parameters of the old solver.
    """
    changed = copy.deepcopy(table)
    solver = settings.get("solver.name")
    if solver is not None and solver != table["solver"]["name"]:
        changed["solver"] = {"name": solver, **changed["solvers"].get(solver, {})}
        if "prior" in changed["solver"]:
            changed["prior"]["name"] = changed["solver"].pop("prior")
    if "solver.preset" in settings:
        # A preset is a published group of settings: the task's own tuning must not override it.
        changed["solver"] = {"name": changed["solver"]["name"]}
        changed["solvers"].pop(changed["solver"]["name"], None)
    baseline = settings.get("baseline.name")
    if baseline is not None and baseline != table["baseline"]["name"]:
        changed["baseline"] = {"name": baseline}
    for dotted, value in settings.items():
        section, _, key = dotted.partition(".")
        key, _, inner = key.partition(".")
        if section not in SECTIONS or not key or "." in inner or (inner and not SECTIONS[section].open):
            known = [f"{name}.{key}" for name, part in SECTIONS.items() for key in (part.keys or ("psnr",))]
            raise BadInput(
                f"no setting {dotted!r}", do=_hint(dotted, known, f"Settings begin with {', '.join(SECTIONS)}.")
            )
        new = {**_group(changed[section], key, where=where), inner: value} if inner else value
        _check_keys({key: new}, SECTIONS[section].keys, where=f"[{section}] of {where}", open=SECTIONS[section].open)
        changed[section][key] = new
    _check_values(changed, where)
    return changed


def _group(section: Table, key: str, *, where: str) -> Table:
    """The table under a key, such as `settings` of a blur; empty where there is none."""
    group = section.get(key, {})
    if not isinstance(group, dict):
        raise BadType(f"{key!r} of {where} is {group!r}, which has no parts")
    return group


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


def _check_keys(given: Mapping[str, Any], known: Mapping[str, tuple[type, ...]], *, where: str, open: bool) -> None:
    for key, value in given.items():
        if key not in known:
            if open:
                continue
            raise BadInput(f"{where} has unknown key {key!r}", do=_hint(key, known, f"Known: {', '.join(known)}."))
        kinds = known[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise BadType(f"{key!r} of {where} is {value!r}", wanted=_kind_name(kinds))


def _kind_name(kinds: tuple[type, ...]) -> str:
    names = {
        int: "an integer",
        float: "a number",
        str: "a string",
        bool: "true or false",
        dict: "a table",
        list: "a list",
    }
    return "a number" if set(kinds) == {int, float} else names.get(kinds[0], kinds[0].__name__)


def _hint(key: str, known: Iterable[str], otherwise: str) -> str:
    close = difflib.get_close_matches(key, list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else otherwise


def _bracket(key: str) -> str:
    return f"[{key}]" if key in SECTIONS else repr(key)
