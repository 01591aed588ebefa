"""The pictures of a page: which kind each is, one scale where they must share it, and what the page needs to draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from .colours import css_gradient
from .embed import data_uri, shrink
from .visible import MAPS, Limits, Look, look, reference_limits

CAPTIONS = {
    "truth": "Truth",
    "measurement": "Measurement",
    "baseline": "Baseline",
    "estimate": "Estimate",
    "measured": "Measured part",
    "filled-in": "Filled in by the prior",
    "std": "Standard deviation",
    "error": "Error",
    "residual": "Residual",
}
OWN_KIND = (*MAPS, "residual")
SAME_SHAPE = 0.02  # relative difference of width to height below which two pictures can lie on one another


@dataclass(frozen=True)
class Panel:
    """One picture as the template draws it. follows: it can lie over the estimate, so that zoom and slider apply."""

    name: str
    caption: str
    uri: str
    width: int
    height: int
    rule: str
    follows: bool
    gradient: str = ""
    low: str = ""
    high: str = ""


def looks(pictures: Mapping[str, Tensor], *, unit: str = "[0,1]") -> dict[str, Look]:
    """How each picture is drawn. Pictures of one kind that are compared with each other share their scale."""
    kinds = {name: kind_of(name, picture, unit) for name, picture in pictures.items()}
    shared: dict[str, Limits | None] = {}
    for kind in set(kinds.values()) - {"residual"}:
        members = [name for name in ("truth", "estimate", *pictures) if kinds.get(name) == kind]
        shared[kind] = reference_limits(pictures[members[0]], kind=kind)
    tops = [limits for kind in MAPS if (limits := shared.get(kind)) is not None]
    for kind in MAPS:
        # One scale for error and std: where the two maps look alike, the samples know how wrong they are.
        shared[kind] = max(tops, key=lambda limits: limits[1], default=None)
    return {name: look(picture, kind=kinds[name], limits=shared.get(kinds[name])) for name, picture in pictures.items()}


def kind_of(name: str, picture: Tensor, unit: str) -> str:
    """The kind of `display` for a picture of that name whose values are in `unit`."""
    if name in OWN_KIND:
        return name
    if name == "filled-in" and not picture.is_complex():
        return "residual"
    if picture.is_complex():
        return "complex"
    if unit == "hu":
        return "hu"
    if picture.ndim > 2 and picture.shape[0] not in (1, 3):
        return "bands"
    return "picture" if unit == "[0,1]" else "range"


def panels(pictures: Mapping[str, Tensor], *, unit: str = "[0,1]", bits: int = 8) -> list[Panel]:
    """Panels in the order of CAPTIONS, then the others."""
    shown = looks(pictures, unit=unit)
    lead = shown.get("estimate", next(iter(shown.values()), None))
    ordered = [name for name in CAPTIONS if name in shown] + [name for name in shown if name not in CAPTIONS]
    return [_panel(name, shown[name], lead, bits if name not in OWN_KIND else 8) for name in ordered]


def _panel(name: str, drawn: Look, lead: Look | None, bits: int) -> Panel:
    pixels, factor = shrink(drawn.pixels)
    high, wide = drawn.pixels.shape[:2]
    rule = drawn.rule if bits <= 8 else f"{drawn.rule} (stored with {bits})"
    if factor > 1:
        rule += f"; this copy is reduced by {factor}, the files beside this page keep all {wide} x {high} pixels"
    panel = Panel(
        name=name,
        caption=CAPTIONS.get(name, name),
        uri=data_uri(pixels),
        width=pixels.shape[1],
        height=pixels.shape[0],
        rule=rule,
        follows=lead is not None and _same_shape(drawn, lead),
    )
    if drawn.legend is None:
        return panel
    ends = drawn.legend
    return replace(panel, gradient=css_gradient(ends.anchors), low=f"{ends.low:.3g}", high=f"{ends.high:.3g}")


def _same_shape(one: Look, other: Look) -> bool:
    ratios = [look.pixels.shape[1] / look.pixels.shape[0] for look in (one, other)]
    return abs(ratios[0] / ratios[1] - 1) <= SAME_SHAPE
