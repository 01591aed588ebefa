"""A task: physics, noise, default prior and solver, baseline and metrics under one name, read from a TOML file."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from operators.common.errors import BadInput
from operators.common.registry import check_keywords, check_types, keyword_defaults, plain
from operators.common.space import IDENTITY, Affine

from . import table as tables
from . import units
from .table import Table

if TYPE_CHECKING:
    from torch import Tensor

    from operators.core.base import Operator
    from operators.noise import NoiseModel

    from ..problem import Problem
    from ..solvers.base import Solver


@dataclass(frozen=True)
class Task:
    """Plain data with a few questions answered; nothing is computed before `problem` or `measured` is called.

    name: what `restore run --task` calls it. table: the checked TOML with defaults filled in. chosen: dotted names of
    settings that the user replaced; what a picture's file says does not overrule them.
    """

    name: str
    table: Mapping[str, Any]
    chosen: frozenset[str] = frozenset()

    # -- what the table says --------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        return int(self.table["version"])

    @property
    def summary(self) -> str:
        return str(self.table["summary"])

    @property
    def source(self) -> str:
        return str(self.table["source"])

    @property
    def metrics(self) -> dict[str, str]:
        """Convention of each score: {"psnr": "psnr[y601,crop=4]", ...}."""
        return dict(self.table["metrics"])

    @property
    def prior(self) -> str:
        """Name of the prior the default solver uses."""
        return str(self.table["prior"]["name"])

    @property
    def file_units(self) -> Affine:
        """The units of this task's files where the table alone says them: x_problem = file_units.to(x_file)."""
        return units.leaving(self.table["input"])

    @property
    def bits(self) -> int | None:
        """Depth of the stored measurement, or None where it is kept as computed."""
        bits = self.table["measurement"].get("bits")
        return None if bits is None else int(bits)

    @property
    def quick(self) -> dict[str, int]:
        """A small setting for tests: number of images and their size in pixels."""
        return dict(self.table["quick"])

    def override(self, settings: Mapping[str, Any]) -> Task:
        """The task with dotted settings replaced, as `--set` does: {"operator.factor": 2, "solver.steps": 50}.

        BadInput or BadType, with the closest known name, for a setting that nothing takes.
        """
        table = tables.override(dict(self.table), settings, where=f"task {self.name!r}")
        changed = replace(self, table=table, chosen=self.chosen | set(settings))
        changed.check()
        return changed

    def fitted(self, settings: Mapping[str, Any]) -> Task:
        """The task with parameters of its operator that a file or a measurement tells; nothing the user chose."""
        if not settings:
            return self
        changed = self.override({f"operator.{key}": value for key, value in settings.items()})
        return replace(changed, chosen=self.chosen)

    def check(self) -> None:
        """Raise unless operator, noise, solvers, baseline and metrics exist and take the parameters given."""
        import operators
        import operators.noise
        import priors
        import restore.metrics

        from .. import solvers

        for section, registry in (("operator", operators.REGISTRY), ("noise", operators.noise.REGISTRY)):
            given = _parameters(self.table[section])
            target = registry.load(self.table[section]["name"])
            check_keywords(target, given, where=f"{section} {self.table[section]['name']!r}")
            check_types(target, given, where=f"{section} {self.table[section]['name']!r}")
        for name in {self.table["solver"]["name"], *self.table["solvers"]}:
            solvers.REGISTRY[name]
            self.solver_for(name)
        self.baseline_solver()
        if not self.prior.endswith(".safetensors"):
            priors.REGISTRY[self.prior.partition(":")[0]]  # NAME or NAME:ADAPTER
        for convention in self.metrics.values():
            restore.metrics.parse(convention)

    def solver_for(self, name: str | None = None) -> Solver:
        """The solver with this task's settings for it; `name` None is the task's default."""
        from .. import solvers

        default = self.table["solver"]["name"]
        chosen = default if name is None else name
        given = {k: v for k, v in self.table["solvers"].get(chosen, {}).items() if k != "prior"}
        if chosen == default:
            given.update(_parameters(self.table["solver"]))
        check_types(solvers.REGISTRY.load(chosen), given, where=f"solver {chosen!r}")
        return solvers.build(chosen, **given)

    def prior_for(self, name: str | None = None) -> str:
        """Name of the prior this task gives to a solver."""
        given = self.table["solvers"].get(self.table["solver"]["name"] if name is None else name, {})
        return str(given.get("prior", self.prior))

    # -- from pictures to problems --------------------------------------------------------------------------------

    def problem(self, image: Any, *, seed: int = 0) -> Problem:
        """Measure a clean picture and pose the problem, with the picture as its truth.

        image: restore.io.Image, or C x H x W or B x C x H x W (volumes C x D x H x W) in the task's unit; cropped from
        the top left to `crop_to_multiple`. seed: 0 to 2^63 - 1. The noise of a picture depends on the seed and that
        picture alone.
        """
        from . import informing, measurement

        given = self.table["input"]
        unit = units.UNITS[given["unit"]]
        truth = self._batch(image)
        measurement.check_values(truth, low=unit.low, high=unit.high)
        truth = measurement.crop_to_multiple(truth, given["crop_to_multiple"])
        notes: list[str] = []
        truth, file_units = units.enter(truth, given, notes)
        task = informing.stated(self, informing.hints(self, image, None), notes)
        return task.simulated(truth, seed=seed, notes=notes, file_units=file_units)

    def simulated(self, truth: Tensor, *, seed: int, notes: list[str], file_units: Affine = IDENTITY) -> Problem:
        """Measure pictures that are already in the problem's unit (B x ...), cropped and checked."""
        from operators import image_id

        from ..problem import Problem
        from . import measurement

        operator = self.operator(tuple(truth.shape[1:]))
        if operator.complex_input and not truth.is_complex():
            truth = truth.to(truth.dtype.to_complex())
        ids = tuple(image_id(entry) for entry in truth)
        noise = self.noise()
        y = measurement.simulate(operator, noise, truth, seed=seed, image_ids=ids)
        if self.bits is not None:
            y = measurement.keep_observed(measurement.quantise(y, self.bits), operator)
        noise = measurement.with_rounding(noise, self.bits)
        recipe = self._recipe(operator, noise, {}, notes=notes, file_units=file_units)
        return Problem(y, operator, noise, truth=truth, image_ids=ids, recipe=recipe)

    def _batch(self, image: Any) -> Tensor:
        """The picture or pictures as the operator's kind of batch."""
        import operators

        from . import measurement

        spatial = operators.REGISTRY.load(self.table["operator"]["name"]).spatial
        mixed = self.table["input"]["unit"] in ("complex", "magnitude")
        return measurement.as_batch(image, spatial=spatial, complex_values=mixed)

    def measured(
        self,
        y: Any,
        *,
        sigma: float | str | None = None,
        peak: float | None = None,
        kernel: Tensor | None = None,
        mask: Tensor | None = None,
        shape: tuple[int, ...] | None = None,
        nan_as_mask: bool = False,
        arrays: Mapping[str, Tensor] | None = None,
    ) -> Problem:
        """Pose the problem for a measurement from elsewhere; no truth is known.

        y: restore.io.Image or tensor, in [0, 1] but for the noise. sigma: standard deviation of Gaussian noise, or
        "estimate"; None is the task's own. peak: of Poisson noise. kernel: h x w, for a blur. mask: H x W, nonzero =
        measured. shape: C x H x W of the picture where y does not tell it. nan_as_mask: NaN marks
        what was not measured (operators with a mask). arrays: any other array parameter of the
        operator, by name (`maps` of the coils, a `trajectory`). What was not given and how it was settled is told by
        `recipe["notes"]` of the problem.
        """
        from . import measured

        given = measured.Given(
            sigma=sigma,
            peak=peak,
            kernel=kernel,
            mask=mask,
            shape=shape,
            nan_as_mask=nan_as_mask,
            arrays=arrays or {},
        )
        return measured.pose(self, y, given)

    def baseline(self, problem: Problem) -> Tensor:
        """The simple estimate this task must beat (B x input_shape)."""
        from ..driver import solve

        return solve(problem, solver=self.baseline_solver()).estimate

    def baseline_solver(self) -> Solver:
        """The solver of that estimate; BadInput for one that needs a prior."""
        from .. import solvers

        name = self.table["baseline"]["name"]
        solver = solvers.build(name, **_parameters(self.table["baseline"]))
        if solver.needs_prior:
            raise BadInput(f"baseline {name!r} needs a prior", wanted="a solver without one, such as 'direct' or 'tv'")
        return solver

    # -- parts ----------------------------------------------------------------------------------------------------

    def operator(self, input_shape: tuple[int, ...], arrays: Mapping[str, Tensor] | None = None) -> Operator:
        """This task's operator for pictures of that shape; `arrays` (kernel, mask) replace what describes them."""
        return build_operator(self.table["operator"], input_shape, arrays or {})

    def noise(self, **changes: float) -> NoiseModel:
        """This task's noise model, with parameters replaced."""
        from operators.noise import REGISTRY

        given = self.table["noise"]
        return REGISTRY.build(given["name"], **{**_parameters(given), **changes})

    def _recipe(
        self,
        operator: Operator,
        noise: NoiseModel,
        arrays: Mapping[str, Tensor],
        notes: list[str],
        file_units: Affine = IDENTITY,
    ) -> dict[str, Any]:
        """Plain data (and the arrays) from which `rebuild` makes operator and noise again."""
        name = self.table["noise"]["name"]
        parameters = {key: plain(getattr(noise, key)) for key in keyword_defaults(type(noise))}
        return {
            "task": {"name": self.name, **copy.deepcopy(dict(self.table))},
            "input_shape": list(operator.input_shape),
            "noise": {"name": name, **parameters},
            "notes": notes,
            "file_units": [file_units.shift, file_units.scale],
            "arrays": dict(arrays),
        }


def build_operator(
    given: Table | Mapping[str, Any], input_shape: tuple[int, ...], arrays: Mapping[str, Tensor]
) -> Operator:
    """An operator from its [operator] table, with arrays in place of named kernels or masks."""
    import operators

    parameters = _parameters(given)
    target = operators.REGISTRY.load(given["name"])
    known = keyword_defaults(target)
    for key in arrays:
        if key not in known:
            raise BadInput(
                f"operator {given['name']!r} takes no {key}", do=f"It takes: {', '.join(known) or 'nothing'}."
            )
    if arrays:
        parameters = {key: value for key, value in parameters.items() if key in target.beside_array}
    return operators.build(given["name"], tuple(input_shape), **parameters, **arrays)


def rebuild(
    recipe: Mapping[str, Any],
    y: Tensor,
    arrays: Mapping[str, Tensor],
    *,
    truth: Tensor | None = None,
    image_ids: tuple[str, ...] = (),
) -> Problem:
    """The problem of a stored result: operator and noise made again from plain data, y and truth as stored."""
    from operators.noise import REGISTRY

    from ..problem import Problem

    if not recipe or "task" not in recipe:
        raise BadInput(
            "this result has no recipe: its operator was made in a script",
            do="Run the script again; only results of `restore run` can be repeated from the file.",
        )
    operator = build_operator(recipe["task"]["operator"], tuple(recipe["input_shape"]), arrays)
    noise = REGISTRY.build(recipe["noise"]["name"], **_parameters(recipe["noise"]))
    kept = {**recipe, "arrays": dict(arrays)}
    return Problem(y, operator, noise, truth=truth, image_ids=image_ids, recipe=kept)


def _parameters(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key != "name"}
