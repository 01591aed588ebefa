"""What was found, in words: which assumptions of a denoiser hold, and what to run."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .examination import Examination
from .level import CORRELATED

ALIKE_COLOURS = 0.15  # correlation of channels from which their noise is not independent
HEAVY = 1.15  # tails over normal ones
IMPULSES = 0.001
COARSE = 0.5  # of the noise, from which rounding shows
PHOTONS = 0.2  # of the mean variance, up to which the read noise may be left out


@dataclass(frozen=True)
class Assumption:
    """What a denoiser takes for granted. holds: None where the picture does not tell. who: methods that need it."""

    name: str
    holds: bool | None
    text: str
    who: str


@dataclass(frozen=True)
class Advice:
    """What to run. command: None where the picture is best left alone. reasons: sentences."""

    command: str | None
    task: str | None
    solver: str | None
    sigma: float
    level: float
    reasons: tuple[str, ...]


def assumptions(found: Examination) -> tuple[Assumption, ...]:
    """One line for each thing that denoisers assume, as this picture shows it."""
    if found.clean:
        told = "no noise is seen, so nothing can be said"
        return (Assumption("noise", None, told, "every denoiser"), *_stored(found))
    return (
        _white(found),
        _same_everywhere(found),
        _normal(found),
        _colours(found),
        _lines(found),
        *_stored(found),
    )


def advice(found: Examination, file: str, reading: Mapping[str, Any] | None = None) -> Advice:
    """The task, solver and levels for the picture in `file`, with the command. reading: options it was read with."""
    level = found.level
    if found.clean:
        why = "The picture shows no noise above its rounding: leave it alone."
        if level.kind == "unseen" and level.sigma > 0:
            why = (
                f"No noise is seen: even the flattest patches differ as structure does. If there is noise, it is at "
                f"most {level.sigma:.3g} ({255 * level.sigma:.2g} of 255 grey levels). Leave the picture alone."
            )
        return Advice(None, None, None, level.sigma, level.level, (why,))
    reasons, task, solver, last = [], "denoise", None, ["--sigma", "estimate"]
    line = found.scatter
    middle = sum(line.means) / len(line.means) if line.means else 0.0
    if found.impulses > IMPULSES:
        solver = "median"
        reasons.append("Pixels jump to the ends of the range (salt and pepper): a median first, then look again.")
    elif line.dependent and line.gain > 0 and level.kind == "white" and abs(line.read) <= PHOTONS * line.gain * middle:
        task, last = "denoise-poisson", ["--peak", f"{1 / line.gain:.4g}"]
        reasons.append(f"The variance grows with brightness as photon counts do: {1 / line.gain:.4g} at full white.")
    elif level.kind == "correlated":
        reasons.append(
            f"The noise is correlated: the prior is told {level.level:.4g}, chi-square and intervals {level.sigma:.4g}."
        )
    else:
        reasons.append(f"White noise of {level.sigma:.4g} ({255 * level.sigma:.3g} of 255 grey levels).")
    if found.striped:
        reasons.append(
            "Rows or columns share noise: subtract it first (dark frames, or the median of each residual row)."
        )
    if line.dependent and task == "denoise" and solver is None:
        low, high = line.sigma(line.means[0]), line.sigma(line.means[-1])
        reasons.append(
            f"One level is a compromise: the noise goes from {low:.3g} in the dark to {high:.3g} in the light."
        )
    words = ["restore", "run", "--task", task, "--input", file, "--measured", *last]
    words += [word for key, value in (reading or {}).items() for word in (f"--{key.replace('_', '-')}", str(value))]
    words += [] if solver is None else ["--solver", solver]
    return Advice(shlex.join(words), task, solver, level.sigma, level.level, tuple(reasons))


def _white(found: Examination) -> Assumption:
    level = found.level
    text = f"neighbouring pixels correlate by {level.correlation:.2f} (white noise: under {CORRELATED})"
    if level.kind == "correlated":
        text += f"; a white-noise prior must be told {level.level / level.sigma:.2g} times the true level"
    needs = "dpir, diffpir and other priors at the true level; zs-n2n, noise2void, neighbour2neighbour"
    return Assumption("uncorrelated between pixels", level.kind == "white", text, needs)


def _same_everywhere(found: Examination) -> Assumption:
    line = found.scatter
    if not line.reliable:
        return Assumption("independent of the signal", None, f"not told: {line.reason}", "every single-level denoiser")
    text = (
        f"variance = {line.gain:.3g} x + {line.read:.3g} (gain +- {line.gain_error:.1g}, read variance +- "
        f"{line.read_error:.1g})"
    )
    return Assumption("independent of the signal", not line.dependent, text, "every single-level denoiser")


def _normal(found: Examination) -> Assumption:
    if found.impulses > IMPULSES:
        text = f"{100 * found.impulses:.2g} % of the pixels jump to an end of the range"
        return Assumption("normally distributed", False, text, "all but median filters")
    text = f"tails in the flattest patches are {found.tails:.2f} times those of a normal distribution"
    return Assumption("normally distributed", found.tails < HEAVY, text, "chi-square, intervals, least squares")


def _colours(found: Examination) -> Assumption:
    if found.shape[0] == 1:
        return Assumption("uncorrelated between colours", None, "one channel", "colour denoisers")
    parts = ", ".join(f"{255 * sigma:.2g}" for sigma in found.channel_sigma)
    text = f"channels correlate by {found.colours:.2f} in the flattest patches, of deviations {parts} (of 255)"
    return Assumption("uncorrelated between colours", abs(found.colours) < ALIKE_COLOURS, text, "colour denoisers")


def _lines(found: Examination) -> Assumption:
    rows, columns = found.lines.rows, found.lines.columns
    text = "no row or column noise is seen beyond that of the pixels"
    if rows or columns:
        text = f"rows share {255 * rows:.2g}, columns {255 * columns:.2g} (standard deviation, of 255)"
    return Assumption("free of row and column noise", not found.striped, text, "blind-spot networks, which copy lines")


def _stored(found: Examination) -> tuple[Assumption, ...]:
    kept = found.storage
    cut = f"{100 * kept.low:.2g} % of the values are at black, {100 * kept.high:.2g} % at white"
    if kept.step:
        bits = math.log2(1 / kept.step + 1)
        step = f"stored in steps of {kept.step:.3g}" + (f" ({bits:.0f} bits)" if abs(bits - round(bits)) < 1e-3 else "")
    else:
        step = "no step is seen between stored values"
    fine = not kept.step or found.clean or kept.step <= COARSE * found.level.sigma
    blocks = f"steps over the borders of 8 x 8 blocks are {kept.grid:.2f} times those inside"
    return (
        Assumption("not clipped", not kept.clipped, cut, "means near black and white, zero-mean noise"),
        Assumption("rounding finer than the noise", fine, step, "level estimates"),
        Assumption("not JPEG-compressed", not kept.blocks, blocks, "white noise; task jpeg takes blocks out"),
    )
