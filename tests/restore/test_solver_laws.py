"""Laws that every solver of the table keeps; a new one is tested by being in the table."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from operators import BadType, Identity
from operators.common.described import describe
from operators.common.randomness import NoiseSource
from operators.core.base import LinearOperator, Operator
from operators.noise import Gaussian as GaussianNoise
from operators.optics.phase_retrieval import PhaseRetrieval
from priors import residual
from priors.analytic.gaussian import GaussianPrior
from priors.base import Prior
from priors.discrete.chain import TokenChain
from priors.residual.analytic import GaussianPair
from priors.selfsupervised.prior import SelfSupervisedPrior
from restore import solvers
from restore.problem import Problem
from restore.solvers import Solver, State
from restore.solvers.base import Mean

SHAPE = (3, 8, 9)  # oblong, and an odd side
CARDS = Path(__file__).parents[2] / "docs" / "cards" / "solvers"
QUICK = 5  # steps and inner iterations, where a solver has them
SMALL = {"trial_steps": 1, "masks": 2, "width": 4, "window": 8}  # of solvers that train a network
PROCESSES = {"resshift": {"steps": 15, "min_noise_level": 0.04}}  # the defaults have fewer times than QUICK

every_solver = pytest.mark.parametrize("name", solvers.REGISTRY)


class Smear(LinearOperator):
    """Every pixel averaged with its right neighbour (cyclic), then kept where `keep`; CG serves as `solve`."""

    def __init__(self, keep: Tensor) -> None:
        super().__init__(SHAPE, SHAPE)
        self.register_buffer("keep", keep)

    def _forward(self, x: Tensor) -> Tensor:
        return self.keep.to(x) * (x + x.roll(-1, -1)) / 2

    def _adjoint(self, y: Tensor) -> Tensor:
        kept = self.keep.to(y) * y
        return (kept + kept.roll(1, -1)) / 2

    @property
    def observed(self) -> Tensor:
        return self.keep


def _prior() -> GaussianPrior:
    rows, columns = (torch.fft.fftfreq(n, dtype=torch.float64) for n in SHAPE[1:])
    power = 0.3 / (0.02 + rows[:, None] ** 2 + columns**2) / 10
    return GaussianPrior(
        torch.full(SHAPE, 0.1, dtype=torch.float64), spectrum=power.expand(SHAPE), native_clip=(-2.0, 2.0)
    )


def _tokens() -> TokenChain:
    """Patches of 4 x 4 pixels, the last ones over the border, each of a level and one of two slopes."""
    values = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    ramp = torch.linspace(-0.1, 0.1, 4, dtype=torch.float64)
    basis = torch.stack([torch.full((3, 4, 4), 0.4, dtype=torch.float64), ramp.expand(3, 4, 4)])
    transition = torch.softmax(-((torch.arange(9)[:, None] - torch.arange(9)).double() ** 2) / 8, dim=1)
    first = torch.full((9,), 1 / 9, dtype=torch.float64)
    return TokenChain((2, 3), first, transition, torch.cartesian_prod(values, values), basis, native_clip=(-2.0, 2.0))


def _prior_for(solver: Solver, problem: Problem) -> Prior | None:
    """What the solver takes: nothing, the prior of the pictures, tokens, or what a process knows of picture and y."""
    if not solver.needs_prior:
        return None
    if solver.kind_taken() == "diffusion":
        return _prior()
    if issubclass(solver.prior_kind, SelfSupervisedPrior):
        return _learned(solver.prior_kind)
    if solver.kind_taken() == "masked":
        return _tokens()
    process = residual.build(solver.kind_taken(), **PROCESSES.get(solver.kind_taken(), {}))
    return GaussianPair.measured(process, _prior(), problem.linear, sigma=problem.sigma)


@functools.cache
def _learned(kind: type[SelfSupervisedPrior]) -> Prior:
    """A network after two steps on pictures that no law uses."""
    y = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(5))
    problem = Problem(y, Identity(SHAPE), GaussianNoise(sigma=0.1))
    prior = kind(steps=2, batch=1, crop=8, width=4)
    return prior.fit(problem, NoiseSource(0, problem.image_ids), lambda *_: None).eval()


def _problem(name: str, count: int, *, sigma: float = 0.1, dtype: torch.dtype = torch.float32) -> Problem:
    """A problem that suits the solver: lost phases where it does nothing else, a masked smear for all others."""
    ids = tuple(f"picture {k}" for k in range(count))
    source = NoiseSource(7, ids)
    operator = _operator(name, torch.from_numpy(np.random.default_rng(1).random(SHAPE[1:]) < 0.7))
    clean = operator(_prior().sample(count, source))
    y = clean + sigma * source.normal("noise", clean)
    y = y if operator.observed is None else operator.observed * y
    return Problem(y.to(dtype), operator, GaussianNoise(sigma=sigma), image_ids=ids)


def _operator(name: str, keep: Tensor) -> Operator:
    solver = solvers.REGISTRY.load(name)
    if solver.needs_identity:
        return Identity(SHAPE)
    return PhaseRetrieval(SHAPE) if solver.needs_modulus else Smear(keep)


def _build(name: str, **settings: Any) -> Solver:
    known = _settings(name)
    quick = {key: QUICK for key in ("steps", "inner_steps", "iterations") if key in known}
    quick |= {key: value for key, value in SMALL.items() if key in known}
    return solvers.build(name, **quick | settings)


def _settings(name: str) -> dict[str, dataclasses.Field]:
    """A solver's settings by name; a closed form has none."""
    return {field.name: field for field in dataclasses.fields(solvers.REGISTRY.load(name))}


def _states(solver: Solver, problem: Problem, *, seed: int = 0, device: str = "cpu") -> list[State]:
    prior = _prior_for(solver, problem)
    prior = prior if prior is None else prior.to(device)
    return list(solver.iterate(problem.to(device), prior, NoiseSource(seed, problem.image_ids)))


@every_solver
@pytest.mark.parametrize("sigma", [0.1, 0.0])
def test_states_are_finite_and_shaped_like_the_picture(name, sigma, device):
    solver, problem = _build(name), _problem(name, 2, sigma=sigma)
    states = _states(solver, problem, device=device)
    assert 1 <= len(states) <= solver.total
    for state in states:
        for part in (state.x, state.x0, state.estimate):
            assert part.shape == (2, *SHAPE)
            assert (part.dtype, part.device.type) == (problem.y.dtype, device)
            assert bool(torch.isfinite(part).all())
            assert not part.requires_grad
        assert all(np.isfinite(v) for v in state.info.values())
    assert [s.step for s in states] == sorted({s.step for s in states})


@every_solver
def test_one_step_is_legal(name):
    one = {"steps": 1} if "steps" in _settings(name) else {}
    states = _states(_build(name, **one), _problem(name, 1))
    assert len(states) == 1
    assert bool(torch.isfinite(states[-1].estimate).all())


@every_solver
def test_same_seed_gives_the_same_bits(name):
    solver, problem = _build(name), _problem(name, 2)
    first, second = (_states(solver, problem)[-1].estimate for _ in range(2))
    assert torch.equal(first, second)


@every_solver
def test_a_picture_does_not_depend_on_its_neighbours(name, device):
    """1e-5 relative to values of about one: single precision over a few dozen operations."""
    solver, problem = _build(name), _problem(name, 2)
    together = _states(solver, problem, device=device)[-1].estimate
    for k in range(2):
        alone = dataclasses.replace(problem, y=problem.y[k : k + 1], image_ids=problem.image_ids[k : k + 1])
        estimate = _states(solver, alone, device=device)[-1].estimate
        torch.testing.assert_close(estimate, together[k : k + 1], rtol=1e-5, atol=1e-5)


@every_solver
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_a_sample_does_not_depend_on_the_samples_beside_it(name, dtype, tolerance):
    """The state of an iteration must not mix the entries of its batch: line searches, stopping, histories, means."""
    solver, problem, samples = _build(name), _problem(name, 2, dtype=dtype), 3
    if solver.joint:
        pytest.skip("the samples of this solver are drawn together")
    many = problem.repeated(samples)
    source = NoiseSource(0, many.image_ids, sample=[s for s in range(samples) for _ in range(2)])
    states = list(solver.iterate(many, _prior_for(solver, problem), source))
    for k, together in enumerate(many.by_picture(states[-1].estimate)):
        source = NoiseSource(0, problem.image_ids, sample=k)
        alone = list(solver.iterate(problem, _prior_for(solver, problem), source))
        assert [state.step for state in alone] == [state.step for state in states]
        assert float((together - alone[-1].estimate).norm() / alone[-1].estimate.norm()) <= tolerance
        for of_many, of_one in zip(states, alone, strict=True) if k == 0 else ():
            for key, value in of_one.info.items():  # what the trace shows of the first sample
                first = of_many.info[key]
                assert (first.of(2) if isinstance(first, Mean) else first) == pytest.approx(value, rel=1e-4)


@every_solver
def test_global_random_state_is_neither_used_nor_changed(name):
    solver, problem = _build(name), _problem(name, 1)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the legacy state is what must stay untouched
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = _states(solver, problem)[-1].estimate
    assert torch.equal(torch.get_rng_state(), before[0])
    assert bool((np.random.get_state()[1] == before[1]).all())  # noqa: NPY002
    torch.manual_seed(2)
    assert torch.equal(_states(solver, problem)[-1].estimate, first)


@every_solver
def test_it_draws_where_it_says_so_and_nowhere_else(name):
    solver, problem = _build(name), _problem(name, 1)
    one, two = (_states(solver, problem, seed=seed)[-1].estimate for seed in (0, 1))
    assert torch.equal(one, two) != solver.draws


@every_solver
def test_the_problem_is_left_as_it_was(name):
    problem = _problem(name, 1)
    y, kept = problem.y.clone(), {key: value.clone() for key, value in problem.operator.named_buffers()}
    _states(_build(name), problem)
    assert torch.equal(problem.y, y)
    now = dict(problem.operator.named_buffers())
    assert all(torch.equal(now[key], value) for key, value in kept.items())


@every_solver
def test_double_precision_agrees_with_single_precision_of_any_device(name, device):
    """Half a percent of the value range: thresholds and searches may take another branch, gross errors may not pass."""
    single = _states(_build(name), _problem(name, 1), device=device)[-1].estimate.cpu()
    double = _states(_build(name), _problem(name, 1, dtype=torch.float64))[-1].estimate
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=0, atol=5e-3)


@every_solver
def test_settings_cannot_be_changed(name):
    solver = _build(name)
    for field in [*_settings(name), "new"]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(solver, field, 1)


@every_solver
def test_text_for_a_number_is_refused_by_its_name(name):
    rows = describe(solvers.REGISTRY.load(name))
    numbers = [row.name for row in rows if row.type.partition(" or ")[0] in ("whole number", "number")]
    assert numbers or not rows
    for key in numbers:
        for value in ("text", True):
            with pytest.raises(BadType, match=key):
                solvers.build(name, **{key: value})


@every_solver
def test_it_has_a_card(name):
    assert (CARDS / f"{name}.md").read_text("utf-8").startswith(f"# {name}")


@every_solver
def test_unknown_settings_are_refused_with_a_suggestion(name):
    with pytest.raises(BadType, match="step" if _settings(name) else "nothing"):
        solvers.build(name, stepps=3)


@every_solver
def test_impossible_step_counts_are_refused(name):
    if "steps" not in {f.name for f in dataclasses.fields(solvers.REGISTRY.load(name))}:
        pytest.skip("this solver has no steps")
    with pytest.raises(ValueError, match="steps is 0"):
        solvers.build(name, steps=0)


@every_solver
def test_presets_are_legal(name):
    for preset in solvers.REGISTRY.load(name).presets:
        solvers.build(name, preset=preset)


@every_solver
def test_a_solver_that_needs_a_prior_says_so(name):
    solver = _build(name)
    if not solver.needs_prior:
        pytest.skip("this solver uses no prior")
    with pytest.raises(ValueError, match="no prior"):
        next(solver.iterate(_problem(name, 1), None, NoiseSource(0, ["a"])))


@every_solver
def test_nothing_observed_gives_a_finite_picture(name):
    problem = _problem(name, 1)
    operator = _operator(name, torch.zeros(SHAPE[1:], dtype=torch.bool))
    blank = Problem(torch.zeros_like(problem.y), operator, GaussianNoise(sigma=0.1))
    assert bool(torch.isfinite(_states(_build(name), blank)[-1].estimate).all())
