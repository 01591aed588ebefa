"""`solve`: runs any solver on any problem. Units, seeds, devices, tiling, timing and counts are kept here."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import torch

from operators import DeviceNoise, NoiseSource
from operators.common.randomness import check_seed
from operators.common.registry import plain
from operators.common.settings import Checked, Count, Range, Steps, check
from operators.core.operator import Operator
from priors.base import Prior
from priors.diffusion.wrapped import Denoiser
from priors.training.loop import fast_bfloat16

from .problem import Problem
from .reconstruction import Reconstruction, Seconds
from .runs.choosing import choose
from .runs.determinism import repeatable
from .runs.fitting import Progress, Sources, fit, learns
from .runs.matching import Match, as_prior, check_fit, choose_prior, in_pictures, match
from .runs.pieces import most_entries
from .runs.sampling import Drawing, Drawn, Finished, Interrupted
from .runs.trust import warn_of_simulated_maps, warn_of_wrong_adjoint
from .solvers import Solver, State, solver_name

__all__ = ["Finished", "Interrupted", "Settings", "solve"]

RECORDED_ENVIRONMENT = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG")


@dataclasses.dataclass(frozen=True)
class Settings(Checked):
    """How a run is carried out, apart from the method.

    dtype "auto" is bfloat16 inside the network where the processor has it, else float32. tile None is TILE above
    TILE_ABOVE pixels. A GPU is slower where all must repeat bit by bit. batch None is as many draws, each of one
    picture and one sample, as make up a picture of 512 x 512 pixels (2048 x 2048 on a GPU), and at least one.
    """

    device: Annotated[str, "cpu, cuda, cuda:1, mps"] = "cpu"
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float64"], "precision inside the network"] = "auto"
    noise: Annotated[Literal["cpu", "device"], "where noise is drawn: the same everywhere, or faster"] = "cpu"
    tile: Annotated[
        Literal[0] | Annotated[int, Range(64)] | None, "side of the tiles in which the prior is called; 0: never"
    ] = None
    deterministic: Annotated[bool, "only algorithms that repeat bit by bit, no TF32"] = False
    batch: Annotated[Count | None, "draws that run together at most; 1: one after another"] = None

    @property
    def autocast(self) -> bool:
        """Whether networks are bfloat16 inside."""
        return self.dtype == "bfloat16" or (self.dtype == "auto" and fast_bfloat16(self.device))


def solve(
    problem: Problem,
    prior: Prior | str | Denoiser | None = None,
    solver: Solver | str | None = None,
    *,
    samples: int = 1,
    seed: int = 0,
    settings: Settings | None = None,
    watch: Callable[[int, State, int], None] | None = None,
    watch_fit: Progress | None = None,
    fitted: Callable[[Prior], None] | None = None,
    finished: Finished | None = None,
    keep: Callable[[Finished], None] | None = None,
) -> Reconstruction:
    """Estimate the picture behind a measurement.

    problem: in the picture's units. solver: by name, with the settings tuned for the problem's task (its own defaults
    where no task made the problem, or none were tuned); a Solver, such as DiffPIR(steps=20), which means what it says;
    None is the task's own, and diffpir where no task made the problem. `provenance["settings_from"]` tells which.
    prior: a prior or its name, or a denoiser of pictures in [0, 1] that `priors.wrap` takes without further words; None
    is the one that the task names for that solver, else one that learns from the measurement where the solver takes
    such, else "natural".
    samples: independent posterior samples, at least 1; the estimate is their mean.
    seed: 0 to 2^63 - 1; sample s of image k depends on seed, s and k alone.
    watch: called with (sample, state, total states) at every step; the state is that of a batch of draws (entry
    s * B + k: the s-th sample of the batch, picture k), and sample is the first of them, as many as are done already.
    watch_fit: called with (network calls done, of how many) while the prior learns from the measurement, if it does.
    fitted: called with the prior once it has learned; not where it had nothing to learn.
    finished: what an earlier, interrupted run had done; of an interrupted run whole batches are kept.
    keep: called with the samples that are done, after every batch but the last: what a kill would otherwise cost.

    Raises BadInput or BadType before any work where problem, prior and solver do not fit, Diverged where the iteration
    leaves the finite numbers, and Interrupted (with the finished samples) on Ctrl-C.
    """
    settings = settings if settings is not None else Settings()
    choice = choose(problem, None if prior is None else as_prior(prior), solver)
    method = choice.solver
    check("samples", samples, Steps)
    check_seed(seed)
    chosen_prior = choose_prior(choice.prior, method, problem)
    problem, space = in_pictures(problem)
    check_fit(problem, method, space if chosen_prior is None else space @ chosen_prior.space)
    warn_of_wrong_adjoint(problem.operator)
    warn_of_simulated_maps(problem)
    began = time.perf_counter()
    with _plain_context(), repeatable(settings.deterministic):
        told = problem.for_prior() if method.needs_prior else problem
        placed = _ordinary(told).to(torch.device(settings.device))
        sources = _sources(settings, seed)
        trained = None
        if chosen_prior is not None:
            try:
                ready = chosen_prior.to(settings.device)
                trained = fit(ready, placed.posed(space), sources, seed=seed, watch=watch_fit)
            except KeyboardInterrupt:
                raise Interrupted(finished) from None
            if fitted is not None and learns(ready):
                fitted(trained.prior)
        matched = match(
            placed,
            trained,
            method,
            space=space,
            device=settings.device,
            autocast=settings.autocast,
            tile=settings.tile,
        )
        fitting = most_entries(placed, torch.device(settings.device), width=method.width)
        most = fitting if settings.batch is None else settings.batch
        drawing = Drawing(method, matched, sources, samples=samples, most=most, watch=watch, keep=keep)
        drawn = drawing.run(finished)
        samples_drawn = within(problem.operator, drawn.samples)
    timing = Seconds(
        total=time.perf_counter() - began, network=matched.seconds, noise=drawn.noise_seconds, fit=matched.fit_seconds
    )
    return Reconstruction(
        estimate=samples_drawn.mean(0),
        samples=samples_drawn,
        std=samples_drawn.std(0) if samples > 1 else None,
        trace=drawn.trace,
        nfe=drawn.calls,
        timing=timing,
        provenance={**_provenance(problem, method, matched, settings, seed, drawn), "settings_from": choice.origin},
        problem=problem,
    )


def within(operator: Operator, x: torch.Tensor) -> torch.Tensor:
    """Pictures (... x input_shape) with 0 where the operator says that there is nothing (`Operator.support`).

    Where no coil sees anything, y says nothing of x, and what stands there would be the solver's invention.
    """
    support = operator.support
    return x if support is None else torch.where(support.to(x.device), x, torch.zeros_like(x))


def _ordinary(problem: Problem) -> Problem:
    """A measurement made in inference mode cannot enter a gradient; its copy can."""
    return dataclasses.replace(problem, y=problem.y.clone()) if problem.y.is_inference() else problem


def _sources(settings: Settings, seed: int) -> Sources:
    # Sample 0 of the posterior and the measurement share a seed and an image; their streams have different names.
    if settings.noise == "device":
        return lambda images, samples: DeviceNoise(seed, images, sample=samples, device=settings.device)
    return lambda images, samples: NoiseSource(seed, images, sample=samples, prefetch=True)


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


def _level_told(problem: Problem, method: Solver) -> float | None:
    """The white noise that a solver with a prior was told in place of the noise's own; None for one without."""
    return problem.prior_level if method.needs_prior else None


def _provenance(
    problem: Problem,
    method: Solver,
    matched: Match,
    settings: Settings,
    seed: int,
    drawn: Drawn,
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
        **({} if problem.prior_level is None else {"noise_level_of_prior": _level_told(problem, method)}),
        "gaussian_stand_in": bool(method.needs_gaussian) and problem.gaussian() is not problem,
        "settings": dataclasses.asdict(settings),
        "tf32": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
        **matched.record(),
        "backward_passes": drawn.backward_passes,
        "batch": drawn.most,
        **({} if drawn.shrunk_to is None else {"batch_after_out_of_memory": drawn.shrunk_to}),
        "seed": seed,
        "samples": len(drawn.samples),
        "image_ids": list(problem.image_ids),
    }
