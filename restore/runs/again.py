"""A stored result computed once more: operator and noise rebuilt from its recipe, prior checked by its hash."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import priors
from operators import BadInput
from operators.common.atomic import claimed
from operators.common.randomness import check_seed
from priors.base import Prior
from priors.diffusion.wrapped import Denoiser

from .. import solvers, tasks
from ..driver import Settings, solve
from ..io.own_arrays import reading
from ..reconstruction import StoredResult, read_result
from ..tasks import Task
from .matching import as_prior
from .progress import bar

TOLERANCE = 1e-5  # relative; what another processor or thread count may change in float32


@dataclass(frozen=True)
class Repetition:
    """How the new answer compares. measurement: whether simulating y again gave the same numbers (None: no truth)."""

    bitwise: bool
    difference: float
    measurement: bool | None
    versions: Mapping[str, tuple[str, str]]

    @property
    def same(self) -> bool:
        """Bitwise, or within what the determinism ladder allows on another machine."""
        return self.difference <= TOLERANCE and self.measurement is not False

    def sentence(self) -> str:
        parts = [
            "the estimate is bitwise equal"
            if self.bitwise
            else f"the estimate differs by {self.difference:.2e} (relative)"
        ]
        if self.measurement is not None:
            parts.append(f"the simulated measurement is {'bitwise equal' if self.measurement else 'different'}")
        parts += [f"{name} was {old} and is {new}" for name, (old, new) in self.versions.items()]
        return "; ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        return {
            **dataclasses.asdict(self),
            "same": self.same,
            "versions": {k: list(v) for k, v in self.versions.items()},
        }


def repeat(
    file: Path,
    *,
    prior: Prior | Denoiser | str | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    quiet: bool = True,
) -> Repetition:
    """The comparison of `file` with a new run, sample by sample; BadInput where prior or recipe have changed.

    out: a file for the new result; its place is checked and claimed before any work, WriteError where that fails.
    """
    with contextlib.nullcontext() if out is None else claimed(out):
        if out is not None:
            if out.is_dir():
                raise BadInput(f"{out} is a folder", wanted="the name of a file, such as again.h5")
            if out.exists() and not overwrite:
                raise BadInput(f"{out} exists", do="Choose another --out, or add --overwrite to replace it.")
        return _repeated(file, prior, out, quiet=quiet)


def _repeated(file: Path, prior: Prior | Denoiser | str | None, out: Path | None, *, quiet: bool) -> Repetition:
    stored = read_result(file)
    attributes = stored.attributes
    with reading(file, do="Run again: `restore run`."):
        provenance = attributes["provenance"]
        problem = tasks.rebuild(
            attributes["recipe"],
            stored.arrays["y"],
            stored.setup,
            truth=stored.arrays.get("truth"),
            image_ids=tuple(attributes["image_ids"]),
        )
        method = dict(provenance["solver"])
        solver = solvers.build(method.pop("name"), **method)
        batch = provenance.get("batch", 1)  # results of before batches were drawn one sample after another
        settings = Settings(**{**provenance["settings"], "batch": batch})
        samples, seed = int(provenance["samples"]), check_seed(provenance["seed"])
        loaded = _prior(provenance, prior)
        old = stored.arrays["samples"]
    with bar(1, quiet=quiet) as display:
        display.picture(file.name, samples, 0)
        result = solve(
            problem,
            prior=loaded,
            solver=solver,
            samples=samples,
            seed=seed,
            settings=settings,
            watch=display.watch,
            watch_fit=display.watch_fit,
        )
    if out is not None:
        kept = {key: provenance[key] for key in ("settings_from",) if key in provenance}
        dataclasses.replace(result, provenance={**provenance, **result.provenance, **kept}).save(out)
    new = result.samples
    if new.shape != old.shape:
        raise BadInput(f"{file} holds samples of shape {tuple(old.shape)}", wanted=f"{tuple(new.shape)}, as its recipe")
    scale = float(old.abs().max()) or 1.0
    return Repetition(
        bitwise=torch.equal(old, new),
        difference=float((old - new).abs().max()) / scale,
        measurement=_measure_again(attributes["recipe"], stored, seed),
        versions={
            name: (str(provenance[name]), str(result.provenance[name]))
            for name in ("restore", "torch", "machine")
            if provenance.get(name) != result.provenance[name]
        },
    )


def _prior(provenance: Mapping[str, Any], prior: Prior | Denoiser | str | None) -> Prior | None:
    recorded = provenance["prior"]
    if recorded is None:
        return None
    source = as_prior(provenance.get("prior_given", recorded["name"]) if prior is None else prior)
    loaded = priors.load(source) if isinstance(source, str) else source
    if loaded.sha256 != recorded["sha256"]:
        raise BadInput(
            f"prior {loaded.name!r} has weights {loaded.sha256[:12] or 'unknown'}",
            wanted=f"{recorded['sha256'][:12]}, those of the stored run",
            do="Name the file of the old weights with --prior.",
        )
    return loaded


def _measure_again(recipe: Mapping[str, Any], stored: StoredResult, seed: int) -> bool | None:
    truth = stored.arrays.get("truth")
    if truth is None:
        return None
    task = Task.from_table(recipe["task"])
    drawn = recipe.get("seed", seed)  # results of before kept the seed of the run alone
    return torch.equal(task.physics.simulated(truth, seed=drawn, notes=[]).y, stored.arrays["y"])
