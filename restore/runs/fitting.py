"""A prior that learns from the measurement: trained once before sampling, counted, and kept by content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from operators.common import outside
from operators.common.atomic import atomic_path
from operators.common.randomness import Noise, NoiseSource
from operators.core.operator import Operator
from priors.base import Prior, Resumable

from ..io.errors import WriteError
from ..problem import Problem

SAMPLE = -1  # the index under which a prior draws its noise: no posterior sample has it
Sources = Callable[[Sequence[str], Sequence[int]], Noise]
"""(image id, sample index of each batch entry) -> the source of their noise."""
Progress = Callable[[int, int], None]
"""(network calls done, of how many)."""


@dataclass(frozen=True)
class Fit:
    """A prior that is ready to sample, and what its training took; kept: it was read from an earlier run's."""

    prior: Prior
    calls: int = 0
    seconds: float = 0.0
    kept: bool = False

    def record(self) -> dict[str, Any]:
        """What a result's provenance says of it; nothing where there was nothing to learn."""
        if not self.calls:
            return {}
        return {"fit": {"calls": self.calls, "seconds": round(self.seconds, 3), "kept": self.kept}}


def learns(prior: Prior) -> bool:
    """Whether a prior has something to learn from a measurement."""
    return type(prior).fit is not Prior.fit and not getattr(prior, "trained", False)


def fit(prior: Prior, problem: Problem, sources: Sources, *, seed: int, watch: Progress | None = None) -> Fit:
    """The prior after its own `fit`, or as an earlier run of the same content left it.

    problem: on the prior's device, in the units of its pictures. sources, seed: of all noise. watch: called at every
    step. Calls and seconds of a fit that was kept are those of the run that made it.
    """
    if not learns(prior):
        return Fit(prior)
    key = None if prior.fit_key is None else _key(prior, problem, seed)
    path = None if key is None else folder() / f"{key}.safetensors"
    kept = None if path is None else _read(path, prior)
    if kept is not None:
        return kept
    done = 0

    def counted(step: int, total: int) -> None:
        nonlocal done
        done = step
        if watch is not None:
            watch(step, total)

    noise = sources(problem.image_ids, [SAMPLE] * len(problem.y))
    began = time.perf_counter()
    try:
        with torch.enable_grad():
            if key is not None and isinstance(prior, Resumable):
                unfinished = _Unfinished(folder() / f"{key}.unfinished.safetensors")
                fitted = prior.learn(problem, noise, counted, unfinished)
            else:
                unfinished, fitted = None, prior.fit(problem, noise, counted)
    finally:
        if isinstance(noise, NoiseSource):
            noise.close()
    fitted.name, fitted.sha256 = prior.name, prior.sha256
    result = Fit(fitted.eval(), done, time.perf_counter() - began)
    if path is not None:
        _write(path, result)
    if unfinished is not None:
        unfinished.drop()
    return result


def folder() -> Path:
    """Where trained states are kept: restore/fits under XDG_CACHE_HOME, else ~/.cache; it may always be deleted."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "restore" / "fits"


def _key(prior: Prior, problem: Problem, seed: int) -> str:
    """Names what a fit depends on: the prior and its settings, y, the physics, the noise, seed and pictures."""
    digest = hashlib.sha256()
    kind = type(prior)
    parts = [kind.__module__, kind.__qualname__, prior.name, prior.sha256, prior.fit_key, repr(problem.noise), seed]
    digest.update(json.dumps([*parts, list(problem.image_ids), problem.y.device.type], default=str).encode())
    for array in (problem.y, problem.operator.observed, _image_of_a_probe(problem.operator, problem.y)):
        digest.update(b"none" if array is None else _bytes(array))
    for name, array in sorted(prior.state_dict().items()):
        digest.update(name.encode() + _bytes(array))
    return digest.hexdigest()


def _image_of_a_probe(operator: Operator, like: Tensor) -> Tensor:
    """What an operator makes of one fixed picture: two that agree on it are taken for the same."""
    shape = (1, *operator.input_shape, *([2] if operator.complex_input else []))
    drawn = torch.from_numpy(np.random.Generator(np.random.PCG64(0)).random(shape)).to(like.device)
    precision = like.dtype.to_real() if like.is_complex() else like.dtype
    probe = torch.view_as_complex(drawn).to(precision.to_complex()) if operator.complex_input else drawn.to(precision)
    image: Tensor = operator(probe)
    return image


def _bytes(array: Tensor) -> bytes:
    flat = torch.view_as_real(array) if array.is_complex() else array
    return repr((tuple(array.shape), str(array.dtype))).encode() + flat.detach().cpu().contiguous().numpy().tobytes()


def _read(path: Path, prior: Prior) -> Fit | None:
    """The fit of a file; None where there is none, or it is damaged or of another prior."""
    try:
        with safe_open(outside.checked(path), framework="pt") as file:
            counts: Mapping[str, str] = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        fitted = prior.fitted(state)
        fitted.name, fitted.sha256 = prior.name, prior.sha256
        return Fit(fitted.eval(), int(counts["calls"]), float(counts["seconds"]), kept=True)
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError):
        return None


def _write(path: Path, fit: Fit) -> None:
    """Keep a fit; where nothing can be written it is made again the next time."""
    counts = {"calls": str(fit.calls), "seconds": repr(fit.seconds)}
    _save(path, fit.prior.state_dict(), counts)


def _save(path: Path, state: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    arrays = {name: array.detach().cpu().contiguous() for name, array in state.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            save_file(arrays, temporary, metadata=metadata)
    except (OSError, WriteError):
        return


@dataclass(frozen=True)
class _Unfinished:
    """The state of a training that was interrupted, in a file beside those of finished ones."""

    path: Path

    def read(self) -> Mapping[str, Tensor] | None:
        try:
            with safe_open(outside.checked(self.path), framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, outside.ReadError):
            return None

    def write(self, state: Mapping[str, Tensor]) -> None:
        _save(self.path, state)

    def drop(self) -> None:
        """The training is done: its state is no longer needed."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
