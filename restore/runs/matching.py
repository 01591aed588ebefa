"""What fits what: the prior of a solver, the units it works in, and the way back to the picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

import priors
from operators import BadInput
from operators.common.space import IDENTITY, Affine, Space
from operators.core.base import LinearOperator
from operators.core.identity import Identity
from operators.core.posing import apart, keeps_linear
from operators.optics.modulus import Modulus
from priors.base import DiffusionPrior, Prior
from priors.diffusion.wrapped import wrap
from priors.tiling import side_for, tiled

from .. import solvers
from ..problem import Problem
from ..solvers import Solver, solver_name
from .fitting import Fit
from .meters import Meter

TILE_ABOVE = 1280  # pixels on the longer side of a picture; above it the prior is called in tiles
CLASSICAL = "a classical solver (tikhonov, tv, wavelet)"
TILE = 768  # of a picture; in a volume both are the sides that hold as many numbers


def as_prior(prior: Any) -> Prior | str:
    """A prior or a name as it is, anything that denoises as a prior; BadType for what cannot."""
    return prior if isinstance(prior, str) else wrap(prior)


def choose_prior(prior: Prior | str | None, method: Solver, problem: Problem) -> Prior | None:
    """The prior a solver will use, None where it uses none; BadInput where it fits neither solver nor picture."""
    if not method.needs_prior:
        return None
    # Of solvers whose prior learns from the measurement, the kind names it.
    own = method.usual_prior or getattr(method.prior_kind, "method", "natural")
    prior = priors.load(own if prior is None else prior) if prior is None or isinstance(prior, str) else prior
    if not method.takes(prior):
        raise BadInput(
            f"prior {prior.name or type(prior).__name__!r} is a {prior.kind or type(prior).__name__} prior",
            wanted=f"a {method.kind_taken()} prior for solver {solver_name(method)!r}",
            do=_where_priors_come_from(method, prior),
        )
    if method.differentiates and not prior.differentiable:
        raise BadInput(
            f"{type(method).__name__} takes gradients through the prior and {prior.name!r} gives none",
            do=f"Solvers that ask for none: {', '.join(_without_gradients(prior))}.",
        )
    shape = problem.operator.input_shape
    if len(shape) - 1 != prior.spatial and len(shape) in (3, 4) and not prior.any_axes:
        raise BadInput(
            f"the picture has {len(shape) - 1} axes beside its channels",
            wanted=f"{prior.spatial} for prior {prior.name or type(prior).__name__!r}",
            do=_other_axes(prior),
        )
    if problem.operator.complex_input and prior.channels is not None:
        raise BadInput(
            f"the picture is complex and prior {prior.name!r} is real",
            do=_adapted(prior, "real-imaginary"),
        )
    most = method.prior_channels
    shown = shape[0] if most is None else min(shape[0], most)
    if prior.channels is not None and shown not in prior.channels:
        raise BadInput(
            f"the picture has {shape[0]} channels",
            wanted=f"{' or '.join(map(str, prior.channels))} for prior {prior.name!r}",
            do=_adapted(prior, "bands"),
        )
    return prior


def _without_gradients(prior: Prior) -> list[str]:
    table = {n: solvers.REGISTRY.load(n) for n in solvers.REGISTRY}
    return [n for n, s in table.items() if s.needs_prior and s.takes(prior) and not s.differentiates]


def _other_axes(prior: Prior) -> str:
    return _adapted(prior, "slices", " (slice by slice)") if prior.spatial == 2 else f"Use {CLASSICAL}."


def _adapted(prior: Prior, adapter: str, meaning: str = "") -> str:
    """What helps: an adapter, which diffusion priors of pictures take (others: natural's), or a classical solver."""
    if not isinstance(prior, DiffusionPrior):
        return f"Use {CLASSICAL}."
    name = prior.name if isinstance(prior.space, Affine) else "natural"
    return f"Use --prior {name}:{adapter}{meaning}, or {CLASSICAL}."


def _where_priors_come_from(method: Solver, prior: Prior) -> str:
    table = {n: solvers.REGISTRY.load(n) for n in solvers.REGISTRY}
    fitting = [n for n, s in table.items() if s.needs_prior and s.takes(prior)]
    others = f"Solvers that take {prior.name or 'this prior'}: {', '.join(fitting) or 'none'}."
    if method.process is None:
        return others
    return f"Name one with --prior, or make one: restore train {method.kind_taken()} --task NAME. {others}"


def in_pictures(problem: Problem) -> tuple[Problem, Space]:
    """The problem for the picture, and the space in which it is to be solved.

    That is the picture's own, unless the operator was given as A @ Decode(space): then the picture is what A measures.
    """
    operator, space = apart(problem.operator)
    if space == IDENTITY:
        return problem, IDENTITY
    truth = None if problem.truth is None else space.sized(operator.input_shape).to(problem.truth)
    return replace(problem, operator=operator, truth=truth), space


def check_fit(problem: Problem, method: Solver, space: Space = IDENTITY) -> None:
    """BadInput where the solver cannot take the operator, seen from a space; it names solvers that can."""
    if method.needs_modulus and not isinstance(problem.operator, Modulus):
        raise BadInput(
            f"{type(method).__name__} finds lost phases and {type(problem.operator).__name__} loses none",
            do="Choose another solver (restore solvers lists them).",
        )
    if method.needs_identity and not isinstance(problem.operator, Identity):
        raise BadInput(
            f"{type(method).__name__} denoises and {type(problem.operator).__name__} does more than add noise",
            do="Choose another solver (restore solvers lists them), or a task such as denoise-blind.",
        )
    if method.needs_linear and isinstance(problem.operator, LinearOperator) and not keeps_linear(space):
        raise BadInput(
            f"{type(method).__name__} needs a linear operator, and the decoder of the latents is not",
            do=f"Solvers that fit: {', '.join(_nonlinear(problem))}.",
        )
    if method.needs_linear and not isinstance(problem.operator, LinearOperator):
        raise BadInput(
            f"{type(method).__name__} needs a linear operator and {type(problem.operator).__name__} is not",
            do=f"Solvers that fit: {', '.join(_nonlinear(problem))}.",
        )
    method.check_problem(problem)


def _nonlinear(problem: Problem) -> list[str]:
    """Names of the solvers that take an operator which is not linear."""
    table = {n: solvers.REGISTRY.load(n) for n in solvers.REGISTRY}
    lost = isinstance(problem.operator, Modulus)
    table = {n: s for n, s in table.items() if not s.needs_linear and not s.needs_identity}
    return [n for n, s in table.items() if lost or not s.needs_modulus]


@dataclass(frozen=True)
class Match:
    """A problem and a prior brought together: what a solver is handed, and the way back to the picture.

    posed: the problem in the space the solver works in, on the device. space: that space, seen from the picture.
    fit: the prior and what its training took, meter: the same with its calls counted; None for none.
    """

    posed: Problem
    space: Space
    fit: Fit | None
    meter: Meter | None

    @property
    def native(self) -> Prior | None:
        """What a solver is handed as its prior."""
        return None if self.meter is None else self.meter.prior.native

    @property
    def calls(self) -> int:
        """Forward calls of the prior up to now."""
        return 0 if self.meter is None else self.meter.nfe

    @property
    def backward_passes(self) -> int:
        """Backward passes through the prior up to now."""
        return 0 if self.meter is None else self.meter.backward_passes

    @property
    def seconds(self) -> float:
        """Seconds spent in the prior up to now."""
        return 0.0 if self.meter is None else self.meter.seconds

    @property
    def fit_seconds(self) -> float:
        """Seconds that the prior learned from the measurement in this run."""
        return 0.0 if self.fit is None or self.fit.kept else self.fit.seconds

    def may_tile(self, allowed: bool) -> None:
        """Whether the prior is to be called in tiles where a device runs out of memory."""
        if self.meter is not None:
            self.meter.may_tile = allowed

    def to_picture(self, native: Tensor) -> Tensor:
        """An answer of the solver as a picture in the problem's units, in the host's memory."""
        return self.space.to(native).cpu()

    def record(self) -> dict[str, Any]:
        """What a result's provenance says of its prior."""
        prior, meter = None if self.fit is None else self.fit.prior, self.meter
        tiled = meter is not None and meter.retried_tile is not None
        return {
            "prior": None if prior is None else {"name": prior.name or type(prior).__name__, "sha256": prior.sha256},
            **({} if self.fit is None else self.fit.record()),
            "bfloat16": meter is not None and meter.autocast,
            **({"tiled_after_out_of_memory": meter.retried_tile} if meter is not None and tiled else {}),
        }


def match(
    problem: Problem,
    fit: Fit | None,
    method: Solver,
    *,
    space: Space = IDENTITY,
    device: str,
    autocast: bool,
    tile: int | None,
) -> Match:
    """The problem in the prior's units (under Gaussian noise where the solver needs it) and the prior, on a device.

    fit: the prior, ready to sample. space: what its pictures are in the problem's, the identity unless the problem was
    given with a decoder. autocast: whether its network is bfloat16 inside. tile: side of the tiles in which it is
    called; None: TILE above TILE_ABOVE pixels; 0: never.
    """
    suited = problem.gaussian() if method.needs_gaussian else problem
    picture = problem.operator.input_shape
    if fit is None:
        space = space.sized(picture)
        return Match(suited.posed(space), space, None, None)
    meter = _metered(fit.prior.to(device), problem, autocast=autocast, tile=tile)
    whole = (space @ fit.prior.space).sized(picture)
    return Match(suited.posed(whole), whole, fit, meter)


def _metered(prior: Prior, problem: Problem, *, autocast: bool, tile: int | None) -> Meter:
    longest = max(prior.space.own_shape(problem.operator.input_shape)[-prior.network_axes :])
    above, usual = (side_for(side, prior.network_axes) for side in (TILE_ABOVE, TILE))
    side = tile if tile is not None else (usual if longest > above else 0)
    whole = tiled(prior, tile=side, overlap=min(64, side // 2)) if side and longest > side else prior
    return Meter(whole, autocast=autocast)
