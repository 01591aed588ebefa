"""What a solver is: settings, and a generator of states. The driver owns everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from operators import BadInput, BadType
from operators.common.randomness import Noise

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ..problem import Problem


@dataclass(frozen=True)
class State:
    """Where an iteration stands, in the units the solver works in.

    x: the variable the method iterates on. x0: its current guess of the clean picture.
    estimate: what the method would return now. sigma: noise level of x relative to the picture (None: no such thing).
    info: further numbers for the trace.
    """

    x: Tensor
    x0: Tensor
    estimate: Tensor
    step: int
    sigma: float | None = None
    info: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Solver:
    """Base of all solvers: a frozen dataclass of hyperparameters with one method, `iterate`.

    needs_prior: whether a prior is used. prior_kind: the kind of it, "diffusion" or a residual process (`Prior.kind`).
    differentiates: whether gradients pass through the prior.
    needs_modulus: whether it retrieves lost phases and nothing else (operators.optics.Modulus).
    needs_linear, needs_gaussian: what the problem must be (another noise law is met by its Gaussian stand-in).
    presets: named groups of settings; "paper" gives published counts.
    """

    needs_prior: ClassVar[bool] = True
    prior_kind: ClassVar[str] = "diffusion"
    differentiates: ClassVar[bool] = False
    needs_linear: ClassVar[bool] = True
    needs_gaussian: ClassVar[bool] = True
    needs_modulus: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @property
    def total(self) -> int:
        """States that `iterate` yields at most, for the progress bar."""
        return int(getattr(self, "steps", 1))

    def iterate(self, problem: Problem, prior: Any, noise: Noise) -> Iterator[State]:
        """Yield states; the last one's `estimate` is the answer.

        problem: posed in the prior's native units. prior: the native view of one of kind `prior_kind`, or None.
        noise: the only randomness.
        """
        raise TypeError(f"{type(self).__name__} does not implement iterate")


def expect_prior(prior: DiffusionPrior | None, method: Solver) -> DiffusionPrior:
    """The prior, or BadInput where a method that needs one was given None."""
    if prior is None:
        raise BadInput(f"{type(method).__name__} was given no prior", wanted="a DiffusionPrior")
    return prior


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """BadInput unless `value` is one of `allowed`."""
    if value not in allowed:
        raise BadInput(f"{name} is {value!r}", wanted=" or ".join(map(repr, allowed)))


def check_range(name: str, value: float, low: float, high: float = float("inf"), *, open_low: bool = False) -> None:
    """BadInput unless low <= value <= high (low < value where `open_low`), BadType for what is no number."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise BadType(f"{name} is {value!r}", wanted="a number")
    inside = (low < value if open_low else low <= value) and value <= high
    if not inside:
        bound = f"{'above' if open_low else 'at least'} {low:g}" + (
            "" if high == float("inf") else f" and at most {high:g}"
        )
        raise BadInput(f"{name} is {value:g}", wanted=bound)
