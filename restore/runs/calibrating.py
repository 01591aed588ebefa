"""A calibration carried out: every picture of a folder restored, scored, and what the scores give together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from operators import BadInput, RestoreError
from operators.common.settings import Range, check

from ..calibration import collect, conformal
from ..calibration.record import Calibration
from ..driver import solve
from ..metrics.directions import measure
from ..problem import Problem
from ..reconstruction import Reconstruction
from .plan import Plan
from .progress import bar


def calibration(plan: Plan, *, level: float, quiet: bool, say: Callable[[str], None] = lambda _: None) -> Calibration:
    """The calibration of the plan's pictures; one that fails is named and left out, BadInput where too few are left."""
    check("level", level, Annotated[float, Range(above=0, below=1)])
    least = conformal.smallest_count(1 - level)
    if len(plan.items) < least:
        raise BadInput(
            f"{len(plan.items)} calibration pictures in {plan.options.input}",
            wanted=f"{least} or more for bounds at {100 * level:g} %",
            do="Give more pictures, or a lower --level.",
        )
    conventions = {key: name for key, name in plan.task.metrics.items() if key != "lpips"}

    def solved(problem: Problem) -> Reconstruction:
        options = plan.options
        return solve(
            problem, plan.prior, plan.solver, samples=plan.samples, seed=options.seed, settings=options.settings
        )

    scores = []
    with bar(len(plan.items), quiet=quiet) as display:
        for item in plan.items:
            display.picture(item.name, plan.samples, 0)
            try:
                _, problem = plan.open(item)
                result = solved(problem)
                who = plan.identity(problem)
                if plan.options.measured:
                    scores.append(collect.without_truth(result, solved, seed=plan.options.seed, identity=who))
                else:
                    scores.append(collect.with_truth(result, conventions, identity=who))
            except RestoreError as error:
                say(f"failed {item.name}: {error}")
            display.finished()
    directions = {key: measure(name).higher for key, name in conventions.items()}
    return collect.calibrate(scores, level=level, metrics=directions)


def told(found: Calibration) -> list[str]:
    """What was found, a line each, with what a reader must know before trusting it."""
    low, high = conformal.realised(found.pictures, found.alpha)
    lines = [
        f"{found.pictures} pictures, bounds at {100 * found.level:g} % (order statistic "
        f"{conformal.order(found.pictures, found.alpha)} of {found.pictures}); realised coverage of one calibration: "
        f"{100 * low:.1f} to {100 * high:.1f} % in 90 % of them"
    ]
    for bound in found.quality:
        word = "at least" if bound.higher_is_better else "at most"
        fixed = "no bound" if bound.fixed is None else f"{word} {bound.fixed:.4g} for any picture"
        own = "" if bound.margin is None else f"; from the draws: margin {bound.margin:.4g}"
        own += "" if bound.correlation is None else f", correlation with the score {bound.correlation:.2f}"
        lines.append(f"{bound.metric}: {fixed}{own}")
    if found.pixels is not None:
        lines.append(f"pixels: estimate plus and minus {found.pixels:.4g} x {found.width}")
    if found.measured is not None:
        how = "" if found.with_truth else " (by SURE; nothing is said of what the measurement does not see)"
        lines.append(f"measured part: mean squared error at most {found.measured:.4g}{how}")
    if found.spread is not None:
        factor, error = found.spread
        lines.append(f"spread: the deviations of the samples are to be multiplied by {factor:.3f} +- {error:.3f}")
    return lines
