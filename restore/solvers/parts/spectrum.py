"""The singular value decomposition of a problem's operator, for methods that work coordinate by coordinate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from operators import BadInput
from operators.core.base import SVD
from priors.analytic.posterior import MAX_UNKNOWNS, dense_matrix

if TYPE_CHECKING:
    from ...problem import Problem


def spectrum(problem: Problem, method: str) -> SVD:
    """The operator's own fast decomposition, or a dense one of a small real operator; BadInput where there is neither.

    method: the name of the solver, for the error.
    """
    operator = problem.linear
    if operator.complex_input or operator.complex_output:
        raise BadInput(
            f"{method} works on real pictures and real measurements", do="Choose diffpir or a classical solver."
        )
    if operator.svd is not None:
        return operator.svd
    unknowns = math.prod(operator.input_shape)
    if unknowns > MAX_UNKNOWNS:
        raise BadInput(
            f"{method} needs singular vectors and {type(operator).__name__} has no fast ones",
            wanted=f"an operator with an SVD, or at most {MAX_UNKNOWNS} unknowns",
            do="Choose a solver that needs none: diffpir, daps, pnp-dm.",
        )
    return _dense(problem)


def _dense(problem: Problem) -> SVD:
    operator = problem.linear
    shape = operator.input_shape
    observed = operator.observed
    rows = None if observed is None else observed.expand(operator.output_shape).flatten()
    matrix = dense_matrix(operator).to(problem.y.device)
    u, s, vt = torch.linalg.svd(matrix, full_matrices=True)
    rank = int((s > 1e-10 * s.max()).sum()) if s.numel() else 0
    u, s = u[:, :rank], s[:rank]

    def pack(y: Tensor) -> Tensor:
        flat = y.flatten(1)
        return (flat if rows is None else flat[:, rows.to(y.device)]) @ u.to(y)

    def unpack(c: Tensor) -> Tensor:
        packed = c @ u.T.to(c)
        if rows is None:
            return packed.reshape(-1, *operator.output_shape)
        full = c.new_zeros(len(c), len(rows))
        full[:, rows.to(c.device)] = packed
        return full.reshape(-1, *operator.output_shape)

    return SVD(
        s=s,
        U=unpack,
        Ut=pack,
        V=lambda c: (c @ vt.to(c)).reshape(-1, *shape),
        Vt=lambda x: x.flatten(1) @ vt.T.to(x),
    )
