"""How a method of any kind answers a problem: the task's baseline, a solver, another toolkit's, or a class by name."""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from operators.common.errors import BadInput, BadType
from operators.common.registry import plain
from priors.base import DiffusionPrior
from restore.driver import Settings, solve
from restore.problem import Problem
from restore.solvers.base import Solver

from .. import peers
from ..records.item import PEER, SOLVER

Watch = Callable[[int, Any, int], None]


@dataclass(frozen=True)
class Method:
    """A method with all its settings. parameters: plain data, complete, so that equal ones mean equal methods.

    modules: where its code is.
    """

    role: str
    solver: str
    parameters: Mapping[str, Any]
    prior: str
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """An estimate (B x C x ...) in the problem's units, its draws (S x B x C x ...) and what they cost."""

    estimate: Tensor
    samples: Tensor
    nfe: int = 0
    backward: int = 0
    seconds: float = 0.0
    network_seconds: float = 0.0
    noise_seconds: float = 0.0


def describe(name: str, solver: Solver, prior: str) -> Method:
    """The method that a configured solver is."""
    module = type(solver).__module__
    parameters = {key: plain(value) for key, value in dataclasses.asdict(solver).items()}
    return Method(SOLVER, name, parameters, prior if solver.needs_prior else "", (module,))


def by_path(path: str, settings: Mapping[str, Any], prior: str) -> Method:
    """The method "module:attribute" names: a Solver class, or a function (problem, *, seed) -> estimate."""
    target = load(path)
    if isinstance(target, type) and issubclass(target, Solver):
        return describe(path, target(**settings), prior)
    return Method(SOLVER, path, dict(settings), "", (path.partition(":")[0],))


def load(path: str) -> Any:
    """What "module:attribute" names; BadInput where there is no such thing."""
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(f"no method {path!r} ({error})", wanted="module:attribute that can be imported") from error


def build(name: str, parameters: Mapping[str, Any]) -> Solver | None:
    """The solver of a stored method, None where it is a plain function."""
    from restore import solvers

    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()}
    if ":" not in name:
        return solvers.build(name, **settings)
    target = load(name)
    return target(**settings) if isinstance(target, type) and issubclass(target, Solver) else None


def answer(
    item: Any, problem: Problem, prior: DiffusionPrior | None, *, samples: int, watch: Watch | None = None
) -> Answer:
    """The answer of the method of an item (not its task's baseline) to a problem."""
    if item.role == PEER:
        return _peer(item, problem, prior)
    solver = build(item.solver, item.parameters)
    if solver is None:
        return _function(load(item.solver), item, problem)
    settings = Settings(**item.settings)
    result = solve(problem, prior, solver, samples=samples, seed=item.seed, settings=settings, watch=watch)
    return Answer(
        result.estimate,
        result.samples,
        nfe=result.nfe,
        backward=result.provenance["backward_passes"],
        seconds=result.seconds,
        network_seconds=result.timing.network,
        noise_seconds=result.timing.noise,
    )


def prior(item: Any) -> DiffusionPrior | None:
    """The prior of an item, loaded once per process."""
    return _load_prior(item.prior, str(item.identity["prior"][1])) if item.prior else None


@lru_cache(maxsize=4)
def _load_prior(name: str, sha256: str) -> DiffusionPrior:
    import priors

    loaded = priors.load(name)
    if loaded.sha256 and loaded.sha256 != sha256:
        raise BadInput(
            f"prior {name!r} has other weights here ({loaded.sha256[:12]})", wanted=sha256[:12], do="Copy them there."
        )
    return loaded


def timed(run: Callable[[], Tensor]) -> Answer:
    """The answer of something that only gives an estimate."""
    began = time.perf_counter()
    estimate = run()
    seconds = time.perf_counter() - began
    if not isinstance(estimate, Tensor):
        raise BadType(f"the method returned {type(estimate).__name__}", wanted="a torch.Tensor")
    estimate = estimate.detach().cpu()
    return Answer(estimate, estimate[None], seconds=seconds)


def _function(target: Any, item: Any, problem: Problem) -> Answer:
    return timed(lambda: target(problem, seed=item.seed, **item.parameters))


def _peer(item: Any, problem: Problem, prior: DiffusionPrior | None) -> Answer:
    from restore.driver import Settings
    from restore.runs.meters import Meter

    if prior is None:
        raise BadInput(f"peer {item.solver!r} was given no prior")
    meter = Meter(prior, autocast=Settings(**item.settings).autocast)  # in the precision of our own solvers
    method = peers.SOLVERS.load(item.solver)
    # A toolkit takes seconds to import; that is no part of what its method costs.
    importlib.import_module(method.__module__).ready()
    with torch.no_grad():
        answer = timed(lambda: method(problem, meter.prior, task=item.task, seed=item.seed, **item.parameters))
    return dataclasses.replace(answer, nfe=meter.nfe, backward=meter.backward_passes, network_seconds=meter.seconds)
