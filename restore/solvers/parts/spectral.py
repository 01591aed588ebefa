"""A linear problem in the coordinates in which its operator is diagonal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from operators import BadInput
from operators.core.linear import SVD, LinearOperator

if TYPE_CHECKING:
    from ...problem import Problem

DENSE_UP_TO = 1024  # unknowns: the singular vectors of such a matrix are 8 MiB in float64 and take a second


@dataclass(frozen=True)
class SpectralForm:
    """A = U diag(s) V^H with y in its coordinates.

    s: N singular values, N numbers in a picture, 0 where nothing is measured. y: U^H y, B x N, 0 there too.
    """

    s: Tensor
    y: Tensor
    svd: SVD

    def analyse(self, x: Tensor) -> Tensor:
        """V^H x (B x N)."""
        return self.svd.Vt(x)

    def synthesise(self, c: Tensor) -> Tensor:
        """V c (B x input_shape)."""
        return self.svd.V(c)

    @property
    def measured(self) -> Tensor:
        """Boolean, N: where s is positive."""
        return self.s > 0

    @property
    def inverse(self) -> Tensor:
        """1 / s, and 0 where nothing is measured."""
        return torch.where(self.measured, 1 / torch.where(self.measured, self.s, 1.0), 0.0)


def has_spectrum(operator: LinearOperator) -> bool:
    """Whether `spectrum` can decompose it: a fast decomposition of its own, or few unknowns."""
    small = math.prod(operator.input_shape) <= DENSE_UP_TO and not operator.complex_input
    return small or operator.svd is not None


def check_spectrum(operator: LinearOperator, method: str, do: str = "") -> None:
    """BadInput where an operator has no spectral decomposition."""
    if not has_spectrum(operator):
        raise BadInput(
            f"{method} works in the singular vectors of the operator, and {type(operator).__name__} knows none",
            wanted=f"an operator with a decomposition (operator.svd), or at most {DENSE_UP_TO} unknowns",
            do=do or "Choose diffpir or dds, which need A and its adjoint alone.",
        )


def spectrum(problem: Problem, *, rtol: float) -> SpectralForm:
    """The decomposition; singular values up to rtol times the largest count as 0. BadInput where there is none."""
    operator = problem.linear
    check_spectrum(operator, "this solver")
    svd = operator.svd
    if svd is None:
        svd = _dense(operator, problem.y)
    real = problem.y.real.dtype if problem.y.is_complex() else problem.y.dtype
    s = svd.s.to(problem.y.device, real)
    s = torch.where(s > rtol * s.max(), s, torch.zeros_like(s)) if len(s) else s
    rest = math.prod(operator.input_shape) - len(s)
    y = torch.where(s > 0, svd.Ut(problem.y), 0.0)
    pad = torch.nn.functional.pad
    return SpectralForm(s=pad(s, (0, rest)), y=pad(y, (0, rest)), svd=svd)


def _dense(operator: LinearOperator, y: Tensor) -> SVD:
    """The decomposition of a small operator by dense algebra, unobserved entries of y left out."""
    size = math.prod(operator.input_shape)
    unit = torch.eye(size, dtype=torch.float64, device=y.device).reshape(size, *operator.input_shape)
    columns = _rows(operator, operator(unit)).double()
    u, s, vh = torch.linalg.svd(columns.T, full_matrices=True)
    u = u[:, : len(s)]

    def in_output(c: Tensor) -> Tensor:
        # An isometry on the coordinates that A reaches: A V / s there, 0 elsewhere.
        scaled = torch.where(s > 0, 1 / torch.where(s > 0, s, 1.0), 0.0).to(c)
        return operator((scaled * c @ vh[: len(s)].to(c)).reshape(-1, *operator.input_shape))

    return SVD(
        s=s,
        U=in_output,
        Ut=lambda data: _rows(operator, data) @ u.to(_rows(operator, data)),
        V=lambda c: (c @ vh.to(c)).reshape(-1, *operator.input_shape),
        Vt=lambda x: x.flatten(1) @ vh.T.to(x),
    )


def _rows(operator: LinearOperator, data: Tensor) -> Tensor:
    if operator.observed is not None:
        data = torch.where(operator.observed.to(data.device), data, torch.zeros_like(data))
    flat = data.flatten(1)
    return torch.cat([flat.real, flat.imag], 1) if flat.is_complex() else flat
