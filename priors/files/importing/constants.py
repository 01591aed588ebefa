"""The constants of a checkpoint's process: what the file says, what the user says, and what is assumed and told."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from operators.common.errors import BadInput

from .finding import Found

TABLE_TOLERANCE = 1e-4  # released tables are float32 and add up a thousand terms
RESSHIFT_NOISE = {15: 0.04, 4: 0.2}  # published min_noise_level by number of steps


@dataclass
class Clues:
    """Settles settings one by one.

    asked: what the user set. settings: what is settled. assumed: sentences on what nobody said.
    """

    path: Path
    release: Found
    network: Mapping[str, Any]
    asked: Mapping[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)

    def settle(self, name: str, *, file: Any = None, default: Any = None, hint: str = "") -> Any:
        """The file's word, else the user's, else the default, which is told; BadInput where file and user differ."""
        wish = self.asked.get(name)
        if file is not None and wish is not None and not _same(file, wish):
            raise BadInput(
                f"{self.path} says {name} {file} and --set says {wish}",
                wanted="the constants the network was trained with",
                do=f"Leave --set {name} out.",
            )
        value = wish if file is None else file
        if value is None:
            value = default
            hints = "".join(f"; {part}" for part in (hint, f"--set {name}=VALUE for another") if part)
            self.assumed.append(f"{name} {default} (the file does not say{hints})")
        self.settings[name] = value
        return value


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, int | float) and isinstance(second, int | float):
        return abs(first - second) <= TABLE_TOLERANCE * max(abs(first), abs(second))
    return bool(first == second)


def resshift(evidence: Clues) -> None:
    """Steps from the released file names (..._s15_v1.pth, ..._s4.pth); the rest follows from them."""
    match = re.search(r"(?:^|_)s(\d+)(?=_|\.|$)", evidence.path.name)
    steps = evidence.settle(
        "steps", file=int(match[1]) if match else None, default=4, hint="15 for the first two releases, named s15"
    )
    level = RESSHIFT_NOISE.get(steps)
    if level is None and "min_noise_level" not in evidence.asked:
        raise BadInput(f"steps is {steps}", wanted="4 or 15 as released", do="Or add --set min_noise_level=... too.")
    if "min_noise_level" not in evidence.asked:
        evidence.settings["min_noise_level"] = level
    latent = evidence.network.get("autoencoder") is not None
    evidence.settings["input_scaling"] = "latent" if latent else "pixel"
    evidence.settings["clip"] = None if latent else [-1.0, 1.0]


def rddm(evidence: Clues) -> None:
    """Length, noise strength and shape from the schedule buffers, which are then checked entry by entry."""
    heads = 1 if evidence.network["encoder"] == "single" else 2
    evidence.settings["objective"] = evidence.asked.get("objective", "res" if heads == 1 else "res_noise")
    shifts, noises = (_table(evidence, name) for name in ("alphas_cumsum", "betas2_cumsum"))
    if shifts is None or noises is None:
        evidence.settle("steps", default=1000, hint="as published")
        evidence.settle(
            "sum_scale", default=0.01, hint="1 for raindrops and deblurring, 0.01 for low light and shadows"
        )
        return
    steps = evidence.settle("steps", file=len(shifts))
    scale = evidence.settle("sum_scale", file=float(f"{noises[-1]:.6g}"))
    evidence.settings.update(_shape(evidence, steps, scale, shifts, noises))


def _shape(evidence: Clues, steps: int, scale: float, shifts: np.ndarray, noises: np.ndarray) -> dict[str, Any]:
    from ...residual.rddm import RDDMProcess

    sizes = ("decreased", "average", "increased")
    for alphas, betas in itertools.product(sizes, sizes):
        process = RDDMProcess(steps=steps, sum_scale=scale, alphas=alphas, betas=betas)  # type: ignore[arg-type]
        misses = (np.abs(process.alpha_sums - shifts).max(), np.abs(process.beta_sums - noises).max())
        if len(noises) == steps and max(misses) <= TABLE_TOLERANCE:
            return {"alphas": alphas, "betas": betas}
    raise BadInput(
        f"{evidence.path}: alphas_cumsum and betas2_cumsum fit no schedule of RDDM's restoration experiments",
        wanted=f"steps of {', '.join(sizes)} size",
        do="Schedules converted from DDIM (the generation experiments) are not supported.",
    )


def resfusion(evidence: Clues) -> None:
    """Length from the hyper-parameters where they hold one; a stored table is checked."""
    notes = evidence.release.notes
    length = next((notes[key] for key in ("T", "timesteps", "schedule_steps") if isinstance(notes.get(key), int)), None)
    steps = evidence.settle("schedule_steps", file=length, default=12, hint="12 as published: five steps")
    stored = _table(evidence, "alphas_hat")
    if stored is None:
        return
    from ...residual.resfusion import ResfusionProcess

    table = ResfusionProcess(schedule_steps=steps, schedule=evidence.asked.get("schedule", "linear")).alpha_hats
    if len(stored) != len(table) or np.abs(stored - table).max() > TABLE_TOLERANCE:
        raise BadInput(
            f"{evidence.path}: alphas_hat of {len(stored)} entries is not that of schedule_steps {steps}",
            do="Give the length the network was trained with: --set schedule_steps=N.",
        )


def _mean_reverting(max_sigma: float, hint: str, **fixed: Any) -> Callable[[Clues], None]:
    def settle(evidence: Clues) -> None:
        evidence.settings.update(fixed)
        evidence.settle("steps", default=100, hint="as published")
        evidence.settle("max_sigma", default=max_sigma, hint=hint)

    return settle


CONSTANTS: Mapping[str, Callable[[Clues], None]] = {
    "resshift": resshift,
    "rddm": rddm,
    "resfusion": resfusion,
    "ir-sde": _mean_reverting(
        30.0, "10 for rain, blur and shadow, 30 for super-resolution and inpainting", first_theta="subtract"
    ),
    "refusion": _mean_reverting(50.0, "as published", first_theta="subtract"),
    "mrs": _mean_reverting(50.0, "as published", first_theta="keep"),
}


def _table(evidence: Clues, name: str) -> np.ndarray | None:
    """A schedule buffer that stands beside the weights."""
    value = evidence.release.beside.get(name)
    if value is None or value.ndim != 1 or value.numel() == 0:
        return None
    return value.double().numpy()
