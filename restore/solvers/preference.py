"""What a task says of solvers: which one it runs, with which prior, and the settings that are tuned for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from . import REGISTRY, build
from .base import Solver
from .tuned import names, tuned

if TYPE_CHECKING:
    from ..tasks.sections import Sections


@dataclass(frozen=True)
class Preference:
    """What one task prefers.

    solver: the task's own. prior: of that solver, and of any other whose file names none for this task. settings: what
    the task's file says itself, by solver; it wins over the file of the solver, key by key.
    """

    task: str
    solver: str
    prior: str
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, task: str, sections: Sections) -> Preference:
        """The preference of a task by what its file says."""
        own = sections.solver
        settings = {name: part.plain() for name, part in sections.solvers.items()}
        settings[own.name] = {**settings.get(own.name, {}), **own.parameters}
        return cls(task, own.name, sections.prior.spelled, settings)

    def settings_for(self, name: str) -> dict[str, Any]:
        """The settings tuned for this task; a preset is a published group of settings, which tuning must not touch."""
        own = self.settings.get(name, {})
        table = dict(own) if "preset" in own else {**tuned(name, self.task), **own}
        return {key: value for key, value in table.items() if key != "prior"}

    def prior_for(self, name: str) -> str:
        """The prior that a solver takes for this task."""
        table = {**tuned(name, self.task), **self.settings.get(name, {})}
        if name == self.solver:
            return self.prior
        usual = REGISTRY.load(name).usual_prior if name in REGISTRY else ""  # a solver of a script has no name
        return str(table.get("prior", usual or self.prior))

    def solver_for(self, name: str) -> Solver:
        """The solver with those settings."""
        return build(name, **self.settings_for(name))

    def origin(self, name: str) -> Literal["tuned", "default"]:
        """Whether a solver has settings for this task, or only its defaults."""
        return "tuned" if self.settings_for(name) else "default"

    @property
    def others(self) -> dict[str, dict[str, Any]]:
        """Settings and priors of the solvers tuned for this task, its own left out."""
        table = {name: {**tuned(name, self.task), **self.settings.get(name, {})} for name in {*names(), *self.settings}}
        return {name: table[name] for name in sorted(table) if table[name] and name != self.solver}
