"""What a report shows, and the one file it becomes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from torch import Tensor

from operators import BadInput
from operators.common.atomic import atomic_path

from . import numbers, panels, plot

TEMPLATE = "page.html.j2"
TRACE_ROWS = 200  # of the table under the plot; longer traces are thinned, and the page says so


@dataclass(frozen=True)
class Page:
    """Everything on a report.

    title: heading. command: as typed in a shell. task: its name, or its table with the key `name`. metrics: the table
    of metrics.json. pictures: C x H x W each, not clipped or scaled, under truth, measurement, baseline, estimate, std,
    error (signed or not) and residual (signed); sizes may differ. trace: a row of numbers per step, with `step` and,
    where there are any, `residual_rms`, `sigma` and others. provenance: plain data; `input.unit` and `input.bits` in it
    decide how pictures are shown. notes: sentences. timing: seconds `total`, `network`, `noise` of the solve, or None.
    """

    title: str
    command: str
    task: str | Mapping[str, Any]
    metrics: Mapping[str, Any]
    pictures: Mapping[str, Tensor] = field(repr=False)
    trace: Sequence[Mapping[str, float]] = field(repr=False)
    provenance: Mapping[str, Any] = field(repr=False)
    notes: Sequence[str] = ()
    timing: Mapping[str, float] | None = None


def write(path: Path, page: Page) -> Path:
    """Path of the page as one HTML file that needs nothing else, written whole or not at all.

    Raises BadInput for a page without pictures or one that cannot be shown, WriteError where the place is bad.
    """
    return write_text(path, render(page))


def write_text(path: Path, text: str) -> Path:
    """Path of the HTML text of a page, written whole or not at all; WriteError where the place is bad."""
    with atomic_path(path) as temporary:
        # A file name that is no valid text (a lone surrogate) is shown escaped instead of stopping the report.
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
    return Path(path)


def render(page: Page) -> str:
    """The HTML text of a page."""
    import jinja2
    from markupsafe import Markup

    if not page.pictures:
        raise BadInput("a report without pictures", wanted="at least the estimate")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_part), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    script = _part("page.js")
    source = page.provenance.get("input")
    source = source if isinstance(source, Mapping) else {}
    unit = str(page.provenance.get("shown_unit", source.get("unit", "[0,1]")))
    drawn = panels.panels(page.pictures, unit=unit, bits=int(source.get("bits") or 8))
    lead = next((panel for panel in drawn if panel.name == "estimate"), drawn[0])
    task = page.task if isinstance(page.task, str) else str(page.task.get("name", ""))
    rows = _thin(page.trace)
    return environment.get_template(TEMPLATE).render(
        page=page,
        task=task,
        task_table=[] if isinstance(page.task, str) else flatten(page.task),
        style=Markup(_part("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        panels=drawn,
        lead=lead,
        ratio=lead.width / lead.height,
        facts=numbers.facts(page.metrics),
        scores=numbers.scores(page.metrics),
        consistency=numbers.consistency(page.metrics),
        coverage=numbers.coverage(page.metrics),
        verdict=numbers.verdict(page.metrics),
        calibration=numbers.calibration(page.metrics),
        timing=numbers.timing(page.timing),
        plot=Markup(plot.trace_svg(page.trace)),
        columns=list(dict.fromkeys(key for row in rows for key in row)),
        rows=rows,
        steps=len(page.trace),
        provenance=flatten(page.provenance),
    )


def stylesheet() -> str:
    """The CSS of a report, for other pages of the toolkit."""
    return _part("page.css")


def flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested plain data as (dotted key, text) rows."""
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += flatten(value, f"{name}.") if value else [(name, "-")]
        elif isinstance(value, (list, tuple)):
            rows.append((name, ", ".join(map(str, value)) or "-"))
        else:
            rows.append((name, "-" if value is None or value == "" else str(value)))
    return rows


def _thin(trace: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    stride = max(1, -(-len(trace) // TRACE_ROWS))
    return [row for i, row in enumerate(trace) if i % stride == 0 or i == len(trace) - 1]


def _part(name: str) -> str:
    """A file of this package, also from a zipped install."""
    return resources.files(__package__).joinpath(name).read_text("utf-8")
