"""The evidence as one HTML page that needs nothing else, or as the plot alone."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path

from ..report.page import stylesheet, write_text
from .advice import Advice, Assumption
from .examination import Examination

WIDTH, HEIGHT, EDGE = 560, 300, 58
CELL = 30
SIGNS = {True: "holds", False: "does not hold", None: "not told"}


def write(path: Path, found: Examination, said: Sequence[Assumption], told: Advice, *, title: str) -> Path:
    """The path of what was written: an SVG of the scatter for a name in .svg, else the HTML page."""
    text = scatter_svg(found) if path.suffix.lower() == ".svg" else page(found, said, told, title=title)
    return write_text(path, text)


def page(found: Examination, said: Sequence[Assumption], told: Advice, *, title: str) -> str:
    """The HTML text: advice, assumptions, variance against mean, correlation of the noise."""
    e = html.escape
    rows = "".join(
        f'<tr><th scope="row">{e(a.name)}<small>{e(a.who)}</small></th>'
        f"<td>{SIGNS[a.holds]}</td><td>{e(a.text)}</td></tr>"
        for a in said
    )
    reasons = "".join(f"<p>{e(reason)}</p>" for reason in told.reasons)
    command = f'<pre class="mono">{e(told.command)}</pre>' if told.command else ""
    facts = (
        f"<span>size <b>{' x '.join(map(str, found.shape))}</b></span><span>sigma <b>{found.level.sigma:.4g}</b></span>"
        f"<span>level for a prior <b>{found.level.level:.4g}</b></span><span>noise <b>{found.level.kind}</b></span>"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{e(title)}</title>\n<style>\n{stylesheet()}\n</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1>{e(title)}</h1><p class="facts">{facts}</p></header>\n'
        f"<section><h2>What to do</h2>{reasons}{command}</section>\n"
        '<section><h2>What denoisers assume</h2><div class="scroll">'
        f'<table class="scores"><tbody>{rows}</tbody></table></div></section>\n'
        f"<section><h2>Variance against brightness</h2>{scatter_svg(found)}"
        f"<p>{e(_reading(found))}</p></section>\n"
        f"<section><h2>Correlation of the noise</h2>{kernel_svg(found)}"
        "<p>r(dy, dx) in the flattest patches; the middle is 1. White noise is 0 around it.</p></section>\n"
        "</main>\n</body>\n</html>\n"
    )


def scatter_svg(found: Examination) -> str:
    """Variances of the bins of brightness as dots, the fitted line where it says something."""
    line = found.scatter
    parts = [
        f'<line x1="{EDGE}" x2="{WIDTH - 10}" y1="{HEIGHT - 40}" y2="{HEIGHT - 40}" stroke="currentColor"/>',
        f'<line x1="{EDGE}" x2="{EDGE}" y1="10" y2="{HEIGHT - 40}" stroke="currentColor"/>',
        f'<text x="{(WIDTH + EDGE) / 2}" y="{HEIGHT - 6}" text-anchor="middle">brightness</text>',
        f'<text x="{EDGE + 6}" y="18">variance</text>',
    ]
    if line.variances and max(line.variances) > 0:
        top = 1.15 * max(line.variances)
        left, right = min(0.0, *line.means), max(found.white, *line.means)

        def place(x: float, v: float) -> tuple[float, float]:
            across = EDGE + (x - left) / (right - left) * (WIDTH - 10 - EDGE)
            return across, HEIGHT - 40 - min(max(v, 0.0) / top, 1.0) * (HEIGHT - 50)

        parts += [
            f'<text x="{place(x, 0)[0]:.1f}" y="{HEIGHT - 22}" text-anchor="middle">{x:.2g}</text>'
            for x in (left, (left + right) / 2, right)
        ]
        parts += [
            f'<text x="{EDGE - 4}" y="{place(0, v)[1] + 4:.1f}" text-anchor="end">{v:.1e}</text>'
            for v in (top / 2, top)
        ]
        if line.reliable:
            ends = [place(x, line.gain * x + line.read) for x in (line.means[0], line.means[-1])]
            parts.append(
                f'<line x1="{ends[0][0]:.1f}" y1="{ends[0][1]:.1f}" x2="{ends[1][0]:.1f}" y2="{ends[1][1]:.1f}" '
                'stroke="#b0562d" stroke-width="1.5"/>'
            )
        for x, v in zip(line.means, line.variances, strict=True):
            across, up = place(x, v)
            parts.append(f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3.5" fill="#1f6f8b"/>')
    return _svg("".join(parts), WIDTH, HEIGHT, "Variance of the noise against brightness")


def kernel_svg(found: Examination) -> str:
    """The autocorrelation as a table of cells: blue above 0, red below, the number inside."""
    rows = found.kernel.tolist()
    cells = []
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            strength = min(1.0, math.sqrt(abs(value)))
            colour = "#1f6f8b" if value >= 0 else "#b03a2e"
            x, y = j * CELL, i * CELL
            cells.append(
                f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="{colour}" fill-opacity="{strength:.2f}"/>'
                f'<text x="{x + CELL / 2}" y="{y + CELL / 2 + 4}" text-anchor="middle" font-size="9">{value:.2f}</text>'
            )
    side = CELL * len(rows)
    return _svg("".join(cells), side, side, "Correlation of the noise between pixels")


def _svg(inside: str, width: float, height: float, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" '
        f'style="max-width: 100%; height: auto" aria-label="{label}" '
        f'font-family="sans-serif" font-size="12" fill="currentColor">{inside}</svg>'
    )


def _reading(found: Examination) -> str:
    line = found.scatter
    if not line.reliable:
        return f"No line: {line.reason or 'nothing was found'}."
    way = "grows" if line.gain > 0 else "falls"
    grows = f"The variance {way} with brightness." if line.dependent else "It does not depend on brightness."
    return (
        f"variance = {line.gain:.3g} x + {line.read:.3g}; standard errors {line.gain_error:.1g} and "
        f"{line.read_error:.1g}. {grows}"
    )
