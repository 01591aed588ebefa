"""Pictures of a data set, measured by a task of `restore`: the ordinary kind of benchmark."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from operators import image_id
from operators.common import outside
from operators.common.errors import BadInput
from operators.common.metadata import Facts, parts_from_dict
from operators.common.registry import plain
from restore.io.image import Image, Metadata
from restore.metrics import Evidence, Score, appraise, canonical
from restore.problem import Problem
from restore.tasks import Task, informing

from .. import peers
from ..records.item import BASELINE, PEER, Item
from ..records.versions import code_version
from ..sets.datasets import Picture, find
from ..suites import Part
from . import methods
from .methods import Answer, Method, Watch
from .planning import Context, pixels_name

SAMPLE_METRICS = {"crps": "crps[any]", "coverage-50": "coverage[50]", "coverage-90": "coverage[90]"}
SETS = ("fid[", "kid[")  # metrics of all pictures of a method together
_open: OrderedDict[str, Pictures] = OrderedDict()
_KEPT = 2  # problems kept open in a process: the methods of one picture follow one another


@dataclass(frozen=True)
class Pictures:
    """One picture under one task with one seed."""

    task: Task
    problem: Problem

    # -- planning ---------------------------------------------------------------------------------------------------

    @classmethod
    def plan(cls, part: Part, context: Context) -> Iterator[Item]:
        """The items of a part: task by task, picture by picture, all methods on one measurement after another."""
        import restore

        for name in part.tasks:
            task = restore.tasks.load(name)
            methods = [baseline(task), *(method(task, label, part.calls, context) for label in part.solvers)]
            pictures = list(_pictures(part, context))[: context.limit or None]
            for number, picture in enumerate(pictures):
                for seed in range(part.seeds):
                    for one in methods:
                        yield item(task, picture, part, context, *one, seed=seed, first=number < context.keep_first)

    # -- running ----------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, item: Item) -> Pictures:
        """The measured picture of an item, kept for the methods that follow on it."""
        if item.problem not in _open:
            task = Task.from_table(item.where["table"], item.task, frozenset(item.where["chosen"]))
            image = _read(item.where)
            if image_id(image.data) != item.image_sha256:
                raise BadInput(f"{item.where['path']} holds another picture than when the run was planned")
            _open[item.problem] = cls(task, task.problem(image, seed=item.seed))
            while len(_open) > _KEPT:
                _open.popitem(last=False)
        _open.move_to_end(item.problem)
        return _open[item.problem]

    @classmethod
    def forget(cls, item: Item) -> None:
        """Drop the measurement of an item: a method has changed it."""
        _open.pop(item.problem, None)

    def answer(self, item: Item, watch: Watch | None = None) -> Answer:
        """What the item's method says, in the problem's units."""
        if item.role == BASELINE:
            return methods.timed(lambda: self.task.baseline(self.problem))
        return methods.answer(item, self.problem, methods.prior(item), samples=item.samples, watch=watch)

    def scores(self, answer: Answer, names: Mapping[str, str]) -> dict[str, Score]:
        """Scores by short name; a score that cannot be had is None with its reason."""
        from restore.tasks import units

        estimate, samples, truth = self.presented(answer)
        own = answer.estimate.to(self.problem.y)
        return appraise(Evidence(estimate, truth, samples, units.data_range(self.problem), (self.problem, own)), names)

    def presented(self, answer: Answer) -> tuple[Tensor, Tensor, Tensor | None]:
        """Estimate, draws and truth in the unit of the picture's file."""
        units, truth = self.problem.file_units, self.problem.truth
        return units.back(answer.estimate), units.back(answer.samples), None if truth is None else units.back(truth)

    def restored(self, kept: Answer) -> Answer:
        """An answer kept in the unit of the file, in the problem's units again: the inverse of `presented`."""
        units = self.problem.file_units
        return dataclasses.replace(kept, estimate=units.to(kept.estimate), samples=units.to(kept.samples))

    def arrays(self) -> dict[str, Tensor]:
        """What can be looked at beside an estimate: the truth, and y where it is a picture."""
        from restore.report.gather import pictures

        posed = self.problem.in_file_units()
        shown, _ = pictures(posed, posed.truth if posed.truth is not None else posed.y)
        return {name: shown[name] for name in ("truth", "measurement") if name in shown}


def item(
    task: Task, picture: Picture, part: Part, context: Context, label: str, entry: Method, *, seed: int, first: bool
) -> Item:
    """One item with its full identity."""
    where = {
        "path": str(picture.path),
        "reading": dict(picture.reading),
        "crop": part.crop,
        "table": task.table,
        "chosen": sorted(task.chosen),
    }
    sha256 = context.hashed(
        pixels_name(picture.path, f"{sorted(picture.reading.items())}|{part.crop}"),
        lambda: image_id(centre(picture.read(), part.crop).data),
    )
    samples = part.samples if entry.role not in (BASELINE, PEER) else 1
    # A baseline stands in the table beside any number of draws; only the metrics of draws need two.
    metrics = {**{key: canonical(name) for key, name in task.metrics.items()}}
    metrics |= {key: canonical(name) for key, name in part.metrics.items()}
    metrics |= {"chi2": "chi2", **(SAMPLE_METRICS if samples > 1 else {})}
    return of_task(
        task,
        (label, entry),
        context,
        image=sha256,
        samples=samples,
        seed=seed,
        physics=of_file(
            task, context, pixels_name(picture.path, f"{sorted(picture.reading.items())}"), lambda: picture.read().meta
        ),
        fields={
            "kind": "pictures",
            "data_set": picture.data_set,
            "image": picture.name,
            "image_sha256": sha256,
            "where": where,
            "metrics": metrics,
            # Distances between sets of pictures are taken from the kept estimates of all of them.
            "keep": context.keep_all or (first and seed == 0) or any(n.startswith(SETS) for n in metrics.values()),
        },
    )


def of_file(
    task: Task,
    context: Context,
    name: str,
    meta: Callable[[], Metadata],
    *,
    output_shape: tuple[int, ...] | None = None,
) -> dict[str, Any]:
    """What a picture's file states of the physics, as a part of an item's identity; nothing, as a rule.

    name: of the file in its present state. meta: reads the file's metadata, where nobody remembers them. output_shape:
    of the measurement that the file holds, None for a picture.
    """
    if not informing.listens(task.physics):
        return {}
    text = context.hashed(f"facts {name}", lambda: json.dumps(meta().parts_as_dict(), sort_keys=True))
    hints = informing.hints(
        task.physics, Facts(**parts_from_dict(outside.json_value(text, where=f"what is known of {name}"))), output_shape
    )
    stated = {**hints.settings, **hints.arrays}
    return {"file": plain(stated)} if stated else {}


def of_task(
    task: Task,
    entry: tuple[str, Method],
    context: Context,
    *,
    image: str,
    samples: int,
    seed: int,
    fields: Mapping[str, Any],
    physics: Mapping[str, Any] | None = None,
    identity: Mapping[str, Any] | None = None,
) -> Item:
    """An item that runs a method on a task's problem; what its kind adds is in `fields`, `physics` and `identity`."""
    label, method = entry
    table = task.table
    sections = {key: table[key] for key in ("operator", "noise", "measurement", "input")}
    whole = {
        "task": [task.name, task.version],
        "physics": {**sections, **(physics or {})},
        "image": image,
        "method": [method.role, method.solver, dict(method.parameters)],
        "prior": [method.prior, context.prior_sha256(method.prior)],
        "samples": samples,
        "seed": seed,
        "settings": dict(context.settings) if method.role != BASELINE else {},
        "code": code_version((*method.modules, *physics_modules(task))),
        **(identity or {}),
    }
    return Item(
        task=task.name,
        method=label,
        role=method.role,
        solver=method.solver,
        parameters=method.parameters,
        prior=method.prior,
        samples=samples,
        seed=seed,
        identity=whole,
        settings=context.settings,
        timeout=context.timeout,
        **fields,
    )


def baseline(task: Task) -> tuple[str, Method]:
    """The simple method a task names."""
    from restore import solvers

    part = task.sections.baseline
    module = solvers.REGISTRY[part.name].target.partition(":")[0]
    return f"{part.name} (baseline)", Method(BASELINE, part.name, part.parameters, "", (module,))


def method(task: Task, label: str, calls: int, context: Context) -> tuple[str, Method]:
    """A solver by label: an entry of the suite, a registry name, a peer, or module:attribute."""
    from priors.files.loading import check_word

    entry = dict(context.solvers.get(label, {"name": label}))
    name, prior = entry.pop("name"), entry.pop("prior", "")
    if ":" in name:
        return label, methods.by_path(name, entry, prior or task.prior)
    if name in peers.SOLVERS:
        # The task and the seed have no default: they come with every call.
        parameters = {key: value for key, value in peers.SOLVERS.parameters(name).items() if value is not None}
        if calls and parameters.get("steps", 0) > calls:
            parameters["steps"] = calls
        target = peers.SOLVERS[name].target.partition(":")[0]
        return label, Method(PEER, name, {**parameters, **entry}, prior or task.prior, (target,))
    settings = {"solver.name": name, **{f"solver.{key}": value for key, value in entry.items()}}
    tuned = task.override(settings)
    solver = tuned.solver_for()
    if calls and solver.needs_prior and solver.total > calls and hasattr(solver, "steps") and "steps" not in entry:
        tuned = tuned.override({"solver.steps": calls})
        solver = tuned.solver_for()
    used = prior or tuned.prior_for()
    if solver.needs_prior:
        check_word(used)
    return label, methods.describe(name, solver, used)


def centre(image: Image, size: int) -> Image:
    """The middle `size` x `size` pixels (fewer where the picture is smaller); 0: the whole picture."""
    if not size:
        return image
    return dataclasses.replace(image, data=centre_crop(image.data, size).contiguous())


def centre_crop(picture: Tensor, size: int) -> Tensor:
    """The middle `size` x `size` pixels of ... x H x W."""
    top, left = (max((side - size) // 2, 0) for side in picture.shape[-2:])
    return picture[..., top : top + size, left : left + size]


def _read(where: Mapping[str, Any]) -> Image:
    from restore.io.reading import read

    return centre(read(Path(where["path"]), **where["reading"]), where["crop"])


def _pictures(part: Part, context: Context) -> Iterator[Picture]:
    """Pictures of all sets of a part, each set up to `images`."""
    from operators.common.errors import RestoreError

    for name in part.sets:
        data_set = find(name)
        if data_set.tuning:
            context.notes.append(f"settings were tuned on {name}: its scores are no test")
        try:
            listed: Sequence[Picture] = data_set.pictures(context.data_root)
        except RestoreError as error:
            context.missing(error)
            continue
        yield from listed[: part.images or None]


def physics_modules(task: Task) -> tuple[str, ...]:
    """Where the code of a task's operator and noise is."""
    import operators
    import operators.noise

    targets = (
        operators.REGISTRY[task.sections.operator.name].target,
        operators.noise.REGISTRY[task.sections.noise.name].target,
    )
    return tuple(target.partition(":")[0] for target in targets)


__all__ = ["Pictures", "baseline", "centre", "centre_crop", "item", "method", "physics_modules"]
