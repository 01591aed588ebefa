"""`solve`: runs any solver on any problem. Units, seeds, devices, tiling, timing and counts are kept here."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from operators import BadInput, BadType, DeviceNoise, Diverged, NoiseSource
from operators.common.randomness import Noise, check_seed
from operators.common.registry import plain
from operators.common.settings import Checked, Count, Range, check
from priors.base import Prior
from priors.training.loop import fast_bfloat16

from . import solvers
from .problem import Problem
from .reconstruction import Reconstruction, Seconds
from .runs.determinism import repeatable
from .runs.matching import Match, check_fit, choose_prior, in_pictures, match
from .runs.meters import MeteredNoise
from .runs.trust import warn_of_wrong_adjoint
from .solvers import Solver, State, solver_name

RECORDED_ENVIRONMENT = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG")


@dataclasses.dataclass(frozen=True)
class Finished:
    """What an interrupted run had done: samples (n x B x C x H x W) and the trace of the first."""

    samples: Tensor
    trace: tuple[Mapping[str, float], ...] = ()


class Interrupted(KeyboardInterrupt):
    """The run was stopped by the user; `finished` holds the samples that were done, None where there are none."""

    def __init__(self, finished: Finished | None) -> None:
        super().__init__("interrupted")
        self.finished = finished


@dataclasses.dataclass(frozen=True)
class Settings(Checked):
    """How a run is carried out, apart from the method.

    dtype "auto" is bfloat16 inside the network where the processor has it, else float32. tile None is TILE above
    TILE_ABOVE pixels. A GPU is slower where all must repeat bit by bit.
    """

    device: Annotated[str, "cpu, cuda, cuda:1, mps"] = "cpu"
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float64"], "precision inside the network"] = "auto"
    noise: Annotated[Literal["cpu", "device"], "where noise is drawn: the same everywhere, or faster"] = "cpu"
    tile: Annotated[
        Literal[0] | Annotated[int, Range(64)] | None, "side of the tiles in which the prior is called; 0: never"
    ] = None
    deterministic: Annotated[bool, "only algorithms that repeat bit by bit, no TF32"] = False

    @property
    def autocast(self) -> bool:
        """Whether networks are bfloat16 inside."""
        return self.dtype == "bfloat16" or (self.dtype == "auto" and fast_bfloat16(self.device))


def solve(
    problem: Problem,
    prior: Prior | str | None = None,
    solver: Solver | str = "diffpir",
    *,
    samples: int = 1,
    seed: int = 0,
    settings: Settings | None = None,
    watch: Callable[[int, State, int], None] | None = None,
    finished: Finished | None = None,
) -> Reconstruction:
    """Estimate the picture behind a measurement.

    problem: in the picture's units. prior: a prior or its name; None is "natural" where the solver needs a
    diffusion prior.
    solver: a solver or its name. samples: independent posterior samples, at least 1; the estimate is their mean.
    seed: 0 to 2^63 - 1; sample s of image k depends on seed, s and k alone.
    watch: called with (sample, state, total states) at every step. finished: what an earlier, interrupted run had done.

    Raises BadInput or BadType before any work where problem, prior and solver do not fit, Diverged where the iteration
    leaves the finite numbers, and Interrupted (with the finished samples) on Ctrl-C.
    """
    chosen = settings if settings is not None else Settings()
    method = solvers.build(solver) if isinstance(solver, str) else solver
    if not isinstance(method, Solver):
        given = f"the class {method.__name__}" if isinstance(method, type) else type(method).__name__
        raise BadType(f"solver is {given}", wanted="the name of a solver, or a Solver such as Tikhonov()")
    check("samples", samples, Count)
    check_seed(seed)
    chosen_prior = choose_prior(prior, method, problem)
    problem, space = in_pictures(problem)
    check_fit(problem, method, space if chosen_prior is None else space @ chosen_prior.space)
    warn_of_wrong_adjoint(problem.operator)
    began = time.perf_counter()
    with _plain_context(), repeatable(chosen.deterministic):
        placed = _ordinary(problem).to(torch.device(chosen.device))
        matched = match(
            placed,
            chosen_prior,
            method,
            space=space,
            device=chosen.device,
            autocast=chosen.autocast,
            tile=chosen.tile,
        )
        done = [] if finished is None else list(finished.samples[:samples])
        trace: list[Mapping[str, float]] = [] if finished is None else list(finished.trace)
        noise_seconds = 0.0
        try:
            for sample in range(len(done), samples):
                source = _noise(chosen, seed, problem.image_ids, sample)
                timed = MeteredNoise(source)
                estimate = _run(method, matched, timed, sample, trace if sample == 0 else None, watch)
                noise_seconds += timed.seconds
                done.append(matched.to_picture(estimate))
        except KeyboardInterrupt:
            raise Interrupted(Finished(torch.stack(done), tuple(trace)) if done else None) from None
        stacked = torch.stack(done)
    fresh = samples - (0 if finished is None else min(len(finished.samples), samples))
    timing = Seconds(total=time.perf_counter() - began, network=matched.seconds, noise=noise_seconds)
    return Reconstruction(
        estimate=stacked.mean(0),
        samples=stacked,
        std=stacked.std(0) if samples > 1 else None,
        trace=tuple(trace),
        nfe=0 if fresh == 0 else matched.calls // fresh,
        timing=timing,
        provenance=_provenance(problem, method, matched, chosen, seed, samples),
        problem=problem,
    )


def _ordinary(problem: Problem) -> Problem:
    """A measurement made in inference mode cannot enter a gradient; its copy can."""
    return dataclasses.replace(problem, y=problem.y.clone()) if problem.y.is_inference() else problem


def _noise(settings: Settings, seed: int, images: Sequence[str], sample: int) -> Noise:
    # Sample 0 of the posterior and the measurement share a seed and an image; their streams have different names.
    if settings.noise == "device":
        return DeviceNoise(seed, images, sample=sample, device=settings.device)
    return NoiseSource(seed, images, sample=sample, prefetch=True)


def _run(
    method: Solver,
    matched: Match,
    noise: MeteredNoise,
    sample: int,
    trace: list[Mapping[str, float]] | None,
    watch: Callable[[int, State, int], None] | None,
) -> Tensor:
    """Drive the generator to its end and return the last estimate, in native units."""
    gradients = torch.enable_grad() if method.differentiates else torch.inference_mode()
    state = None
    try:
        with gradients:
            for state in method.iterate(matched.posed, matched.native, noise):
                # Whatever is not finite reaches the sum, at a tenth of the cost of looking at every value.
                if not bool(torch.isfinite(state.estimate.sum())):
                    raise _diverged(method, state)
                if trace is not None:
                    trace.append(_row(matched.posed, state))
                    if not math.isfinite(trace[-1]["residual_rms"]):
                        raise _diverged(method, state)
                if watch is not None:
                    watch(sample, state, method.total)
    finally:
        source = noise.source
        if isinstance(source, NoiseSource):
            source.close()
    if state is None:
        raise BadInput(f"{type(method).__name__} yielded no state")
    return state.estimate.detach().clone()


def _diverged(method: Solver, state: State) -> Diverged:
    return Diverged(
        f"{type(method).__name__} left the finite numbers at step {state.step}",
        do="Lower its step size or guidance (--set solver.KEY=VALUE), or check the noise level.",
    )


def _row(posed: Problem, state: State) -> dict[str, float]:
    """One line of the trace, in the picture's units."""
    row: dict[str, float] = {"step": float(state.step)}
    if state.sigma is not None:
        row["sigma"] = posed.scale * float(state.sigma)
    residual = posed.residual(state.estimate.detach())
    row["residual_rms"] = posed.y_scale * float(
        (residual.abs() ** 2).sum().div(max(posed.observed_count * len(residual), 1)).sqrt()
    )
    row.update({k: float(v) for k, v in state.info.items()})
    return row


@contextlib.contextmanager
def _plain_context() -> Iterator[None]:
    """Whatever mode the caller is in (inference, autocast, default device), a solve computes the same numbers."""
    # A default device is a mode that every call of torch passes through: entered where the caller has another one only.
    elsewhere = torch.get_default_device().type != "cpu"
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast("cpu", enabled=False),
        torch.device("cpu") if elsewhere else contextlib.nullcontext(),
    ):
        yield


def _provenance(
    problem: Problem,
    method: Solver,
    matched: Match,
    settings: Settings,
    seed: int,
    samples: int,
) -> dict[str, Any]:
    from . import __version__

    return {
        "restore": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "environment": {k: os.environ[k] for k in RECORDED_ENVIRONMENT if k in os.environ},
        "solver": {"name": solver_name(method), **{k: plain(v) for k, v in dataclasses.asdict(method).items()}},
        "operator": f"{type(problem.operator).__name__}({problem.operator.extra_repr()})",
        "noise": repr(problem.noise),
        "gaussian_stand_in": bool(method.needs_gaussian) and problem.gaussian() is not problem,
        "settings": dataclasses.asdict(settings),
        "tf32": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
        **matched.record(samples),
        "seed": seed,
        "samples": samples,
        "image_ids": list(problem.image_ids),
    }
