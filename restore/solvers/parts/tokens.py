"""What solvers on priors of tokens share: the hidden tokens of a batch, the cost of a decoded picture, the schedule."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from torch import Tensor

from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import NotNegative
from priors.discrete.masked import MaskedPrior

from ..base import Solver

if TYPE_CHECKING:
    from ...problem import Problem

Loss = Annotated[
    Literal["l1", "likelihood"],
    "of a decoded picture: mean |y - A x| (published), or -log p(y | x) for the noise's law",
]
Perceptual = Annotated[NotNegative, "weight of LPIPS(A x, y), where y is a picture; 0: none"]
TABLES = 24  # pictures that logits of a token for 4 x 4 pixels, their moments and gradients take
FLOOR = 1e-3  # least standard deviation of the noise in a likelihood: without noise it would be infinite
SMALLEST = 31  # side of a picture whose features LPIPS can tell


def expect_masked(prior: MaskedPrior | None, method: Solver) -> MaskedPrior:
    """The prior, or BadInput where there is none, it is of another kind, or its tokens stand for no vectors."""
    if prior is None:
        raise BadInput(f"{type(method).__name__} was given no prior", wanted="a MaskedPrior, such as tokens")
    if not isinstance(prior, MaskedPrior):
        raise BadInput(f"{type(method).__name__} was given a {prior.kind} prior", wanted="a masked one, such as tokens")
    if type(prior).render is MaskedPrior.render or type(prior).codes is MaskedPrior.codes:
        raise BadInput(
            f"the tokens of {prior.name or type(prior).__name__} stand for no vectors",
            wanted="a MaskedPrior that implements codes and render",
        )
    return prior


@dataclass(frozen=True)
class Canvas:
    """The tokens of a batch, flat, with the places of those that are hidden: as many in every entry.

    tokens: B x L, `prior.mask` where hidden. prior, shape: whose they are, and C x H x W of the pictures. dtype: of
    vectors and pictures.
    """

    tokens: Tensor
    prior: MaskedPrior
    shape: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def blank(cls, problem: Problem, prior: MaskedPrior) -> Canvas:
        """All tokens hidden."""
        shape = problem.operator.input_shape
        count = torch.Size(prior.grid(shape)).numel()
        tokens = torch.full((len(problem.y), count), prior.mask, dtype=torch.long, device=problem.y.device)
        return cls(tokens, prior, shape, problem.y.real.dtype if problem.y.is_complex() else problem.y.dtype)

    def on_grid(self, values: Tensor) -> Tensor:
        """B x L x ... as B x ... x grid."""
        flat = values.movedim(1, -1)
        return flat.reshape(*flat.shape[:-1], *self.prior.grid(self.shape))

    @property
    def places(self) -> Tensor:
        """Where the hidden tokens are (B x n), in order."""
        hidden = self.tokens == self.prior.mask
        count = int(hidden.sum()) // max(len(hidden), 1)
        return hidden.nonzero()[:, 1].reshape(len(hidden), count)

    @property
    def seen(self) -> Tensor:
        """The code vectors of the tokens (B x L x D), those of token 0 where hidden."""
        codes = self.prior.codes().to(self.tokens.device, self.dtype)
        return codes[torch.where(self.tokens == self.prior.mask, 0, self.tokens)]

    def logits(self, places: Tensor) -> Tensor:
        """log p of the hidden tokens (B x n x K) by the prior: one network call."""
        whole = self.prior.logits(self.on_grid(self.tokens)).flatten(2).to(self.dtype)
        return torch.log_softmax(at(whole.movedim(1, -1), places), dim=-1)

    def known_logits(self, places: Tensor) -> Tensor:
        """log p at any places (B x n x K): one network call; a token that is seen is certain."""
        whole = self.prior.probabilities(self.on_grid(self.tokens)).flatten(2).to(self.dtype)
        return at(whole.movedim(1, -1), places).log()

    def with_tokens(self, places: Tensor, chosen: Tensor) -> Canvas:
        """The canvas with tokens (B x n) at these places."""
        return Canvas(self.tokens.scatter(1, places, chosen), self.prior, self.shape, self.dtype)

    def picture(self, vectors: Tensor) -> Tensor:
        """The picture (B x C x H x W) of code vectors (B x L x D)."""
        return self.prior.picture(self.on_grid(vectors), self.shape)

    def legal(self, vectors: Tensor) -> Tensor:
        """The same, within the prior's legal range."""
        x = self.picture(vectors)
        return x if self.prior.clip is None else x.clamp(*self.prior.clip)


@contextlib.contextmanager
def gradients() -> Iterator[None]:
    """Gradients within a loop that has none; what is differentiated must be cloned inside."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def at(values: Tensor, places: Tensor) -> Tensor:
    """Of B x L x ... the entries at places (B x n): B x n x ...."""
    index = places.reshape(*places.shape, *[1] * (values.ndim - 2)).expand(-1, -1, *values.shape[2:])
    return values.gather(1, index)


def put(values: Tensor, places: Tensor, part: Tensor) -> Tensor:
    """B x L x ... with `part` (B x n x ...) at places (B x n); gradients pass to the part."""
    index = places.reshape(*places.shape, *[1] * (values.ndim - 2)).expand(-1, -1, *values.shape[2:])
    return values.scatter(1, index, part)


def token_cost(problem: Problem, x: Tensor, *, loss: str, perceptual: float) -> Tensor:
    """What each decoded picture costs (B); see `Loss` and `Perceptual`. Gradients pass through A and the decoder."""
    if loss == "l1":
        cost = problem.residual(x).abs().flatten(1).sum(1) / max(problem.observed_count, 1)
    else:
        cost = -_log_likelihood(problem, x)
    return cost if perceptual == 0 else cost + perceptual * _lpips(problem, x)


def _log_likelihood(problem: Problem, x: Tensor) -> Tensor:
    if problem.sigma >= FLOOR:
        return problem.log_likelihood(x)
    return -(problem.residual(x).abs() ** 2).flatten(1).sum(1) / (2 * FLOOR**2)


def check_perceptual(problem: Problem, perceptual: float) -> None:
    """BadInput where LPIPS is asked for and y is no picture."""
    shape = problem.operator.output_shape
    if perceptual and (
        len(shape) != 3 or shape[0] not in (1, 3) or min(shape[1:]) < SMALLEST or problem.y.is_complex()
    ):
        raise BadInput(
            f"perceptual is {perceptual} and the measurement has shape {tuple(shape)}",
            wanted=f"a real picture of at least {SMALLEST} x {SMALLEST} pixels, RGB or gray",
            do="Set perceptual to 0.",
        )


def _lpips(problem: Problem, x: Tensor) -> Tensor:
    from ...metrics.lpips import network

    measured = [problem.y - problem.residual(x), problem.y]  # equal where nothing was observed
    one, other = (part.float().expand(-1, 3, -1, -1).contiguous() for part in measured)
    return network("alex").to(x.device)(one, other).flatten().to(x.dtype)


def times_of_masking(steps: int, last: float) -> list[float]:
    """steps + 1 times from 1 to `last`, evenly spaced: at time t a token is hidden with probability t."""
    return [1 - (1 - last) * k / steps for k in range(steps + 1)]


def revealed(hidden: int, t: float, s: float) -> int:
    """How many of the hidden tokens become known from time t to s: floor(hidden (1 - s / t))."""
    return int(hidden * (1 - s / t) + 1e-9)  # 3 (1 - 2 / 3) is 1


def gumbel(noise: Noise, stream: str, like: Tensor) -> Tensor:
    """Standard Gumbel numbers: adding them to log p and taking the greatest draws from p."""
    uniform = noise.uniform(stream, like)
    tiny = torch.finfo(uniform.dtype).tiny
    return -(-uniform.clamp_min(tiny).log()).clamp_min(tiny).log()
