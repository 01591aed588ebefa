"""The JSON schema of task files: the keys of each section, and the ranges that the settings of every part declare.

`docs/task.schema.json` holds it for editors and other programs; `python -m restore.commands.tabulated` writes it anew.
"""

from __future__ import annotations

from typing import Any

from operators.common import described, forms
from operators.common.registry import Registry

from .sections import Sections


def task_schema() -> dict[str, Any]:
    """Draft 2020-12; imports every part that ships."""
    import operators
    import operators.noise

    from .. import solvers

    table = forms.schema(Sections, title="A task of restore")
    sections = table["properties"]
    for name, registry in (
        ("operator", operators.REGISTRY),
        ("noise", operators.noise.REGISTRY),
        ("solver", solvers.REGISTRY),
    ):
        sections[name] = {"description": sections[name].get("description", ""), **_chosen(registry)}
    own = table["$defs"]["SolverSettings"]["properties"]
    sections["solvers"] = {
        "description": sections["solvers"].get("description", ""),
        "type": "object",
        "properties": {name: _with(own, solvers.REGISTRY, name) for name in solvers.REGISTRY.shipped},
        "additionalProperties": False,
    }
    return table


def _chosen(registry: Registry) -> dict[str, Any]:
    """A table that names a part, and settings of the part that it names."""
    return {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"enum": list(registry.shipped)}},
        "allOf": [
            {"if": {"properties": {"name": {"const": name}}}, "then": _with({"name": True}, registry, name)}
            for name in registry.shipped
        ],
    }


def _with(own: dict[str, Any], registry: Registry, name: str) -> dict[str, Any]:
    """The schema of a part's settings, which stand beside keys of the section's own."""
    settings = described.schema(registry.load(name))
    return {**settings, "properties": {**own, **settings["properties"]}}
