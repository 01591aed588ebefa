"""The board of posterior samplers as Markdown: a row for each cell and sampler, and a summary of each sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..cases.board_scores import Column, Values, ball_test, column, rank_test

Rows = Sequence[dict[str, Any]]
BL = "bernoulli-laplace"
HEADS = (
    "cell",
    "sampler",
    "gap dB",
    "covariance",
    "in 50 %",
    "in 90 %",
    "HPD 90 %",
    "spread",
    "SBC (p)",
    "TARP (p)",
    "sliced W1",
    "calls",
    "ms",
)
HEAD = """# Samplers against exact posteriors

Levy processes of 64 numbers (increments Gaussian, Laplace, Bernoulli-Laplace, Student-t with 1, 2 and 3 degrees) under
four operators at 25 dB, with their exact denoiser and exact posteriors ([prior](cards/priors/levy.md)), and the mixture
of 25 Gaussians in 8, 80 and 800 dimensions seen by 1, 2 or 4 numbers. The benchmark of Levy processes is that of Zach,
Haouchat, Unser (arXiv 2509.12821), the mixture that of Cardoso et al. (arXiv 2308.07983). At most {signals} signals in
a cell, {draws} draws of each, settings as named, the solver's own defaults otherwise: nothing was tuned for these
priors. Where a sampler has no row, its cell was not run; the same command without --kept runs what is missing and goes
on where it was stopped. Written by
"""
NOTES = """
**gap**: 10 log10 of E|x - m|^2 / E|x - E[x|y]|^2, m the mean of infinitely many draws (the bias of few taken out); 0 is
exact. **covariance**: |Cov(draws) - C| / |C|, Frobenius. **in 50 %, 90 %**: share of numbers of the truth (and of exact
draws in its place) in the order-statistic interval of the draws, exactly that for exact draws. **HPD**: share of them
whose log posterior reaches that of the best 90 % of the draws; exact draws score ceil(0.9 L) / (L + 1); not for
Bernoulli-Laplace, whose posterior has no density. **spread**: trace of the draws' covariance over the exact one.
**SBC**: largest Kolmogorov-Smirnov distance of the truth's rank along eight directions; **TARP**: of its distance rank
about the mean of other draws and about A^+ y filled up by a prior draw; p corrected for their number (Holm). **sliced
W1**: to exact draws, in root mean square posterior deviations for signals of Levy processes and in units of the prior
for the mixture. **ms**: of one draw of one signal. Brackets: 90 % of bootstrap samples of the signals. What the floor
scores is what as many exact draws score.
"""


def board(rows: Rows) -> str:
    """The table of all cells; refusals below it."""
    lines = ["| " + " | ".join(HEADS) + " |", "|---|---|" + "---:|" * (len(HEADS) - 2)]
    refused: dict[tuple[str, str], set[str]] = {}
    for cell, method in _groups(rows):
        own = [row for row in rows if (row["cell"], row["method"]) == (cell, method)]
        for row in own:
            if "refused" in row:
                refused.setdefault((method, row["refused"]), set()).add(cell)
        answered = [row for row in own if "refused" not in row]
        if answered:
            lines.append(f"| {' | '.join([cell, method, *_cells(cell, answered)])} |")
    notes = [f"{method} in {len(where)} cells: {why}" for (method, why), where in refused.items()]
    return "\n".join(lines) + ("\n\nNot answered:\n\n" + "\n".join(f"- {one}" for one in notes) if notes else "")


def _cells(cell: str, rows: Rows) -> list[str]:
    draws = rows[0]["draws"]
    distance = "distance" if cell.startswith("mixture") else "relative"
    names = ("gap", "covariance", "cover50", "cover90", "region90", "spread")
    shown = [_bracketed(column(name, rows), brackets=name in ("gap", "cover90")) for name in names]
    tests = [_tested(test(rows, draws)) for test in (rank_test, ball_test)]
    far = _bracketed(column(distance, rows), brackets=True)
    return [*shown, *tests, far, f"{_mean(rows, 'calls'):.0f}", f"{1000 * _mean(rows, 'seconds'):.1f}"]


def summary(rows: Rows, floor: str) -> str:
    """A row for each sampler over Levy cells and over the mixture."""
    heads = (
        "sampler",
        "Levy cells",
        "median gap dB",
        "median in 90 %",
        "in 90 %: .85 to .95, and HPD .8 to .97 (without BL)",
        "gap under 0.5 dB (without BL)",
        "BL cells with p > .05",
        "sliced W1 over floor, median",
        "mixture, sliced W1 by d",
    )
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for method in methods:
        found = {}
        for cell in dict.fromkeys(row["cell"] for row in rows):
            own = [r for r in rows if (r["cell"], r["method"]) == (cell, method) and "refused" not in r]
            if own:
                found[cell] = own
        levy = {cell: own for cell, own in found.items() if not cell.startswith("mixture")}
        lines.append(f"| {method} | " + " | ".join(_summed(levy, found, rows, floor)) + " |")
    return "\n".join(lines)


def _summed(levy: Mapping[str, Rows], found: Mapping[str, Rows], rows: Rows, floor: str) -> list[str]:
    others = {cell: own for cell, own in levy.items() if not cell.startswith(BL)}
    gaps = {cell: _value("gap", own) for cell, own in levy.items()}
    covers = {cell: _value("cover90", own) for cell, own in levy.items()}
    regions = {cell: _value("region90", own) for cell, own in others.items()}
    held = [c for c in others if 0.85 <= covers[c] <= 0.95 and 0.8 <= regions[c] <= 0.97]
    passed = [c for c in levy if c.startswith(BL) and _passes(levy[c])]
    ratios = []
    for cell, own in levy.items():
        base = [r for r in rows if r["cell"] == cell and r["method"] == floor and "refused" not in r]
        if base and column("relative", own) is not None:
            ratios.append(_value("relative", own) / _value("relative", base))
    sizes = sorted({int(c.split("/d")[1].split("-")[0]) for c in found if c.startswith("mixture")})
    mixture = []
    for size in sizes:
        far = [_value("distance", own) for c, own in found.items() if c.startswith(f"mixture/d{size}-")]
        mixture.append(f"{size}: {_number(_median(far))}")
    return [
        str(len(levy)),
        _number(_median(gaps.values())),
        _number(_median(covers.values())),
        f"{len(held)} of {len(others)}",
        f"{sum(gaps[c] < 0.5 for c in others)} of {len(others)}",
        f"{len(passed)} of {len(levy) - len(others)}",
        _number(_median(ratios)),
        ", ".join(mixture) or "-",
    ]


def _passes(rows: Rows) -> bool:
    tests = [test(rows, rows[0]["draws"]) for test in (rank_test, ball_test)]
    return all(one is not None and one[1] > 0.05 for one in tests)


def page(text: str, rows: Rows, command: str) -> str:
    """docs/oracle.md around the tables."""
    signals = len({row["signal"] for row in rows})
    draws = " or ".join(str(count) for count in sorted({row["draws"] for row in rows}))
    head = HEAD.format(signals=signals, draws=draws)
    return f"{head}\n    {command}\n{NOTES}\n{text}"


def _groups(rows: Rows) -> list[tuple[str, str]]:
    cells = list(dict.fromkeys(row["cell"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    have = {(row["cell"], row["method"]) for row in rows}
    return [(c, m) for c in cells for m in methods if (c, m) in have]


def _value(name: str, rows: Sequence[Values]) -> float:
    found = column(name, rows, resamples=2)
    return float("nan") if found is None else found.value


def _mean(rows: Rows, name: str) -> float:
    return float(np.mean([row[name] for row in rows]))


def _median(found: Any) -> float:
    known = [one for one in found if one == one]
    return float(np.median(known)) if known else float("nan")


def _bracketed(found: Column | None, *, brackets: bool) -> str:
    if found is None:
        return "-"
    inside = f" [{_number(found.low)}, {_number(found.high)}]" if brackets else ""
    return _number(found.value) + inside


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _tested(found: tuple[float, float] | None) -> str:
    return "-" if found is None else f"{found[0]:.2f} ({found[1]:.2g})"
