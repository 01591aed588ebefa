"""Every setting of every registered part is declared, takes its default, and refuses what it is not, by name.

A part that is added to a table is tested here for nothing. Nothing is built: what is wrong is refused before that.
"""

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import operators
import operators.noise
import restore.driver
import restore.metrics
from benchmarks import suites
from operators.blurring import kernels
from operators.common.described import describe, keyword_parameters
from operators.common.errors import BadInput, BadType
from operators.common.kinds import Items, Number, Open, Plain, Rule, Text, Verdict
from operators.common.settings import rules
from operators.mri import sampling, trajectories
from operators.optics.fienup import Fienup
from priors import residual, schedules
from priors.analytic.gaussian import GaussianPrior
from priors.analytic.gaussian_mixture import GaussianMixture
from priors.base import DiffusionPrior
from priors.diffusion import adapters
from priors.diffusion.adapters import Window
from priors.diffusion.by_level import ByLevel
from priors.diffusion.edm import EDMObjective, EDMPrior
from priors.diffusion.sampling import heun
from priors.residual.network import CompactPrior
from priors.training.loop import TrainingSettings
from priors.training.photographs import Augmentation, CropSource
from priors.training.residual import ResidualObjective
from restore import solvers

REGISTRIES = {
    "operator": operators.REGISTRY,
    "noise": operators.noise.REGISTRY,
    "process": residual.REGISTRY,
    "solver": solvers.REGISTRY,
    "metric": restore.metrics.REGISTRY,
    "adapter": adapters.REGISTRY,
}
OTHERS = [
    *kernels.KERNELS.values(),
    sampling.sampling_mask,
    trajectories.trajectory,
    Fienup,
    schedules.VP,
    schedules.karras_sigmas,
    heun,
    DiffusionPrior,
    GaussianPrior,
    GaussianMixture,
    EDMPrior,
    ByLevel,
    CompactPrior,
    EDMObjective,
    ResidualObjective,
    TrainingSettings,
    Augmentation,
    CropSource,
    suites.Part,
    suites.Suite,
    restore.driver.Settings,
]
REGISTERED = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry]
TARGETS = [REGISTRIES[kind].load(name) for kind, name in REGISTERED] + OTHERS
NAMES = [f"{kind}:{name}" for kind, name in REGISTERED] + [target.__name__ for target in OTHERS]
# What must be given beside the setting in question.
NEEDED: dict[Any, dict[str, Any]] = {
    suites.Part: {"tasks": ("sr4x",), "solvers": ("tv",)},
    suites.Suite: {"name": "mine", "version": 1, "summary": "mine", "parts": ()},
    TrainingSettings: {"steps": 10},
    ResidualObjective: {"process": residual.build("resshift")},
    GaussianMixture: {"std": 1.0},
    ByLevel: {"border": 1.0},
    Window: {"low": 0.0, "high": 1.0},
}

FACTORY = inspect.signature(suites.Suite).parameters["solvers"].default  # what a dataclass shows for one made anew
every_part = pytest.mark.parametrize("target", TARGETS, ids=NAMES)

every_registered = pytest.mark.parametrize(("kind", "name"), REGISTERED, ids=NAMES[: len(REGISTERED)])


def make(target: Callable[..., Any], **settings: Any) -> Any:
    """Construct the part by hand; data arguments are of no use, because settings are looked at before them."""
    data = [None for name in rules(target) if name not in keyword_parameters(target)]
    return target(*data, **{**NEEDED.get(target, {}), **settings})


def outside(number: Number) -> Iterator[float]:
    """Values just beyond the bounds of a range."""
    bounds = number.range
    if bounds.low is not None:
        yield bounds.low - (1 if number.whole else 1e-6 * max(1, abs(bounds.low)))
    if bounds.high is not None:
        yield bounds.high + (1 if number.whole else 1e-6 * max(1, abs(bounds.high)))
    yield from (edge for edge in (bounds.above, bounds.below) if edge is not None)


def wrong(rule: Rule) -> Iterator[Any]:
    """Values that no setting of this rule may take."""
    yield from (math.nan, math.inf, -math.inf, complex(1, 2), b"bytes")
    kinds = list(rule.kinds)
    if not any(isinstance(kind, Text) for kind in kinds):
        yield "no such thing"
    if not any(isinstance(kind, Plain) and bool in kind.classes for kind in kinds):
        yield True
        yield np.bool_(True)
    if not any(isinstance(kind, Plain) and type(None) in kind.classes for kind in kinds):
        yield None
    if not any(isinstance(kind, Number) and not kind.whole for kind in kinds):
        yield from (2.5, np.float32(0.5))
    if not any(isinstance(kind, Items | Open) for kind in kinds):
        yield from ([], (1, 2), object(), np.ones(3), torch.ones(2, 2))
        yield from (torch.tensor(2.5),) if not any(isinstance(kind, Number) for kind in kinds) else ()
    for name in rule.names:
        if isinstance(name, str):
            yield f"{name}e" if f"{name}e" not in rule.names else f"{name}ee"
    for kind in kinds:
        if isinstance(kind, Number) and len(kinds) == len({type(k) for k in kinds}):
            yield from outside(kind)
        if isinstance(kind, Items) and not kind.repeated:
            yield from ([0.5] * (len(kind.rules) + 1), ["a"] * len(kind.rules), [math.nan] * len(kind.rules))


@every_part
def test_every_setting_says_what_it_may_be(target):
    for row in describe(target):
        assert row.type, f"{row.name} takes anything"


@every_registered
def test_every_setting_of_a_registered_part_says_what_it_means(kind, name):
    assert all(row.meaning for row in describe(REGISTRIES[kind].load(name)))


@every_part
def test_every_default_is_allowed(target):
    for name, default in keyword_parameters(target).items():
        if default not in (inspect.Parameter.empty, FACTORY):
            assert rules(target)[name].judge(default) is Verdict.FITS, (name, default)


@every_part
def test_what_a_setting_is_not_is_refused_by_its_name(target):
    for name in keyword_parameters(target):
        for value in wrong(rules(target)[name]):
            with pytest.raises((BadInput, BadType)) as caught:
                make(target, **{name: value})
            assert str(caught.value).startswith(f"{name} is "), f"{name}={value!r}: {caught.value}"


@every_registered
def test_a_part_built_by_name_refuses_the_same_and_says_which_part(kind, name):
    target = REGISTRIES[kind].load(name)
    data = ((3, 8, 8),) if kind == "operator" else ()
    for setting in keyword_parameters(target):
        for value in wrong(rules(target)[setting]):
            with pytest.raises((BadInput, BadType), match=f"(?s){setting} is .* for {kind} '{name}'"):
                REGISTRIES[kind].build(name, *data, **{setting: value})


@every_registered
def test_the_ends_of_a_range_build_or_are_refused_in_words(kind, name):
    target = REGISTRIES[kind].load(name)
    data = ((getattr(target, "channels", None) or 3, *(8,) * target.spatial),) if kind == "operator" else ()
    for setting in keyword_parameters(target):
        for number in (each for each in rules(target)[setting].kinds if isinstance(each, Number)):
            for end in (number.range.low, number.range.high):
                if end is not None:
                    with contextlib.suppress(BadInput, BadType):
                        REGISTRIES[kind].build(name, *data, **{setting: end})


@every_part
def test_a_near_miss_of_a_name_is_answered_with_the_name(target):
    for name in keyword_parameters(target):
        for choice in rules(target)[name].names:
            missed = str(choice)[:-2] + str(choice)[-1]
            if isinstance(choice, str) and len(choice) > 3 and missed not in rules(target)[name].names:
                with pytest.raises(BadInput) as caught:
                    make(target, **{name: missed})
                assert "Did you mean" in str(caught.value), caught.value
