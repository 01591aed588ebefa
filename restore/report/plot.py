"""The trace as inline SVG: residual (left axis) and sigma (right axis) over the steps, both logarithmic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 74, 74, 34, 52
MOST_POINTS = 600
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Point = tuple[float, float]


@dataclass(frozen=True)
class PlotAxis:
    """A linear map from [low, high] (of log10 values where `log`) to pixels; never empty."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        place = math.log10(value) if self.log else value
        return self.start + (place - self.low) / (self.high - self.low) * (self.end - self.start)


def trace_svg(trace: Sequence[Mapping[str, float]]) -> str:
    """The plot, or an empty text where no step has a positive, finite residual or sigma."""
    residual, sigma = (_points(trace, key) for key in ("residual_rms", "sigma"))
    if not residual and not sigma:
        return ""
    across = _linear([x for x, _ in residual + sigma])
    parts = [_frame(across)]
    for points, name, label, side in (
        (residual, "residual", "rms of y − A(estimate)", LEFT),
        (sigma, "sigma", "σ of the step", WIDTH - RIGHT),
    ):
        if points:
            up = _log([y for _, y in points])
            parts += [_ticks(up, side, name), _name(label, side, name), _line(points, across, up, name)]
    described = "Residual and sigma over the steps" if residual and sigma else "A quantity over the steps"
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{described}, logarithmic">'
        + "".join(parts)
        + "</svg>"
    )


def _points(trace: Sequence[Mapping[str, float]], key: str) -> list[Point]:
    """(step, value) where the value can be drawn on a logarithmic axis, thinned to what a plot can show."""
    points = [(float(row.get("step", i)), float(row[key])) for i, row in enumerate(trace) if row.get(key) is not None]
    drawn = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and y > 0]
    stride = max(1, -(-len(drawn) // MOST_POINTS))
    return [point for i, point in enumerate(drawn) if i % stride == 0 or i == len(drawn) - 1]


def _linear(values: Sequence[float]) -> PlotAxis:
    low, high = min(values), max(values)
    if high <= low:  # a single step stands in the middle
        low, high = low - 0.5, high + 0.5
    return PlotAxis(low, high, LEFT, WIDTH - RIGHT)


def _log(values: Sequence[float]) -> PlotAxis:
    """At least half a decade, so that a constant is a flat line and not noise blown up."""
    low, high = math.log10(min(values)), math.log10(max(values))
    spare = max(0.5 - (high - low), 0.0) / 2 + 0.04 * max(high - low, 0.5)
    return PlotAxis(low - spare, high + spare, HEIGHT - BOTTOM, TOP, log=True)


def _frame(across: PlotAxis) -> str:
    floor = HEIGHT - BOTTOM
    ticks = "".join(
        f'<line class="tick" x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{floor}" y2="{floor + 5}"/>'
        f'<text x="{across(x):.1f}" y="{floor + 21}" text-anchor="middle">{x:g}</text>'
        for x in _steps(across)
    )
    return (
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>{ticks}'
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">step</text>'
    )


def _steps(across: PlotAxis) -> list[int]:
    """Whole steps at a round spacing, at most seven."""
    raw = max((across.high - across.low) / 6, 1e-9)
    power = 10 ** math.floor(math.log10(raw))
    spacing = max(1, math.ceil(next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))))
    first = math.ceil(across.low / spacing) * spacing
    return list(range(first, math.floor(across.high) + 1, spacing))


def _ticks(up: PlotAxis, side: float, name: str) -> str:
    outward = -1 if side == LEFT else 1
    anchor = "end" if side == LEFT else "start"
    grid = (
        "".join(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(v):.1f}" y2="{up(v):.1f}"/>'
            for v in _values(up)
        )
        if side == LEFT
        else ""
    )
    labels = "".join(
        f'<line class="tick {name}" x1="{side}" x2="{side + 5 * outward}" y1="{up(v):.1f}" y2="{up(v):.1f}"/>'
        f'<text class="{name}" x="{side + 9 * outward}" y="{up(v) + 4:.1f}" text-anchor="{anchor}">{_text(v)}</text>'
        for v in _values(up)
    )
    return grid + labels


def _values(up: PlotAxis) -> list[float]:
    """Powers of ten; 1, 2 and 5 times them over a short range; every other power over a long one."""
    decades = up.high - up.low
    factors = (1, 2, 5) if decades < 2.2 else (1,)
    stride = max(1, math.ceil(decades / 6))
    powers = range(math.floor(up.low), math.ceil(up.high) + 1)
    values = [m * 10.0**power for power in powers if power % stride == 0 or len(factors) > 1 for m in factors]
    return [value for value in values if up.low <= math.log10(value) <= up.high]


def _text(value: float) -> str:
    power = math.floor(math.log10(value) + 1e-9)
    if -4 < power < 4:
        return f"{value:.4g}"
    lead = round(value / 10.0**power)
    return f"{'' if lead == 1 else f'{lead}·'}10{str(power).translate(SUPERSCRIPT)}"


def _name(label: str, side: float, name: str) -> str:
    """Above its axis, in the colour of its line, so that no legend is needed."""
    anchor, x = ("start", 4) if side == LEFT else ("end", WIDTH - 4)
    return f'<text class="{name} name" x="{x}" y="18" text-anchor="{anchor}">{label}</text>'


def _line(points: Sequence[Point], across: PlotAxis, up: PlotAxis, name: str) -> str:
    places = [(across(x), up(y)) for x, y in points]
    dots = places if len(places) <= 40 else []
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    marks = "".join(f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in dots)
    return f'<polyline class="{name}" points="{line}"/>{marks}'
