"""What a solver is: settings, and a generator of states. The driver owns everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from torch import Tensor

from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Checked, OneOf, Range, check
from priors.base import DiffusionPrior, Prior

if TYPE_CHECKING:
    from priors.residual.process import Process

    from ..problem import Problem


class Mean(float):
    """The mean of a number that each batch entry has; `of(n)` is the mean over the first n entries."""

    values: Tensor

    def __new__(cls, values: Tensor) -> Mean:
        mean = super().__new__(cls, values.mean())
        mean.values = values
        return mean

    def of(self, entries: int) -> float:
        """The mean over the first `entries` entries."""
        return float(self.values[:entries].mean())


@dataclass(frozen=True)
class State:
    """Where an iteration stands, in the units the solver works in.

    x: the variable the method iterates on. x0: its current guess of the clean picture.
    estimate: what the method would return now. sigma: noise level of x relative to the picture (None: no such thing).
    info: further numbers for the trace: one for the whole batch, or the `Mean` of one for each entry.
    """

    x: Tensor
    x0: Tensor
    estimate: Tensor
    step: int
    sigma: float | None = None
    info: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Solver(Checked):
    """Base of all solvers: a frozen dataclass of settings with one method, `iterate`.

    A setting says its type, range and meaning in its annotation and is held against it at construction
    (`operators.common.settings`).

    needs_prior: whether a prior is used. prior_kind: the class of it, such as DiffusionPrior; `Prior.kind` of old, a
    string, is read too. process: of a ResidualPrior, the class of its process.
    usual_prior: name of the prior it takes where nobody names one; "": the task's.
    differentiates: whether gradients pass through the prior, or through networks of the solver's own.
    prior_channels: channels that the prior is shown of a picture which has more; None: all of them.
    needs_modulus: whether it retrieves lost phases and nothing else (operators.optics.Modulus).
    needs_linear, needs_gaussian: what the problem must be (another noise law is met by its Gaussian stand-in).
    needs_identity: whether it denoises and does nothing else (operators.Identity).
    joint: whether the samples of a picture are drawn together and may meet (`Problem.copies` of them, see
    `Problem.by_picture`); those of any other solver must not depend on the batch they are in.
    draws: whether a run with another sample index gives another answer; False where nothing random is drawn.
    presets: named groups of settings; "paper" gives published counts.
    """

    needs_prior: ClassVar[bool] = True
    prior_kind: ClassVar[type[Prior] | str] = DiffusionPrior
    process: ClassVar[type[Process] | None] = None
    usual_prior: ClassVar[str] = ""
    differentiates: ClassVar[bool] = False
    prior_channels: ClassVar[int | None] = None
    needs_linear: ClassVar[bool] = True
    needs_gaussian: ClassVar[bool] = True
    needs_modulus: ClassVar[bool] = False
    needs_identity: ClassVar[bool] = False
    joint: ClassVar[bool] = False
    draws: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def takes(cls, prior: Prior) -> bool:
        """Whether a prior is of the kind, and of the process, that this solver works with."""
        if isinstance(cls.prior_kind, str):
            return prior.kind == cls.prior_kind
        process = cls.process is None or isinstance(getattr(prior, "process", None), cls.process)
        return isinstance(prior, cls.prior_kind) and process

    @classmethod
    def kind_taken(cls) -> str:
        """The kind of prior this solver works with, in a word: "diffusion", or the name of a process."""
        if isinstance(cls.prior_kind, str):
            return cls.prior_kind
        return (cls.process or cls.prior_kind).kind or cls.prior_kind.__name__

    @property
    def total(self) -> int:
        """States that `iterate` yields at most, for the progress bar."""
        return int(getattr(self, "steps", 1))

    @property
    def width(self) -> int:
        """Pictures that an iteration holds for each draw; the driver's batches are as much smaller."""
        return 1

    def check_problem(self, problem: Problem) -> None:
        """BadInput where these settings cannot take the problem; the driver asks before any work."""

    def iterate(self, problem: Problem, prior: Any, noise: Noise) -> Iterator[State]:
        """The states of the iteration, one after another; the last one's `estimate` is the answer.

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
    """BadInput unless `value` is one of `allowed`; an annotation `Literal[...]` says the same."""
    check(name, value, Annotated[str, OneOf(allowed)])


def check_range(name: str, value: float, low: float, high: float | None = None, *, open_low: bool = False) -> None:
    """BadInput unless low <= value <= high (low < value where `open_low`); an annotation `Range` says the same."""
    bounds = Range(high=high, above=low) if open_low else Range(low, high)
    check(name, value, Annotated[float, bounds])
