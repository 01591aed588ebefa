"""Which solver, settings and prior a problem is solved with, from what the caller said and what its task prefers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from operators import BadType
from operators.common.forms import fill
from priors.base import Prior

from .. import solvers
from ..problem import Problem
from ..solvers import Solver, solver_name
from ..solvers.preference import Preference
from ..tasks.sections import Sections

DEFAULT_SOLVER = "diffpir"

Origin = Literal["tuned", "default", "given"]


@dataclass(frozen=True)
class Selection:
    """A solver and its prior (None: what its kind takes by default).

    origin: of the solver's settings: "tuned" for the problem's task, the solver's "default", or "given" with it.
    """

    solver: Solver
    prior: Prior | str | None
    origin: Origin


def choose(problem: Problem, prior: Prior | str | None, solver: Solver | str | None) -> Selection:
    """The selection for a problem. A task made it: its own solver, or the named one, with the settings tuned for it.

    A solver that was constructed means exactly what it says. The task's prior for a solver takes the place of None.
    BadType where `solver` is neither; BadInput for an unknown name.
    """
    if isinstance(solver, Solver):
        return Selection(solver, _preferred_prior(problem, solver) if prior is None else prior, "given")
    if solver is not None and not isinstance(solver, str):
        kind = f"the class {solver.__name__}" if isinstance(solver, type) else type(solver).__name__
        raise BadType(f"solver is {kind}", wanted="the name of a solver, or a Solver such as Tikhonov()")
    preference = preferred(problem)
    if preference is None:
        return Selection(solvers.build(solver or DEFAULT_SOLVER), prior, "default")
    name = solver or preference.solver
    word = preference.prior_for(name) if prior is None else prior
    return Selection(preference.solver_for(name), word, preference.origin(name))


def _preferred_prior(problem: Problem, solver: Solver) -> str | None:
    preference = preferred(problem) if solver.needs_prior else None
    return None if preference is None else preference.prior_for(solver_name(solver))


def preferred(problem: Problem) -> Preference | None:
    """What the task that made a problem says of solvers; None for a problem that no task made."""
    table = {} if problem.recipe is None else dict(problem.recipe.task)
    if "solver" not in table:
        return None
    name = str(table.pop("name"))
    return Preference.of(name, fill(Sections, table, where=f"task {name!r}"))
