"""Least squares beside a peer: our solvers and deepinv's `least_squares` against dense algebra, in double precision.

    argmin_x |A x - y|^2 + rho |x - z|^2   and, without rho,   the picture of least norm among those of least |A x - y|

Square operators are where solvers may differ: a method that takes A for A^H A answers another question there. Part of
the page that `python -m benchmarks.studies.laws` writes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import operators
from operators.common.errors import import_extra
from operators.core.base import LinearOperator
from operators.core.interop import to_dense
from operators.core.linear_solvers import least_squares

SHAPE = (1, 12, 12)
RHO = 0.1
TOLERANCE, ITERATIONS = 1e-10, 1000  # asked of every iterative solver
RIGHT = 1e-3  # relative distance to dense algebra up to which an answer needs no further comment
OURS, PEER, PEER_SOLVERS = "restore", "deepinv", ("CG", "lsqr", "minres", "BiCGStab")
SOLVERS = (OURS, *(f"{PEER} {name}" for name in PEER_SOLVERS))
PROBLEMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "identity": ("identity", {}),
    "mask": ("mask", {}),
    "symmetric blur": ("blur", {"kernel": "gaussian", "size": 5, "sigma": 0.7, "boundary": "circular"}),
    "motion blur": ("blur", {"kernel": "motion", "length": 4, "angle": 30, "size": 7, "boundary": "circular"}),
    "camera shake": ("blur", {"kernel": "trajectory", "size": 7, "seed": 0, "boundary": "circular"}),
    "downsample": ("downsample", {"factor": 2}),
    "ct-parallel": ("ct-parallel", {"views": 24}),
}
INTRODUCTION = f"""## Least squares beside a peer

The same command solves small problems (pictures of {SHAPE[1]} x {SHAPE[2]}, double precision) by our closed forms and
conjugate gradients and by deepinv's `least_squares` with each of its solvers, all asked for {TOLERANCE:g} in at most
{ITERATIONS} iterations. Cells: distance to the dense answer, relative to it; where that is above {RIGHT:g}, in brackets
the length of the answer over the length of the dense one. rho: |A x - y|^2 + {RHO:g} |x - z|^2; least norm: without the
second term. Where picture and measurement have one shape, deepinv's minres and BiCGStab solve A x = y and leave rho out
(0.5.0, `deepinv/optim/linear`), and its CG without rho leaves out the last A^H.
"""


@dataclass(frozen=True)
class Question:
    """A problem with its dense answer. y: 1 x output_shape; z: 1 x input_shape; rho: 0 for the least norm."""

    name: str
    operator: LinearOperator
    y: Tensor
    z: Tensor
    rho: float

    @property
    def answer(self) -> Tensor:
        """By dense algebra, flattened."""
        m, y = to_dense(self.operator), self.y.flatten()
        if not self.rho:
            return torch.linalg.pinv(m) @ y
        normal = m.mT @ m + self.rho * torch.eye(m.shape[1], dtype=m.dtype)
        return torch.linalg.solve(normal, m.mT @ y + self.rho * self.z.flatten())


@dataclass(frozen=True)
class Distance:
    """How far a solver's answer is. distance: to the dense answer, and length, both relative to the length of that."""

    question: str
    rho: float
    solver: str
    distance: float
    length: float


def questions() -> Iterator[Question]:
    """Every problem with and without rho; numbers from a fixed generator."""
    drawn = torch.Generator().manual_seed(0)
    for title, (name, parameters) in PROBLEMS.items():
        operator = operators.build(name, SHAPE, **parameters)
        x, z = (torch.randn(1, *SHAPE, generator=drawn, dtype=torch.float64) for _ in range(2))
        y = operator(x) + 0.1 * torch.randn(1, *operator.output_shape, generator=drawn, dtype=torch.float64)
        y = y if operator.observed is None else operator.observed * y
        for rho in (RHO, 0.0):
            yield Question(title, operator, y, z, rho)


def distances(question: Question, solvers: Sequence[str] = SOLVERS) -> Iterator[Distance]:
    """What each solver says; MissingExtra without the peer."""
    truth = question.answer
    for solver in solvers:
        x = (_ours(question) if solver == OURS else _peers(question, solver.removeprefix(f"{PEER} "))).flatten()
        size = float(truth.norm())
        yield Distance(question.name, question.rho, solver, float((x - truth).norm()) / size, float(x.norm()) / size)


def _ours(question: Question) -> Tensor:
    operator, rho = question.operator, question.rho
    if rho:
        return operator.solve(operator.adjoint(question.y) + rho * question.z, rho)
    return least_squares(operator, question.y, rtol=TOLERANCE, iterations=ITERATIONS).x


def _peers(question: Question, solver: str) -> Tensor:
    peer = import_extra("deepinv.optim.linear", do="pip install 'restore[peers]'")
    weight = torch.tensor(1 / question.rho, dtype=torch.float64) if question.rho else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of no convergence, which the distance shows
        solution: Tensor = peer.least_squares(
            question.operator.forward,
            question.operator.adjoint,
            question.y,
            z=question.z if question.rho else torch.zeros_like(question.z),
            gamma=weight,
            solver=solver,
            max_iter=ITERATIONS,
            tol=TOLERANCE,
        )
    return solution


def table(distances: Sequence[Distance]) -> str:
    """Markdown: a line for each question, a column for each solver."""
    lines = ["| problem | question | " + " | ".join(SOLVERS) + " |", "|---|---|" + "---:|" * len(SOLVERS)]
    cells = {(a.question, a.rho, a.solver): a for a in distances}
    for name, rho in dict.fromkeys((a.question, a.rho) for a in distances):
        row = (_cell(cells[name, rho, solver]) for solver in SOLVERS)
        lines.append(f"| {name} | {'rho' if rho else 'least norm'} | " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def _cell(one: Distance) -> str:
    distance = f"{one.distance:.0e}"
    return distance if one.distance <= RIGHT else f"**{distance}** ({one.length:.3g})"


def section() -> str:
    """The part of the page: what is asked, and how far all are from it."""
    return f"{INTRODUCTION}\n{table([one for question in questions() for one in distances(question)])}"
