"""The physics that a task names: its operator and its noise built, and the recipe of what they measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from operators.common.errors import BadInput
from operators.common.forms import Component
from operators.common.registry import check_keywords, check_types, keyword_defaults, plain
from operators.common.space import IDENTITY, Affine

from . import units
from .sections import Sections
from .settings import override

if TYPE_CHECKING:
    from torch import Tensor

    from operators.core.base import Operator
    from operators.noise import NoiseModel

    from ..problem import Problem
    from ..recipe import Recipe


@dataclass(frozen=True)
class Physics:
    """Operator, noise and storing of the task of that name.

    chosen: dotted names of settings that the user replaced; what a picture's file says does not overrule them.
    """

    task: str
    sections: Sections
    chosen: frozenset[str] = frozenset()

    def check(self) -> None:
        """BadInput or BadType unless operator and noise exist and take their parameters."""
        import operators
        import operators.noise

        for kind, registry in (("operator", operators.REGISTRY), ("noise", operators.noise.REGISTRY)):
            part: Component = getattr(self.sections, kind)
            target = registry.load(part.name)
            check_keywords(target, part.parameters, where=f"{kind} {part.name!r}")
            check_types(target, part.parameters, where=f"{kind} {part.name!r}")

    def operator(self, input_shape: tuple[int, ...], arrays: Mapping[str, Tensor] | None = None) -> Operator:
        """The operator for pictures of that shape; `arrays` (kernel, mask) replace what describes them."""
        return build_operator(self.sections.operator, input_shape, arrays or {})

    def noise(self, **changes: float) -> NoiseModel:
        """The noise model, with parameters replaced."""
        return build_noise(self.sections.noise, **changes)

    @property
    def bits(self) -> int | None:
        """Depth of the stored measurement, or None where it is kept as computed."""
        return self.sections.measurement.bits

    @property
    def file_units(self) -> Affine:
        """The units of the task's files where the task alone says them: x_problem = file_units.to(x_file)."""
        return units.leaving(self.sections.input)

    def fitted(self, settings: Mapping[str, Any]) -> Physics:
        """The physics with parameters of the operator that a file or a measurement tells; nothing the user chose."""
        if not settings:
            return self
        dotted = {f"operator.{key}": value for key, value in settings.items()}
        changed = replace(self, sections=override(self.sections, dotted, where=f"task {self.task!r}"))
        changed.check()
        return changed

    def simulated(self, truth: Tensor, *, seed: int, notes: list[str], file_units: Affine = IDENTITY) -> Problem:
        """The problem of pictures that are already in its unit (B x ...), cropped and checked."""
        from ..problem import Problem
        from . import measurement

        operator, law = self.operator(tuple(truth.shape[1:])), self.noise()
        if operator.complex_input and not truth.is_complex():
            truth = truth.to(truth.dtype.to_complex())
        y, ids = measurement.measure(operator, law, truth, seed=seed, bits=self.bits)
        noise = measurement.with_rounding(law, self.bits)
        recipe = self.recipe(operator, noise, notes=notes, file_units=file_units, seed=seed)
        return Problem(y, operator, noise, truth=truth, image_ids=ids, recipe=recipe)

    def recipe(
        self,
        operator: Operator,
        noise: NoiseModel,
        *,
        notes: list[str],
        file_units: Affine = IDENTITY,
        seed: int | None = None,
        prior_level: float | None = None,
        arrays: Mapping[str, Tensor] | None = None,
    ) -> Recipe:
        """What `rebuild` needs to make operator and noise again."""
        from ..recipe import Recipe

        parameters = {key: plain(getattr(noise, key)) for key in keyword_defaults(type(noise))}
        return Recipe(
            task={"name": self.task, **self.sections.plain()},
            input_shape=tuple(operator.input_shape),
            noise=Component(name=self.sections.noise.name, **parameters),
            notes=tuple(notes),
            file_units=file_units,
            seed=seed,
            prior_level=prior_level,
            arrays=dict(arrays or {}),
        )


def build_noise(part: Component, **changes: Any) -> NoiseModel:
    """A noise model from its section, with parameters replaced."""
    from operators.noise import REGISTRY

    return REGISTRY.build(part.name, **{**part.parameters, **changes})


def build_operator(part: Component, input_shape: tuple[int, ...], arrays: Mapping[str, Tensor]) -> Operator:
    """An operator from its section, with arrays in place of named kernels or masks."""
    import operators

    parameters = part.parameters
    target = operators.REGISTRY.load(part.name)
    allowed = keyword_defaults(target)
    for key in arrays:
        if key not in allowed:
            raise BadInput(f"operator {part.name!r} takes no {key}", do=f"It takes: {', '.join(allowed) or 'nothing'}.")
    if arrays:
        parameters = {key: value for key, value in parameters.items() if key in target.beside_array}
    return operators.build(part.name, tuple(input_shape), **parameters, **arrays)


def rebuild(
    recipe: Mapping[str, Any] | None,
    y: Tensor,
    arrays: Mapping[str, Tensor],
    *,
    truth: Tensor | None = None,
    image_ids: tuple[str, ...] = (),
) -> Problem:
    """The problem of a stored result: operator and noise made again from plain data, y and truth as stored."""
    from ..problem import Problem
    from ..recipe import Recipe

    kept = replace(Recipe.read(recipe), arrays=dict(arrays))
    operator = build_operator(kept.operator, kept.input_shape, arrays)
    noise, level = build_noise(kept.noise), kept.prior_level
    return Problem(y, operator, noise, truth=truth, image_ids=image_ids, recipe=kept, prior_level=level)
