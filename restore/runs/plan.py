"""Everything about a run that can be wrong is found here, before any work: names, files, shapes, places to write."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import operators
import priors
from operators import BadInput, Unavailable
from operators.common.randomness import check_seed
from operators.common.registry import plain
from operators.common.settings import Steps, check
from operators.core.base import LinearOperator
from priors.base import Prior
from priors.files.store import SUFFIX

from .. import __version__, io, tasks
from ..calibration import record
from ..calibration.record import Calibration
from ..driver import Settings
from ..problem import Problem
from ..solvers import Solver, solver_name
from ..tasks import Task
from ..tasks.given import Given
from ..tasks.units import check_file
from .fitting import learns
from .partial import settings_key

DEFAULT_OUT = Path("restore-out")
SHIPPED_PICTURE = "astronaut"  # 512 x 512 colour photograph in scikit-image, public domain (NASA)
WRITTEN = ("estimate", "measurement", "comparison", "result", "report", "metrics", "summary")


@dataclass(frozen=True)
class RunOptions:
    """What the command line said, before anything was looked at."""

    task: str
    input: Path | None = None
    out: Path | None = None
    measured: bool = False
    given: Given = field(default_factory=Given)
    solver: str | None = None
    prior: str | None = None
    keep_prior: Path | None = None
    samples: int = 1
    seed: int = 0
    set: Sequence[str] = ()
    settings: Settings = field(default_factory=Settings)
    reading: Mapping[str, Any] = field(default_factory=dict)
    overwrite: bool = False
    baseline: bool = True
    calibration: Path | None = None
    origin: bool = False
    command: str = "restore run"


@dataclass(frozen=True)
class RunItem:
    """One picture of a run: where it comes from (None: the shipped one) and the folder it will fill."""

    name: str
    source: Path | None
    out: Path


@dataclass(frozen=True)
class Plan:
    """A run that is ready to start.

    given: what the user said of the measurement, its files read. folder: it came from a folder and ends in a summary.
    first: the picture of a run on one, read and posed already.
    """

    options: RunOptions
    task: Task
    solver: Solver
    prior: Prior | None
    items: tuple[RunItem, ...]
    skipped: Mapping[str, str]
    out: Path
    folder: bool
    given: Given
    first: tuple[io.Image, Problem] | None = None
    calibration: Calibration | None = None

    @property
    def samples(self) -> int:
        """Samples that are drawn: one where the solver draws nothing, for all would be the same."""
        return self.options.samples if self.solver.draws else 1

    def kept_prior(self, item: RunItem) -> Path | None:
        """The file for the prior that learns from an item, if it is to be kept; in a folder run each has its own."""
        name = self.options.keep_prior
        if name is None:
            return None
        stem = name.name.removesuffix(SUFFIX) + (f"-{item.name}" if self.folder else "")
        return name.with_name(stem + SUFFIX)

    @property
    def measured(self) -> bool:
        """Whether the input is the measurement itself."""
        return self.options.measured or self.task.sections.input.measured

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on what is done otherwise than was asked."""
        if self.samples == self.options.samples:
            return ()
        name = solver_name(self.solver)
        return (f"{name} draws nothing: it is run once, for {self.options.samples} samples of it would be the same",)

    def open(self, item: RunItem) -> tuple[io.Image, Problem]:
        """The picture (or measurement) of an item and the problem that it poses: decoded and measured once a run."""
        if self.first is not None:
            return self.first
        image = self.read(item)
        return image, self.problem(image)

    def read(self, item: RunItem) -> io.Image:
        """The picture (or measurement) of an item."""
        return read_picture(item.source, self.options.reading)

    def problem(self, image: io.Image) -> Problem:
        """The problem that an item poses."""
        if not self.measured:
            check_file(self.task.sections.input.unit, image.meta.unit)
            return self.task.problem(image, seed=self.options.seed)
        return self.task.posed(image, self.given)

    def identity(self, problem: Problem) -> dict[str, Any]:
        """What the run has in common with those for which a calibration of it holds."""
        return record.identity(problem, self.solver, self.prior, samples=self.samples)

    def key(self, problem: Problem) -> str:
        """Names everything a sample of this problem depends on; equal keys give equal samples."""
        from operators import image_id

        solver = {key: plain(value) for key, value in dataclasses.asdict(self.solver).items()}
        return settings_key(
            {
                "restore": __version__,
                "torch": torch.__version__,
                "recipe": {} if problem.recipe is None else problem.recipe.plain(),
                "arrays": {name: image_id(array) for name, array in self.given.parts.items()},
                "solver": {"name": solver_name(self.solver), **solver},
                "prior": None if self.prior is None else [self.prior.name, self.prior.sha256],
                "settings": dataclasses.asdict(self.options.settings),
                "seed": self.options.seed,
                "images": list(problem.image_ids),
                "y": [image_id(entry) for entry in problem.y],
            }
        )


def make(options: RunOptions) -> Plan:
    """The plan, with everything looked at and the first problem posed; BadInput for whatever cannot work."""
    check_seed(options.seed)
    check("samples", options.samples, Steps)
    check_device(options.settings.device)
    task, solver = _method(options)
    if not options.measured and not task.sections.input.measured:
        options.given.refuse_without_measured(
            do="Add --measured if the input is a measurement, or change the simulation with --set noise.sigma=..."
        )
    operator = operators.REGISTRY.load(task.sections.operator.name)
    if options.origin and not (isinstance(operator, type) and issubclass(operator, LinearOperator)):
        raise BadInput(
            f"the operator of task {task.name!r} is not linear: it has no measured part", do="Leave --origin out."
        )
    out, items, skipped, folder = _places(options, task)
    prior = _prior(options, task, solver)
    _check_keeping(options, prior)
    calibration = None if options.calibration is None else record.read(options.calibration)
    given = options.given.loaded()
    plan = Plan(options, task, solver, prior, items, skipped, out, folder, given, calibration=calibration)
    checked = _check_pictures(plan)
    check_writable(out)
    return checked


def _check_pictures(plan: Plan) -> Plan:
    """The plan with its only picture read and posed; in a folder, files whose heads are wrong are named and skipped."""
    if not plan.folder:
        return dataclasses.replace(plan, first=plan.open(plan.items[0]))
    good, skipped = [], dict(plan.skipped)
    for item in plan.items:
        try:
            io.check_head(Path(str(item.source)), **_of_heads(plan.options.reading))
        except BadInput as error:
            skipped[item.name] = str(error)
        else:
            good.append(item)
    if not good:
        raise nothing_to_do(plan.options, skipped)
    return dataclasses.replace(plan, items=tuple(good), skipped=skipped)


def _of_heads(reading: Mapping[str, Any]) -> dict[str, Any]:
    """The options of reading that a look at the head of a file takes."""
    return {key: value for key, value in reading.items() if key in ("dataset", "max_pixels")}


def nothing_to_do(options: RunOptions, skipped: Mapping[str, str]) -> BadInput:
    """The error for a folder in which no picture can be used."""
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
    return BadInput(f"no picture in {options.input} can be used ({reasons or 'it is empty'})")


def _method(options: RunOptions) -> tuple[Task, Solver]:
    settings = tasks.parse_settings(options.set)
    if options.solver is not None:
        if settings.get("solver.name", options.solver) != options.solver:
            raise BadInput(f"--solver {options.solver} and --set solver.name={settings['solver.name']} disagree")
        settings = {"solver.name": options.solver, **settings}
    if options.prior is not None:
        if settings.get("prior.name", options.prior) != options.prior:
            raise BadInput(f"--prior {options.prior} and --set prior.name={settings['prior.name']} disagree")
        settings = {"prior.name": str(options.prior), **settings}
    task = tasks.load(options.task)
    task = task.override(settings) if settings else task
    task.check()
    return task, task.solver_for()


def _prior(options: RunOptions, task: Task, solver: Solver) -> Prior | None:
    if not solver.needs_prior:
        if options.prior is not None:
            raise BadInput(f"--prior was given and {solver_name(solver)} uses none", do="Leave --prior out.")
        return None
    return priors.load(task.prior_for())


def _check_keeping(options: RunOptions, prior: Prior | None) -> None:
    """BadInput where a prior is to be kept and none learns, or its place cannot be written."""
    if options.keep_prior is None:
        return
    if prior is None or not learns(prior):
        used = "no prior is used" if prior is None else f"prior {prior.name!r} learns nothing"
        raise BadInput(
            f"--keep-prior was given and {used}",
            do="Leave it out, or choose a solver that trains on the picture, such as noise2score.",
        )
    check_writable(options.keep_prior.parent)


def _places(options: RunOptions, task: Task) -> tuple[Path, tuple[RunItem, ...], dict[str, str], bool]:
    source = options.input
    single = source is None or io.holds_one(source)
    stem = SHIPPED_PICTURE if source is None else source.resolve().stem if single else source.resolve().name
    out = options.out if options.out is not None else DEFAULT_OUT / f"{task.name}-{stem}-{options.seed}"
    if source is None or single:
        check_replaceable(out)
        check_new(out, overwrite=options.overwrite)
        return out, (RunItem(stem, source, out),), {}, False
    files, left_out = io.expand(source)
    items = tuple(RunItem(path.stem, path, out / path.stem) for path in files)
    for item in items:
        check_replaceable(item.out)
    return out, items, {path.name: reason for path, reason in left_out}, True


def check_new(out: Path, *, overwrite: bool) -> None:
    """BadInput for a folder that holds something already, unless it is to be replaced."""
    if not overwrite and out.is_dir() and any(out.iterdir()):
        raise BadInput(f"{out} exists", do="Choose another --out, or add --overwrite to replace it.")


def check_replaceable(out: Path) -> None:
    """BadInput for a symbolic link, a file, and a folder that holds anything `restore run` did not write."""
    if out.is_symlink():  # replacing it would leave what it leads to, and another folder in its place
        raise BadInput(f"{out} is a symbolic link", do="Name the folder that it leads to, or choose another --out.")
    if not out.exists():
        return
    if not out.is_dir():
        raise BadInput(f"{out} is a file", do="Choose another --out.")
    strange = [entry.name for entry in out.iterdir() if entry.name.partition(".")[0] not in WRITTEN]
    if strange:
        raise BadInput(
            f"{out} holds files that restore did not write ({', '.join(strange[:3])})", do="Choose another --out."
        )


def check_writable(out: Path) -> None:
    """BadInput for a place where no folder can be made; nothing is created."""
    place = out.absolute()
    while not place.exists():
        if place.is_symlink():
            raise BadInput(f"{place} is a symbolic link that leads nowhere", do="Choose another --out.")
        place = place.parent
    if not place.is_dir():
        raise BadInput(f"{place} is a file, so {out} cannot be a folder", do="Choose another --out.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise BadInput(f"no permission to write in {place}", do="Choose another --out.")


def check_device(name: str) -> None:
    """BadInput for a device torch does not know, Unavailable for one that is not here."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"unknown device {name!r}", wanted="cpu, cuda, cuda:N or mps") from error
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise Unavailable(
            f"device {name!r} is not here", do="Choose --device cpu; `restore doctor` lists devices."
        ) from error


def read_picture(source: Path | None, reading: Mapping[str, Any]) -> io.Image:
    """The file, or the picture that ships with scikit-image where none is named."""
    if source is not None:
        return io.read(source, **reading)
    import skimage.data

    if reading:
        raise BadInput(f"{', '.join('--' + key for key in reading)} given without --input")
    return io.read(Path(skimage.data.__file__).parent / f"{SHIPPED_PICTURE}.png")
