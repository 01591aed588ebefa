"""What a solver leaves behind, and the HDF5 file that holds all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from operators import BadInput
from operators.common import outside
from operators.common.atomic import atomic_path

from .calibration.origin import Origin, split, weight
from .io import own_arrays
from .problem import Problem
from .runs.verdict import findings

FORMAT = "restore-result-1"
ATTRIBUTES = {"provenance": dict, "recipe": dict, "trace": list, "timing": dict, "image_ids": list, "nfe": int}
ARRAYS = ("estimate", "samples", "std", "y", "truth")


@dataclass(frozen=True)
class Seconds:
    """Where the time went: total, in the prior, drawing noise, training the prior, the rest (operator and algebra)."""

    total: float
    network: float
    noise: float
    fit: float = 0.0

    @property
    def other(self) -> float:
        return max(self.total - self.network - self.noise - self.fit, 0.0)

    def as_dict(self) -> dict[str, float]:
        """Plain data; `fit` only where a prior learned from the measurement."""
        parts = {"total": self.total, "network": self.network, "noise": self.noise}
        return {**parts, "fit": self.fit} if self.fit else parts


@dataclass(frozen=True)
class Reconstruction:
    """The answer to a problem.

    estimate: B x C x H x W, mean over the samples, in the picture's units (values may leave the legal range a little).
    samples: S x B x C x H x W. std: B x C x H x W over the samples, None for one sample.
    trace: one row of numbers per step of the first sample. nfe: network forwards per sample.
    seconds: wall-clock seconds of the whole solve; `timing` splits them. provenance: plain data that says how.
    """

    estimate: Tensor
    samples: Tensor = field(repr=False)
    std: Tensor | None = field(repr=False)
    trace: Sequence[Mapping[str, float]] = field(repr=False)
    nfe: int
    timing: Seconds
    provenance: Mapping[str, Any] = field(repr=False)
    problem: Problem = field(repr=False)

    @property
    def seconds(self) -> float:
        return self.timing.total

    @cached_property
    def verdict(self) -> tuple[str, ...]:
        """What speaks against the answer, a sentence each: chi-square, structure of the residual, range, spread."""
        return findings(self.problem, self.estimate, self.samples)

    def origin(self, *, spread: float | None = None) -> Origin:
        """The estimate split into what was measured and what the prior filled in, in the picture's units.

        spread: standard deviation of pictures around what is expected; default: that of the estimate. BadType where
        the operator is not linear.
        """
        operator, estimate = self.problem.linear, self.estimate.to(self.problem.y.device)
        deviation = float((estimate - estimate.mean()).abs().square().mean().sqrt()) if spread is None else spread
        return split(operator, estimate, weight(self.problem.sigma, deviation or 1.0))

    def in_file_units(self) -> Reconstruction:
        """The result in the unit of the picture's file, as it is judged, shown and written."""
        units = self.problem.file_units
        if units.is_identity:
            return self
        return replace(
            self,
            estimate=units.back(self.estimate),
            samples=units.back(self.samples),
            std=None if self.std is None else self.std / units.scale,
            problem=self.problem.in_file_units(),
        )

    def save(self, path: str | Path) -> Path:
        """Path of one HDF5 file of everything, with checksums, written whole or not at all."""
        arrays = {
            "estimate": self.estimate,
            "samples": self.samples,
            "std": self.std,
            "y": self.problem.y,
            "truth": self.problem.truth,
        }
        recipe = self.problem.recipe
        attributes = {
            "provenance": dict(self.provenance),
            "recipe": {} if recipe is None else recipe.plain(),
            "trace": [dict(row) for row in self.trace],
            "nfe": self.nfe,
            "timing": self.timing.as_dict(),
            "image_ids": list(self.problem.image_ids),
        }
        return write_result(Path(path), arrays, {} if recipe is None else recipe.arrays, attributes)


@dataclass(frozen=True)
class StoredResult:
    """A result file as read back: arrays by name, the operator's own arrays, and the plain data."""

    arrays: Mapping[str, Tensor]
    setup: Mapping[str, Tensor]
    attributes: Mapping[str, Any]


def write_result(
    path: Path,
    arrays: Mapping[str, Tensor | None],
    setup: Mapping[str, Tensor],
    attributes: Mapping[str, Any],
) -> Path:
    """HDF5 with fletcher32 under a temporary name, then renamed."""
    from .io.hdf5 import new_file

    with atomic_path(path) as temporary, new_file(temporary) as file:
        file.attrs["format"] = FORMAT
        for key, value in attributes.items():
            file.attrs[key] = json.dumps(value, allow_nan=False)
        for group, members in (("", arrays), ("setup/", setup)):
            for name, tensor in members.items():
                if tensor is not None:
                    data = torch.as_tensor(tensor).detach().cpu().numpy()
                    file.create_dataset(
                        group + name, data=data, fletcher32=data.ndim > 0, chunks=True if data.ndim else None
                    )
    return path


def read_result(path: str | Path) -> StoredResult:
    """The content of a result file; BadInput where it is missing, damaged, of another kind, or not of a run."""
    import h5py

    path = Path(path)
    outside.checked(path)
    with own_arrays.reading(path, do="Run again: `restore run`.") as fail, h5py.File(path, "r") as file:
        if file.attrs.get("format") != FORMAT:
            raise BadInput(f"{path} is not a {FORMAT} file", do="Name a result.h5 that `restore run` wrote.")
        arrays = {k: torch.from_numpy(own_arrays.array(file, k, fail)) for k in ARRAYS if k in file}
        setup = {}
        if "setup" in file:
            if not isinstance(file.get("setup", getlink=True), h5py.HardLink):
                raise fail("'setup' is a link to elsewhere")
            setup = {k: torch.as_tensor(v) for k, v in own_arrays.arrays(file["setup"], fail).items()}
        attributes = {
            k: outside.json_value(v, where=f"{k!r} of {path}") for k, v in file.attrs.items() if k != "format"
        }
        for name, kind in ATTRIBUTES.items():
            if name in attributes and not isinstance(attributes[name], kind):
                raise fail(f"{name!r} is {type(attributes[name]).__name__}")
    return StoredResult(arrays, setup, attributes)
