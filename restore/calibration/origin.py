"""What of a picture was measured, and what did the prior fill in? The resolution operator, for every linear operator.

    R = (A^H A + rho I)^-1 A^H A,   rho = sigma^2 / sigma_x^2,   x = R x + (I - R) x

R x is what the data say at their noise level, N x = (I - R) x = rho (A^H A + rho I)^-1 x what only the prior can know
(Bhadra, Kelkar, Brooks, Anastasio 2021, doi:10.1109/TMI.2021.3077857, with a Wiener weight in place of a cut-off). R is
no projection: |x|^2 = |R x|^2 + |N x|^2 + 2 <R x, N x>, the cross term not negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.core.base import LinearOperator

from .tweedie import comb_diagonal


@dataclass(frozen=True)
class Origin:
    """A picture (B x C x ...) as the sum of what was measured and what was filled in, rho between them."""

    measured: Tensor
    filled_in: Tensor
    rho: float

    def energies(self) -> tuple[Tensor, Tensor, Tensor]:
        """|R x|^2, |N x|^2 and 2 <R x, N x> of each picture (B): their sum is |x|^2."""
        one, other = self.measured.flatten(1), self.filled_in.flatten(1)
        cross = 2 * (one * other.conj()).real.sum(1)
        return one.abs().square().sum(1), other.abs().square().sum(1), cross


def weight(sigma: float, spread: float) -> float:
    """rho = sigma^2 / sigma_x^2; sigma_x, `spread`, is the standard deviation of pictures around what is expected."""
    if not spread > 0:
        raise BadInput(f"spread is {spread:g}", wanted="a positive standard deviation of pictures")
    return max((sigma / spread) ** 2, 1e-8)  # without noise all that was measured at all counts as measured


def split(operator: LinearOperator, picture: Tensor, rho: float) -> Origin:
    """`picture` (B x C x ..., in the operator's units), split. BadInput for rho <= 0."""
    if not rho > 0:
        raise BadInput(f"rho is {rho:g}", wanted="a positive number: sigma^2 / sigma_x^2")
    measured = operator.solve(_gram(operator, picture), rho)
    if not picture.is_complex() and measured.is_complex():
        measured = measured.real
    return Origin(measured, picture - measured, rho)


def measured_share(operator: LinearOperator, rho: float, *, stride: int = 6) -> Tensor:
    """The diagonal of R (1 x C x ...), in [0, 1]: 1 where a pixel was measured, 0 where it was not.

    Its sum is the effective number of unknowns that the measurement determines. stride: see `comb_diagonal`.
    """
    kind = torch.complex128 if operator.complex_input else torch.float64
    like = torch.zeros(1, *operator.input_shape, dtype=kind)
    diagonal = comb_diagonal(lambda v: split(operator, v, rho).measured, like, stride=stride)
    return (diagonal.real if diagonal.is_complex() else diagonal).clamp(0, 1)


def filled_in_share(operator: LinearOperator, samples: Tensor, rho: float) -> Tensor:
    """Per pixel, the share of the samples' variance that lies in what was filled in (B x C x ...).

    1 where the picture is the prior's word. samples: S x B x C x ..., two or more.
    """
    if len(samples) < 2:
        raise BadInput(f"{len(samples)} sample", wanted="two or more", do="Run with --samples 2 or more.")
    parts = [split(operator, sample, rho) for sample in samples]
    measured = torch.stack([part.measured for part in parts]).var(0)
    filled = torch.stack([part.filled_in for part in parts]).var(0)
    whole = measured + filled
    return torch.where(whole > 0, filled / whole.clamp_min(torch.finfo(whole.dtype).tiny), torch.zeros_like(whole))


def _gram(operator: LinearOperator, picture: Tensor) -> Tensor:
    image = operator.gram(picture)
    return image.real if image.is_complex() and not picture.is_complex() else image
