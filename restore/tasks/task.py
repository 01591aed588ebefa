"""A task: physics, noise, default prior and solver, baseline and metrics under one name, read from a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from operators.common.errors import BadInput
from operators.common.forms import fill
from operators.common.registry import check_keywords, check_types
from operators.common.space import Affine

from .physics import Physics
from .sections import Sections
from .settings import override

if TYPE_CHECKING:
    from torch import Tensor

    from operators.core.base import Operator
    from operators.noise import NoiseModel

    from ..problem import Problem
    from ..solvers.base import Solver
    from ..solvers.preference import Preference
    from .given import Given


@dataclass(frozen=True)
class Task:
    """Plain data with a few questions answered; nothing is computed before `problem` or `measured` is called.

    name: what `restore run --task` calls it. sections: what its file says, typed: `task.sections.operator.name`.
    chosen: dotted names of settings that the user replaced; what a picture's file says does not overrule them.
    """

    name: str
    sections: Sections
    chosen: frozenset[str] = frozenset()

    @classmethod
    def from_table(
        cls, table: Mapping[str, Any], name: str | None = None, chosen: frozenset[str] = frozenset()
    ) -> Task:
        """The task of a plain table, as result files and rows keep it (there with its name)."""
        parts = {key: value for key, value in table.items() if key != "name"}
        called = str(table["name"]) if name is None else name
        return cls(called, fill(Sections, parts, where=f"task {called!r}"), chosen)

    # -- what the file says ---------------------------------------------------------------------------------------

    @property
    def table(self) -> dict[str, Any]:
        """The sections as plain data, for files that keep them."""
        return self.sections.plain()

    @property
    def version(self) -> int:
        return self.sections.version

    @property
    def summary(self) -> str:
        return self.sections.summary

    @property
    def source(self) -> str:
        return self.sections.source

    @property
    def metrics(self) -> dict[str, str]:
        """Convention of each score: {"psnr": "psnr[y601,crop=4]", ...}."""
        return dict(self.sections.metrics)

    @property
    def prior(self) -> str:
        """The prior of the default solver, as `--prior` names it."""
        return self.sections.prior.spelled

    @property
    def file_units(self) -> Affine:
        """The units of this task's files where the table alone says them: x_problem = file_units.to(x_file)."""
        return self.physics.file_units

    @property
    def bits(self) -> int | None:
        """Depth of the stored measurement, or None where it is kept as computed."""
        return self.physics.bits

    @property
    def quick(self) -> dict[str, int]:
        """A small setting for tests: number of images and their size in pixels."""
        return self.sections.quick.plain()

    @property
    def physics(self) -> Physics:
        """Operator, noise and storing."""
        return Physics(self.name, self.sections, self.chosen)

    # -- settings -------------------------------------------------------------------------------------------------

    def override(self, settings: Mapping[str, Any]) -> Task:
        """The task with dotted settings replaced, as `--set` does: {"operator.factor": 2, "solver.steps": 50}.

        BadInput or BadType, with the closest known name, for a setting that nothing takes.
        """
        brought = self._brought(settings.get("solver.name"))
        sections = override(self.sections, {**brought, **settings}, where=f"task {self.name!r}")
        changed = replace(self, sections=sections, chosen=self.chosen | set(settings))
        changed.check()
        return changed

    def _brought(self, solver: Any) -> dict[str, str]:
        """What comes with another solver: the prior that is named for it."""
        prior = self.prior if solver is None else self.prior_for(str(solver))
        return {} if prior == self.prior else {"prior.name": prior}

    def fitted(self, settings: Mapping[str, Any]) -> Task:
        """The task with parameters of its operator that a file or a measurement tells; nothing the user chose."""
        return replace(self, sections=self.physics.fitted(settings).sections)

    def check(self) -> None:
        """BadInput or BadType unless operator, noise, solvers, prior and metrics exist and take their parameters.

        The default solver is built; of the others, names and kinds of their settings are checked.
        """
        import restore.metrics
        from priors.files.loading import check_word

        from .. import solvers

        self.physics.check()
        self.solver_for()
        for name, settings in self.sections.solvers.items():
            where = f"solver {name!r}"
            target = solvers.REGISTRY.load(name)
            check_keywords(target, settings.parameters, where=where)
            check_types(target, settings.parameters, where=where)
        self.baseline_solver()
        check_word(self.prior)
        for convention in self.metrics.values():
            restore.metrics.parse(convention)

    @property
    def preference(self) -> Preference:
        """What the task says of solvers, settings tuned for it included."""
        from ..solvers.preference import Preference

        return Preference.of(self.name, self.sections)

    def solver_for(self, name: str | None = None) -> Solver:
        """The solver with the settings tuned for this task; `name` None is the task's own."""
        return self.preference.solver_for(self.sections.solver.name if name is None else name)

    @property
    def settings_from(self) -> Literal["tuned", "default", "given"]:
        """Where the settings of its own solver come from; "given" where the user chose any of them."""
        overridden = any(key.startswith("solver.") and key != "solver.name" for key in self.chosen)
        return "given" if overridden else self.preference.origin(self.sections.solver.name)

    def prior_for(self, name: str | None = None) -> str:
        """Name of the prior this task gives to a solver."""
        return self.preference.prior_for(self.sections.solver.name if name is None else name)

    # -- from pictures to problems --------------------------------------------------------------------------------

    def problem(self, image: Any, *, seed: int = 0) -> Problem:
        """The problem of a clean picture, measured, with the picture as its truth.

        image: restore.io.Image, or C x H x W or B x C x H x W (volumes C x D x H x W) in the task's unit; cropped from
        the top left to `crop_to_multiple`. seed: 0 to 2^63 - 1. The noise of a picture depends on the seed and that
        picture alone.
        """
        from . import informing, measurement, units

        pictures = self.sections.input
        unit = units.UNITS[pictures.unit]
        truth = self._batch(image)
        measurement.check_values(truth, low=unit.low, high=unit.high)
        truth = measurement.crop_to_multiple(truth, pictures.crop_to_multiple)
        notes: list[str] = []
        truth, file_units = units.enter(truth, pictures, notes)
        physics = informing.stated(self.physics, informing.hints(self.physics, image, None), notes)
        return physics.simulated(truth, seed=seed, notes=notes, file_units=file_units)

    def _batch(self, image: Any) -> Tensor:
        """The picture or pictures as the operator's kind of batch."""
        import operators

        from . import measurement

        spatial = operators.REGISTRY.load(self.sections.operator.name).spatial
        mixed = self.sections.input.unit in ("complex", "magnitude")
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
        """The problem of a measurement from elsewhere; no truth is known.

        y: restore.io.Image or tensor, in [0, 1] but for the noise. sigma, peak, kernel, mask, shape, nan_as_mask,
        arrays: what `Given` holds; None is the task's own, or told by y. What was not given and how it was settled is
        told by `recipe["notes"]` of the problem.
        """
        from .given import Given

        return self.posed(y, Given(sigma, peak, kernel, mask, shape, nan_as_mask, arrays or {}))

    def posed(self, y: Any, statement: Given) -> Problem:
        """The problem of a measurement from elsewhere, of which the user said what is in the statement."""
        from . import measured

        return measured.pose(self.physics, y, statement.loaded())

    def baseline(self, problem: Problem) -> Tensor:
        """The simple estimate this task must beat (B x input_shape)."""
        from ..driver import solve

        return solve(problem, solver=self.baseline_solver()).estimate

    def baseline_solver(self) -> Solver:
        """The solver of that estimate; BadInput for one that needs a prior."""
        from .. import solvers

        part = self.sections.baseline
        solver = solvers.build(part.name, **part.parameters)
        if solver.needs_prior:
            raise BadInput(
                f"baseline {part.name!r} needs a prior", wanted="a solver without one, such as 'direct' or 'tv'"
            )
        return solver

    # -- parts ----------------------------------------------------------------------------------------------------

    def operator(self, input_shape: tuple[int, ...], arrays: Mapping[str, Tensor] | None = None) -> Operator:
        """This task's operator for pictures of that shape; `arrays` (kernel, mask) replace what describes them."""
        return self.physics.operator(input_shape, arrays)

    def noise(self, **changes: float) -> NoiseModel:
        """This task's noise model, with parameters replaced."""
        return self.physics.noise(**changes)
