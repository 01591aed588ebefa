"""The table of metrics.json as words and rows a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOT_COMPUTED = "not computed"
DIRECTION = {"psnr": ("higher is better", 1), "ssim": ("higher is better", 1), "lpips": ("lower is better", -1)}
UNITS = {"psnr": " dB"}
DIGITS = {"psnr": 2, "ssim": 4, "lpips": 4}
NAMES = {"psnr": "PSNR", "ssim": "SSIM", "lpips": "LPIPS"}


@dataclass(frozen=True)
class ScoreLine:
    """One line of the table: a score of estimate and baseline. verdict: "better", "worse" or "" (equal or unknown)."""

    name: str
    convention: str
    direction: str
    estimate: str
    baseline: str
    gain: str
    verdict: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Share:
    """A part of the time. percent: of the total."""

    name: str
    seconds: str
    percent: float


def facts(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was run, for the line under the title."""
    keys = ("solver", "prior", "samples", "seed", "nfe")
    names = {"nfe": "network calls per sample"}
    return [(names.get(key, key), str(metrics[key])) for key in keys if metrics.get(key) is not None]


def scores(metrics: Mapping[str, Any]) -> list[ScoreLine]:
    """PSNR, SSIM, LPIPS and seconds of estimate and baseline, with the reason wherever there is no number."""
    baseline = metrics.get("baseline") or {}
    return [*(_score(key, metrics, baseline) for key in NAMES), _seconds(metrics, baseline)]


def _score(key: str, metrics: Mapping[str, Any], baseline: Mapping[str, Any]) -> ScoreLine:
    ours, theirs = _number(metrics, key), _number(baseline, key)
    direction, sign = DIRECTION[key]
    gain, verdict = "", ""
    one, other = metrics.get(key), baseline.get(key)
    if one is not None and other is not None:
        gain = f"{one - other:+.{DIGITS[key]}f}{UNITS.get(key, '')}"
        verdict = "" if one == other else "better" if (one - other) * sign > 0 else "worse"
    reasons = []
    if ours == "-":
        reasons.append((metrics.get("reasons") or {}).get(key, NOT_COMPUTED))
    if theirs == "-" and baseline:
        why = (baseline.get("reasons") or {}).get(key)
        reasons += [f"baseline: {why}"] if why and why not in reasons else []
    convention = (metrics.get("conventions") or {}).get(key, "")
    return ScoreLine(NAMES[key], convention, direction, ours, theirs, gain, verdict, tuple(reasons))


def _number(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if value is None:
        return "infinite (equal pictures)" if (table.get("flags") or {}).get(key) == "infinite" else "-"
    return f"{value:.{DIGITS[key]}f}{UNITS.get(key, '')}"


def _seconds(metrics: Mapping[str, Any], baseline: Mapping[str, Any]) -> ScoreLine:
    ours, theirs = (table.get("seconds") for table in (metrics, baseline))
    shown = tuple("-" if value is None else f"{value:.3g} s" for value in (ours, theirs))
    return ScoreLine("Time", "", "wall clock of the whole solve, lower is better", shown[0], shown[1], "", "", ())


def consistency(metrics: Mapping[str, Any]) -> tuple[str, str]:
    """Chi-square and how to read it."""
    value = metrics.get("chi2")
    if value is None:
        return "-", (metrics.get("reasons") or {}).get("chi2", NOT_COMPUTED)
    about = "Mean squared residual over the noise variance; about 1 is right"
    if value > 1.3:
        return f"{value:.3g}", f"{about}. Above 1, the estimate leaves part of the measurement unexplained."
    if value < 0.7:
        return f"{value:.3g}", f"{about}. Below 1, the estimate follows the noise."
    return f"{value:.3g}", f"{about}, and this is: the estimate explains the measurement up to its noise."


def verdict(metrics: Mapping[str, Any]) -> list[str]:
    """What speaks against the answer, a sentence each; none in results of before there were verdicts."""
    sentences = metrics.get("verdict")
    return [text for text in sentences if isinstance(text, str)] if isinstance(sentences, list) else []


def calibration(metrics: Mapping[str, Any]) -> list[str]:
    """The bounds of a calibration, a sentence each; none without one."""
    table = metrics.get("calibration")
    sentences = table.get("sentences") if isinstance(table, dict) else None
    return [text for text in sentences if isinstance(text, str)] if isinstance(sentences, list) else []


def coverage(metrics: Mapping[str, Any]) -> list[str]:
    """One sentence per interval, none where it was not computed."""
    return [
        f"The {level} % intervals of the samples hold {100 * share:.1f} % of the true values ({level} % is right)."
        for level, share in (metrics.get("coverage") or {}).items()
        if share is not None
    ]


def timing(seconds: Mapping[str, float] | None) -> list[Share]:
    """The parts of a solve's time and the rest of it; nothing where the split is unknown or no time passed."""
    total = (seconds or {}).get("total") or 0.0
    if seconds is None or total <= 0:
        return []
    parts = {name: value for name, value in seconds.items() if name != "total"}
    parts["other"] = max(total - sum(parts.values()), 0.0)
    return [Share(name, f"{value:.3g} s", 100 * min(value / total, 1.0)) for name, value in parts.items()]
