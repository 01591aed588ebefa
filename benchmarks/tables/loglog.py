"""A plot of curves on logarithmic axes, as a stand-alone SVG that reads on white and on black."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import ClassVar

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 34, 52
INK, GRID = "#6b7280", "#9ca3af55"
COLOURS = ("#2563eb", "#ea580c", "#16a34a", "#9333ea", "#dc2626", "#0891b2", "#a16207", "#db2777", "#475569", "#65a30d")

Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class LogAxis:
    """Values to pixels: `low` to `high`, as `scaled` gives them, lie from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    narrowest: ClassVar[float] = 0.5  # range, in scaled values, under which the room at the ends no longer shrinks

    @staticmethod
    def scaled(value: float) -> float:
        return math.log10(value)

    def __call__(self, value: float) -> float:
        return self.start + (self.scaled(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float) -> LogAxis:
        """An axis with a little room at both ends of the values."""
        low, high = cls.scaled(min(values)), cls.scaled(max(values))
        spare = 0.04 * max(high - low, cls.narrowest)
        return cls(low - spare, high + spare, start, end)

    def ticks(self) -> list[float]:
        """Powers of ten, and 2 and 5 times them over a short range."""
        factors = (1, 2, 5) if self.high - self.low < 2.5 else (1,)
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        values = [factor * 10.0**power for power in powers for factor in factors]
        return [v for v in values if self.low <= math.log10(v) <= self.high]


class Even(LogAxis):
    """Values themselves to pixels."""

    narrowest = 0.01

    @staticmethod
    def scaled(value: float) -> float:
        return value

    def ticks(self) -> list[float]:
        """Four to ten round values."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = max(factor * power for factor in (1, 2, 5) if factor * power <= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [k * step for k in range(first, last + 1)]


def loglog_svg(curves: Mapping[str, Curve], *, title: str, across: str, up: str) -> str:
    """curves: name -> points with positive coordinates, at least one; a name that ends in " (dashed)" is drawn so."""
    return _svg(curves, LogAxis, title=title, across=across, up=up)


def semilog_svg(curves: Mapping[str, Curve], *, title: str, across: str, up: str) -> str:
    """As `loglog_svg`, with evenly spaced values on the axis that goes up."""
    return _svg(curves, Even, title=title, across=across, up=up)


def _svg(curves: Mapping[str, Curve], upright: type[LogAxis], *, title: str, across: str, up: str) -> str:
    points = [point for curve in curves.values() for point in curve]
    x = LogAxis.around([p[0] for p in points], LEFT, WIDTH - RIGHT)
    y = upright.around([p[1] for p in points], HEIGHT - BOTTOM, TOP)
    parts = [_grid(x, y, across, up)]
    for index, (name, curve) in enumerate(curves.items()):
        parts.append(_curve(name, curve, x, y, COLOURS[index % len(COLOURS)], TOP + 14 + 20 * index))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="{INK}"><title>{escape(title)}</title>'
        f'<text x="{LEFT}" y="18" font-size="13">{escape(title)}</text>{"".join(parts)}</svg>\n'
    )


def _grid(x: LogAxis, y: LogAxis, across: str, up: str) -> str:
    floor, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    lines = [
        f'<path d="M{x(v):.1f} {TOP}V{floor}" stroke="{GRID}"/>'
        f'<text x="{x(v):.1f}" y="{floor + 18}" text-anchor="middle">{v:g}</text>'
        for v in x.ticks()
    ] + [
        f'<path d="M{LEFT} {y(v):.1f}H{right}" stroke="{GRID}"/>'
        f'<text x="{LEFT - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v:g}</text>'
        for v in y.ticks()
    ]
    names = (
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(across)}</text>'
        f'<text x="16" y="{(TOP + floor) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 16 {(TOP + floor) / 2})">{escape(up)}</text>'
    )
    return "".join(lines) + names


def _curve(name: str, curve: Curve, x: LogAxis, y: LogAxis, colour: str, row: float) -> str:
    shown = name.removesuffix(" (dashed)")
    dash = ' stroke-dasharray="5 4"' if shown != name else ""
    places = [(x(a), y(b)) for a, b in curve]
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{colour}"/>' for a, b in places)
    key = WIDTH - RIGHT + 14
    return (
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>{dots}'
        f'<path d="M{key} {row - 4}h22" stroke="{colour}" stroke-width="1.6"{dash}/>'
        f'<text x="{key + 28}" y="{row}">{escape(shown)}</text>'
    )
