"""What a task must beat: simple estimates without any learned prior. `baselines.run("bicubic", problem)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from operators import BadInput
from operators.common.registry import Entry, Registry

from .problem import Problem

REGISTRY = Registry(
    "baseline",
    {
        "measurement": Entry("restore.baselines:measurement", "the measurement itself, clipped to [0, 1]"),
        "direct": Entry(
            "restore.baselines:direct", "the operator's own quick reconstruction (filtered back-projection, ...)"
        ),
        "bicubic": Entry("restore.baselines:bicubic", "MATLAB bicubic enlargement to the size of the picture"),
        "biharmonic": Entry(
            "restore.baselines:biharmonic", "holes filled by the biharmonic equation", "Damelin, Hoang 2018"
        ),
        "tikhonov": Entry("restore.solvers.classical.tikhonov:Tikhonov", "quadratic smoothness, conjugate gradients"),
        "tv": Entry("restore.solvers.classical.tv:TV", "total variation"),
        "gradient": Entry(
            "restore.solvers.classical.gradient:Gradient", "likelihood and smoothed total variation by L-BFGS"
        ),
        "hio": Entry("restore.solvers.classical.hio:HIO", "phase retrieval by hybrid input-output"),
        "wavelet": Entry("restore.solvers.classical.wavelet:Wavelet", "sparse wavelet coefficients by FISTA"),
    },
)

_CLOSED = ("measurement", "direct", "bicubic", "biharmonic")


def run(name: str, problem: Problem, parameters: Mapping[str, Any] | None = None) -> Tensor:
    """The baseline's estimate (B x input_shape), not clipped unless the baseline says so.

    name: an entry of REGISTRY. parameters: settings of a solver that serves as baseline.
    """
    if name in _CLOSED:
        if parameters:
            raise BadInput(f"baseline {name!r} takes no parameters", do=f"Drop {', '.join(parameters)}.")
        target: Callable[[Problem], Tensor] = REGISTRY.load(name)
        with torch.no_grad():
            return target(problem)
    REGISTRY[name]  # raises with a suggestion
    from . import solvers
    from .driver import solve

    return solve(problem, solver=solvers.build(name, **dict(parameters or {}))).estimate


def measurement(problem: Problem) -> Tensor:
    """y where it has the picture's shape."""
    given, wanted = tuple(problem.operator.output_shape), tuple(problem.operator.input_shape)
    if given != wanted:
        raise BadInput(
            f"the measurement has shape {given}, the picture {wanted}",
            do="Choose another baseline for this operator.",
        )
    return problem.y.clamp(0, 1)


def direct(problem: Problem) -> Tensor:
    """What the field would show first: `Operator.direct`."""
    return problem.operator.direct(problem.y)


def bicubic(problem: Problem) -> Tensor:
    """y enlarged to the picture's size (Keys 1981, a = -1/2), clipped as a stored picture would be."""
    from operators.resampling.matrices import resize

    height, width = problem.operator.input_shape[-2:]
    return resize(problem.y, size=(height, width)).clamp(0, 1)


def biharmonic(problem: Problem) -> Tensor:
    """Unobserved pixels filled so that the bilaplacian vanishes (skimage.restoration.inpaint_biharmonic)."""
    from skimage.restoration import inpaint_biharmonic

    observed = problem.operator.observed
    if observed is None or tuple(problem.operator.output_shape) != tuple(problem.operator.input_shape):
        raise BadInput("nothing is missing from this measurement", do="Choose another baseline for this operator.")
    keep = observed.expand(problem.y.shape)
    filled = []
    for y, there in zip(problem.y, keep, strict=True):
        # One mask serves all channels: a pixel is missing where any channel of it is.
        holes = ~there.all(0)
        picture = inpaint_biharmonic(
            y.double().cpu().numpy(), holes.cpu().numpy(), split_into_regions=True, channel_axis=0
        )
        filled.append(torch.from_numpy(picture).to(problem.y))
    return torch.stack(filled)
