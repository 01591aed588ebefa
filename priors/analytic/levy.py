"""Levy processes: signals of 64 numbers whose increments are independent, as a prior with its exact denoiser."""

from __future__ import annotations

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Count, Positive

from ..base import DiffusionPrior
from .levy_lattice import HALF_WIDTH, Marginals, marginals, spacing
from .levy_laws import increment_law

LENGTH = 64
MOST = 2**20  # numbers of one array of messages, per piece of a batch


class LevyPrior(DiffusionPrior):
    """x_k = u_1 + ... + u_k with independent increments u of one law, as pictures of 1 x 1 x length.

    law: gauss (variance 1/4), laplace (b = 1), bernoulli-laplace (0 but for one in ten, b = 1), student-1, student-2 or
    student-3. length: numbers in a signal. scale: pictures are scale * z, z in native units having the law above
    divided by it; the law of pictures does not depend on it, the schedule of a sampler does.

    E[x0 | x0 + sigma n = x] by message passing on a lattice (`levy_lattice`), with an error of 1e-6 sigma about sigma
    0.3 and 3e-4 sigma for sigma 10 and more (3e-3 for student-1); in closed form for the Gaussian law. An input so far
    from the law that some x_k lies more than 9 sigma from what was seen of it is answered inside that distance.
    """

    def __init__(self, law: str = "laplace", *, length: Count = LENGTH, scale: Positive = 1.0) -> None:
        super().__init__(scale=scale, channels=(1,))
        self.law, self.length, self.unit = increment_law(law), int(length), float(scale)
        self.name = f"levy-{law}"

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        x, level = self._signals(z) * self.unit, sigma.double() * self.unit
        mean = torch.empty_like(x)
        for one in torch.unique(level):
            chosen = level == one
            if self.law.kind == "gauss":
                found = x[chosen] @ self._gain(float(one))
            else:
                found = _Mean.apply(x[chosen], self, float(one))
            mean = mean.masked_scatter(chosen[:, None], found)
        return (mean / self.unit).to(z).reshape(z.shape)

    def moments(self, x: Tensor, sigma: float) -> Marginals:
        """Posterior mean and variance of each number given x = x0 + sigma n, and P(increment is not 0); B x length."""
        signals = self._signals(x)
        parts = [marginals(self.law, part, sigma) for part in torch.split(signals, self._piece(sigma))]
        return Marginals(*(torch.cat([getattr(p, name) for p in parts]) for name in ("mean", "variance", "jump")))

    def sample(self, count: int, noise: Noise) -> Tensor:
        """count draws (count x 1 x 1 x length, float64); a NoiseSource must be made for `count` signals."""
        like = torch.zeros(count, 1, 1, self.length, dtype=torch.float64)
        return self.law.quantile(noise.uniform("prior", like)).cumsum(-1)

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) of clean signals (B). BadInput for a law with an atom, which has no density."""
        if self.law.jump < 1:
            raise BadInput(f"{self.name} has no density: increments are exactly 0 with positive probability")
        return self.law.log_density(increments(self._signals(x))).sum(1)

    def _gain(self, sigma: float) -> Tensor:
        """C (C + sigma^2 I)^-1 of the Gaussian law (symmetric)."""
        place = torch.arange(1, self.length + 1, dtype=torch.float64)
        covariance = self.law.scale**2 * torch.minimum(place[:, None], place)
        unit = torch.eye(self.length, dtype=torch.float64)
        return torch.linalg.solve(covariance + sigma**2 * unit, covariance)

    def _signals(self, x: Tensor) -> Tensor:
        if x.shape[1:] != (1, 1, self.length):
            raise BadInput(f"pictures of shape {tuple(x.shape[1:])}", wanted=f"(1, 1, {self.length})")
        return x.double().flatten(1)

    def _piece(self, sigma: float) -> int:
        """Signals whose messages fit into MOST numbers."""
        return max(1, int(MOST / (4 * HALF_WIDTH * sigma / spacing(self.law, sigma) * self.length)))


class _Mean(torch.autograd.Function):
    """The posterior mean; its derivative is computed again piece by piece, so that nothing is kept between passes."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, prior: LevyPrior, sigma: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.prior, ctx.sigma = prior, sigma  # type: ignore[attr-defined]
        pieces = torch.split(x, prior._piece(sigma))
        return torch.cat([marginals(prior.law, piece, sigma).mean for piece in pieces])

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        prior, sigma = ctx.prior, ctx.sigma  # type: ignore[attr-defined]
        size, found = max(1, prior._piece(sigma) // 4), []
        for piece, slope in zip(torch.split(x, size), torch.split(slopes[0], size), strict=True):
            with torch.enable_grad():
                point = piece.detach().requires_grad_()
                mean = marginals(prior.law, point, sigma).mean
                found.append(torch.autograd.grad(mean, point, slope)[0])
        return torch.cat(found), None, None


def increments(x: Tensor) -> Tensor:
    """u_k = x_k - x_{k-1} with x_0 = 0 (last axis)."""
    return torch.diff(x, dim=-1, prepend=torch.zeros_like(x[..., :1]))
