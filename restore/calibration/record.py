"""What a calibration found, as a file: bounds that hold for pictures exchangeable with those it was made from.

A calibration belongs to one way of measuring and restoring. `identity` names it (task and solver with their settings,
prior, number of samples, version of the program); a run of another identity is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operators.common import outside
from operators.common.errors import BadInput
from operators.common.registry import plain

from ..solvers import Solver, solver_name

if TYPE_CHECKING:
    from priors.base import Prior

    from ..problem import Problem

FORMAT = "restore-calibration-1"
FEW = 100  # pictures, below which the coverage of one calibration set may be far from its promise
LARGEST = 1 << 20  # bytes of a calibration file


@dataclass(frozen=True)
class QualityBound:
    """score >= feature - margin (higher is better) or <= feature + margin; `fixed` is the bound without a feature.

    features come from the draws of the picture at hand; margin None where there were none. correlation: of bound and
    score over the calibration pictures.
    """

    metric: str
    higher_is_better: bool
    fixed: float | None
    margin: float | None = None
    correlation: float | None = None


@dataclass(frozen=True)
class Calibration:
    """Bounds at `level` from `pictures` calibration pictures.

    pixels: factor on the pixel's width (`width`: "std" of the samples, or "constant" in the picture's units) with which
    the share of pixels outside is at most 1 - level in the mean. quality: bounds on scores. measured: bound on the mean
    squared error |A xhat - A x|^2 / m. spread: factor on the deviations of the samples, and its standard error.
    """

    identity: Mapping[str, Any]
    level: float
    pictures: int
    with_truth: bool
    date: str
    width: str = "constant"
    pixels: float | None = None
    quality: tuple[QualityBound, ...] = ()
    measured: float | None = None
    spread: tuple[float, float] | None = None
    sizes: tuple[str, ...] = ()
    digest: str = field(default="", compare=False)

    @property
    def alpha(self) -> float:
        return 1 - self.level

    def write(self, path: Path) -> Path:
        """Path of the JSON file, written whole or not at all."""
        from ..io.atomic import atomic_path

        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(self.plain(), indent=2, allow_nan=False) + "\n", "utf-8")
        return path

    def plain(self) -> dict[str, Any]:
        """Plain data: infinite bounds are null."""
        table = {key: value for key, value in asdict(self).items() if key != "digest"}
        return {"format": FORMAT, **_finite(table)}

    def check(self, identity: Mapping[str, Any]) -> None:
        """BadInput, naming what differs, where the run is not the one that was calibrated."""
        different = sorted(key for key in {*identity, *self.identity} if identity.get(key) != self.identity.get(key))
        if different:
            shown = "; ".join(f"{key}: {self.identity.get(key)!r}, now {identity.get(key)!r}" for key in different)
            raise BadInput(
                f"the calibration is of another run ({shown})",
                do="Calibrate again with these settings: `restore calibrate`.",
            )


def identity(problem: Problem, solver: Solver, prior: Prior | None, *, samples: int) -> dict[str, Any]:
    """What two runs must have in common for a calibration of one to hold for the other."""
    from .. import __version__

    settings = {"name": solver_name(solver), **{key: plain(value) for key, value in asdict(solver).items()}}
    return {
        "restore": __version__,
        "task": _task(problem),
        "solver": json.dumps(settings, sort_keys=True),
        "prior": None if prior is None else f"{prior.name} {prior.sha256}",
        "samples": samples,
    }


def _task(problem: Problem) -> str:
    """Name of the task and a hash of its operator, noise and units; not of arrays, which are each picture's own."""
    recipe = problem.recipe
    if recipe is None:
        return f"{type(problem.operator).__name__} with {problem.noise!r}"
    parts = {key: recipe.task.get(key) for key in ("operator", "noise", "input", "measurement")}
    said = hashlib.sha256(json.dumps(plain(parts), sort_keys=True, default=str).encode()).hexdigest()[:16]
    return f"{recipe.task.get('name')} {said}"


def read(path: Path) -> Calibration:
    """The calibration of a file; BadInput where it is none, or is damaged."""
    raw = outside.content(path, limit=LARGEST)
    try:
        table = outside.json_value(raw, where=str(path))
    except BadInput as error:
        raise _broken(path, "no JSON") from error
    if not isinstance(table, dict) or table.pop("format", None) != FORMAT:
        raise _broken(path, f"no {FORMAT}")
    try:
        return _checked(table, hashlib.sha256(raw).hexdigest())
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise _broken(path, str(error).partition("\n")[0]) from error


def _checked(table: dict[str, Any], digest: str) -> Calibration:
    """The calibration of a file's table; any of Python's own errors where it is not what `write` writes."""
    quality = tuple(QualityBound(**entry) for entry in table.pop("quality"))
    factor = table.pop("spread")
    spread = None if factor is None else (float(factor[0]), math.nan if factor[1] is None else float(factor[1]))
    found = Calibration(**{**table, "sizes": tuple(table["sizes"])}, quality=quality, spread=spread, digest=digest)
    if not isinstance(found.identity, dict) or not 0 < found.level < 1 or not isinstance(found.pictures, int):
        raise ValueError("identity, level or pictures")
    if found.width not in ("std", "constant"):
        raise ValueError(f"width {found.width!r}")
    numbers = [found.pixels, found.measured, *(n for bound in quality for n in (bound.fixed, bound.margin))]
    if any(number is not None and not math.isfinite(number) for number in numbers):
        raise ValueError("a bound that is no number")
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _broken(path: Path, found: str) -> BadInput:
    return BadInput(f"{path} is no calibration file ({found})", do="Name a file that `restore calibrate` wrote.")
