"""Problems whose posterior is known: GaussianPrior and mixture priors under linear operators, 8 x 8 pixels.

A sampler's draws are compared with the exact posterior: its mean, covariance, the coverage of its intervals and the
sliced Wasserstein distance to exact draws. Draws from the prior are the baseline that ignores y; draws from the exact
posterior are the reference, the best that so many draws can do.
"""

from __future__ import annotations

import dataclasses
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

import operators
from operators import NoiseSource
from operators.common.errors import BadInput
from operators.common.registry import unknown_name
from operators.noise import Gaussian as GaussianNoise
from priors.analytic.gaussian import GaussianPrior
from priors.analytic.gaussian_mixture import GaussianMixture
from priors.analytic.posterior import Posterior
from priors.base import DiffusionPrior
from restore import solvers
from restore.metrics import Score
from restore.problem import Problem

from ..records.item import BASELINE, REFERENCE, Item
from ..records.versions import code_version
from ..suites import Part
from . import methods, oracle_scores
from .methods import Answer, Method, Watch
from .planning import Context

VERSION = 1
SIDE = 8
SHAPE = (1, SIDE, SIDE)
LENGTH = 1.5  # pixels, of the Gaussian covariance
METRICS = {
    "mean-error": "mean-error[posterior-std]",
    "covariance-error": "covariance-error[relative]",
    "sliced-wasserstein": "sliced-wasserstein[posterior-std]",
    "coverage-50": "coverage[50]",
    "coverage-90": "coverage[90]",
}
_open: OrderedDict[str, Oracle] = OrderedDict()
_KEPT = 4


@dataclass(frozen=True)
class OracleSetting:
    """A measurement: registry name and parameters of the operator, and the noise's standard deviation."""

    operator: str
    parameters: Mapping[str, Any]
    sigma: float


SETTINGS = {
    "denoise": OracleSetting("identity", {}, 0.3),
    "blur": OracleSetting("blur", {"kernel": "gaussian", "size": 5, "sigma": 1.0}, 0.05),
    "half": OracleSetting("mask", {"kind": "random", "missing": 0.5}, 0.05),
    "pool": OracleSetting("downsample", {"factor": 2, "filter": "area"}, 0.05),
}


@dataclass(frozen=True)
class Oracle:
    """One measurement (B = 1), its prior and its exact posterior."""

    name: str
    problem: Problem
    prior: DiffusionPrior
    posterior: Posterior

    @classmethod
    def plan(cls, part: Part, context: Context) -> Iterator[Item]:
        """Every task, measurement, seed and method; the measurements stand where pictures stand elsewhere."""
        for task in part.tasks:
            split(task)
            methods = [
                ("prior draws (baseline)", Method(BASELINE, "prior-draws", {}, "", (__name__,))),
                ("exact draws", Method(REFERENCE, "exact-draws", {}, "", (__name__,))),
                *(_method(label, context) for label in part.solvers),
            ]
            for number in range(min(filter(None, (part.images or 8, context.limit)))):
                for seed in range(part.seeds):
                    for label, method in methods:
                        yield _item(task, f"y{number}", part, context, label, method, seed)

    @classmethod
    def open(cls, item: Item) -> Oracle:
        """The measurement of an item."""
        if item.problem not in _open:
            _open[item.problem] = pose(item.task, item.image)
            while len(_open) > _KEPT:
                _open.popitem(last=False)
        return _open[item.problem]

    @classmethod
    def forget(cls, item: Item) -> None:
        """Drop the measurement of an item: a method has changed it."""
        _open.pop(item.problem, None)

    def answer(self, item: Item, watch: Watch | None = None) -> Answer:
        """All draws at once: they are a batch of chains on one measurement, each with randomness of its own."""
        ids = tuple(f"{self.problem.image_ids[0]} draw {k}" for k in range(item.samples))
        source = NoiseSource(item.seed, [self.problem.image_ids[0]])
        if item.role in (BASELINE, REFERENCE):
            began = time.perf_counter()
            if item.role == REFERENCE:
                draws = self.posterior.sample(item.samples, source)
            else:
                draws = known_prior(self.name).sample(item.samples, NoiseSource(item.seed, ids))[:, None]
            return Answer(draws.mean(0), draws, seconds=time.perf_counter() - began)
        chains = dataclasses.replace(
            self.problem,
            y=self.problem.y.expand(item.samples, *self.problem.y.shape[1:]).clone(),
            truth=None,
            image_ids=ids,
        )
        answer = methods.answer(item, chains, self.prior, samples=1, watch=watch)
        draws = answer.estimate[:, None]
        return dataclasses.replace(answer, estimate=draws.mean(0), samples=draws)

    def scores(self, answer: Answer, names: Mapping[str, str]) -> dict[str, Score]:
        """Scores by short name, over the exact posterior of this measurement."""
        source = NoiseSource(2**40 + 1, self.problem.image_ids)  # no run has this seed
        exact = self.posterior.sample(max(len(answer.samples), 100), source)[:, 0]
        values = oracle_scores.scores(answer.samples[:, 0], self.posterior, exact)
        return {key: Score(name, *values[name]) for key, name in names.items()}

    def presented(self, answer: Answer) -> tuple[Tensor, Tensor, Tensor]:
        """Estimate, draws, truth: a prior without units needs no conversion."""
        if self.problem.truth is None:
            raise BadInput("no truth to score against")
        return answer.estimate, answer.samples, self.problem.truth

    def restored(self, kept: Answer) -> Answer:
        """The inverse of `presented`."""
        return kept

    def arrays(self) -> dict[str, Tensor]:
        """The truth and the exact posterior mean, to look at."""
        truth = self.problem.truth
        return {"truth": self.posterior.mean[0] if truth is None else truth[0], "exact mean": self.posterior.mean[0]}


def split(task: str) -> tuple[str, str]:
    """Prior and setting of a name, "gaussian-blur" -> ("gaussian", "blur"); BadInput for another."""
    prior, _, setting = task.partition("-")
    if prior not in ("gaussian", "mixture") or setting not in SETTINGS:
        tasks = [f"{p}-{s}" for p in ("gaussian", "mixture") for s in SETTINGS]
        raise unknown_name("oracle task", task, dict.fromkeys(tasks))
    return prior, setting


def pose(task: str, image: str) -> Oracle:
    """The measurement `image` ("y0", "y1", ...) of a task: a draw of the prior, measured, noise from its own name."""
    name, setting = split(task)
    physics = SETTINGS[setting]
    prior = known_prior(name)
    operator = operators.build(physics.operator, SHAPE, **physics.parameters)
    names = (f"{task} {image}",)
    source = NoiseSource(0, names)
    truth = prior.sample(1, source)
    clean = operator(truth)
    y = clean + physics.sigma * source.normal("noise", clean)
    if operator.observed is not None:
        y = torch.where(operator.observed, y, torch.zeros_like(y))
    problem = Problem(y, operator, GaussianNoise(sigma=physics.sigma), truth=truth, image_ids=names)
    return Oracle(name, problem, prior, prior.posterior(problem))


@lru_cache(maxsize=2)
def known_prior(name: str) -> Any:
    """The prior of a name: smooth Gaussian pictures, or four patterns with a little noise around each."""
    where = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).double()
    if name == "gaussian":
        covariance = 0.25 * torch.exp(-(torch.cdist(where, where) ** 2) / (2 * LENGTH**2))
        prior: DiffusionPrior = GaussianPrior(
            torch.full(SHAPE, 0.1, dtype=torch.float64),
            covariance=covariance + 0.01 * torch.eye(SIDE**2, dtype=torch.float64),
        )
    else:
        row, column = where[:, 0] - 3.5, where[:, 1] - 3.5
        patterns = torch.stack([torch.sign(row), torch.sign(column), torch.sign(row * column), -torch.sign(row)])
        prior = GaussianMixture(
            0.5 * patterns.reshape(4, *SHAPE), torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64), std=0.25
        )
    prior.name = f"oracle-{name}"
    return prior


def _method(label: str, context: Context) -> tuple[str, Method]:
    entry = dict(context.solvers.get(label, {"name": label}))
    name = entry.pop("name")
    if ":" in name:
        return label, methods.by_path(name, entry, "analytic")
    return label, methods.describe(name, solvers.build(name, **entry), "analytic")


def _item(task: str, image: str, part: Part, context: Context, label: str, method: Method, seed: int) -> Item:
    name, setting = split(task)
    measurement = SETTINGS[setting]
    physics = {
        "operator": {"name": measurement.operator, **measurement.parameters},
        "noise": {"sigma": measurement.sigma},
        "prior": name,
    }
    settings = {"dtype": "float64", "device": "cpu"}
    identity = {
        "task": [task, VERSION],
        "physics": physics,
        "image": image,
        "method": [method.role, method.solver, dict(method.parameters)],
        "prior": [f"oracle-{name}", f"oracle-{name}-{VERSION}"],
        "samples": part.samples,
        "seed": seed,
        "settings": settings,
        "code": code_version(
            (
                *method.modules,
                "priors.analytic.posterior",
                "priors.analytic.gaussian",
                "priors.analytic.gaussian_mixture",
                __name__,
            )
        ),
    }
    return Item(
        kind="oracle",
        task=task,
        data_set="",
        image=image,
        image_sha256="",
        method=label,
        role=method.role,
        solver=method.solver,
        parameters=method.parameters,
        prior=f"oracle-{name}",
        samples=part.samples,
        seed=seed,
        where={},
        identity=identity,
        metrics=METRICS,
        settings=settings,
        timeout=context.timeout,
        keep=context.keep_all,
    )


__all__ = ["METRICS", "Oracle", "known_prior", "pose", "split"]
