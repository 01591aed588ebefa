"""The card of an imported prior: what it is, where it came from, with which constants, and what was assumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ...residual.process import Process
from .layouts import ReleasedLayout


def card_of(
    name: str, layout: ReleasedLayout, *, notes: Mapping[str, Any], shape: Mapping[str, Any], process: Process | None
) -> str:
    """Markdown. notes, shape: as in the header of the stored weights. process: None where it has none."""
    other = " (or `--solver mrs`)" if layout.process == "ir-sde" else ""
    sections = [
        f"# {name}",
        f"A checkpoint of {layout.name}, {notes['parameters'] / 1e6:.2f} M parameters. "
        f"Method: {layout.source}. Licence: {layout.licence}.",
        f"Use: `restore run --task TASK --solver {layout.process or layout.method} --prior {name}`{other}.",
        "## Where it came from",
        _listed({key: notes[key] for key in ("file", "file_sha256", "found_in", "weights") if key in notes})
        + _listed({key: value for key, value in notes.items() if key.startswith("autoencoder")}),
        "".join(f"- {line}\n" for line in notes["chosen"]),
        f"## Process `{layout.process}`" if process is not None else "## Units",
        _listed({field.name: getattr(process, field.name) for field in dataclasses.fields(process)})
        if process is not None
        else _listed({"picture": f"{layout.shift:g} + {layout.scale:g} * (what the network sees)"}),
        "Assumed, because the file does not say:",
        "".join(f"- {line}\n" for line in notes["assumed"]) or "- nothing\n",
        "## Network",
        _listed(shape),
    ]
    return "\n\n".join(section.rstrip("\n") for section in sections if section) + "\n"


def _listed(table: Mapping[str, Any]) -> str:
    return "".join(f"- {key}: {value}\n" for key, value in table.items())
