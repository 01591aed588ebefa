"""Ensembles of weighted particles: who belongs together, effective size, resampling, and what is answered.

Batches are flat (entries x particles ... -> rows); a picture's ensemble is all particles of all its copies, so that
samples of a picture share one ensemble.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from torch import Tensor

from operators.common.randomness import Noise

if TYPE_CHECKING:
    from ...problem import Problem

Answer = Annotated[
    Literal["draw", "mean", "heaviest"], "one particle by weight, the weighted mean, or the particle of largest weight"
]


class ParticleEnsemble:
    """`particles` for each entry of a problem's batch. Rows: entry by entry, particles of an entry beside one another.

    problem: that of the rows. Draws come as (entries, particles, ...), so that the noise of an entry is that of its
    picture and sample alone.
    """

    def __init__(self, problem: Problem, particles: int) -> None:
        self.entries, self.particles, self.copies = len(problem.y), particles, problem.copies
        names = tuple(name for name in problem.image_ids for _ in range(particles))
        self.problem = dataclasses.replace(problem, y=self.spread(problem.y), truth=None, image_ids=names, copies=1)

    @property
    def size(self) -> int:
        """Particles of one picture."""
        return self.copies * self.particles

    def spread(self, values: Tensor) -> Tensor:
        """What each entry has (entries x ...), for every one of its particles (rows x ...)."""
        return values.repeat_interleave(self.particles, 0)

    def normal(self, noise: Noise, stream: str, like: Tensor) -> Tensor:
        """Standard normal numbers for rows x ..."""
        shaped = like.reshape(self.entries, self.particles, *like.shape[1:])
        return noise.normal(stream, like=shaped).reshape(like.shape)

    def by_picture(self, rows: Tensor) -> Tensor:
        """Rows x ... as pictures x ensemble x ..."""
        pictures = self.entries // self.copies
        apart = rows.reshape(self.copies, pictures, self.particles, *rows.shape[1:])
        return apart.transpose(0, 1).reshape(pictures, self.size, *rows.shape[1:])

    def shares(self, log_weights: Tensor) -> Tensor:
        """Normalised weights, pictures x ensemble. log_weights: one for each row."""
        return torch.softmax(self.by_picture(log_weights).double(), dim=1)

    def effective(self, log_weights: Tensor) -> Tensor:
        """Effective size over size, 1 / (J sum w^2), of each picture (Kong 1992)."""
        return 1 / (self.size * self.shares(log_weights).square().sum(1))

    def of_pictures(self, values: Tensor) -> Tensor:
        """One number for each picture, for every row."""
        return self.spread(values[self._picture().to(values.device)])

    def ancestors(self, log_weights: Tensor, noise: Noise, *, stream: str = "ancestors") -> Tensor:
        """A row for each row, drawn from its picture's ensemble by weight (Gordon, Salmond, Smith 1993)."""
        return self._drawn(log_weights, noise, stream, self.particles).flatten()

    def chosen(self, log_weights: Tensor, noise: Noise) -> Tensor:
        """A row for each entry, drawn from its picture's ensemble by weight."""
        return self._drawn(log_weights, noise, "answer", 1).flatten()

    def heaviest(self, log_weights: Tensor) -> Tensor:
        """The row of largest weight of each entry's picture."""
        return self._rows(self.by_picture(log_weights).argmax(1)[self._picture()][:, None]).flatten()

    def mean(self, rows: Tensor, log_weights: Tensor) -> Tensor:
        """The weighted mean of each entry's ensemble (entries x ...)."""
        shares = self.shares(log_weights).to(rows.dtype)
        return torch.einsum("pj,pj...->p...", shares, self.by_picture(rows))[self._picture()]

    def answer(self, kind: str, rows: Tensor, log_weights: Tensor, noise: Noise | None) -> Tensor:
        """What each entry answers (entries x ...); without noise "draw" is the heaviest, for states on the way."""
        if kind == "mean":
            return self.mean(rows, log_weights)
        if kind == "draw" and noise is not None:
            return rows[self.chosen(log_weights, noise)]
        return rows[self.heaviest(log_weights)]

    def _drawn(self, log_weights: Tensor, noise: Noise, stream: str, count: int) -> Tensor:
        logits = self.by_picture(log_weights)[self._picture()]
        places = logits[:, None].expand(-1, count, -1)
        return self._rows(noise.categorical(stream, places))

    def _picture(self) -> Tensor:
        """The picture of each entry."""
        return torch.arange(self.entries) % (self.entries // self.copies)

    def _rows(self, members: Tensor) -> Tensor:
        """Members of the ensembles of each entry's picture (entries x n) as rows."""
        pictures = self.entries // self.copies
        copy, particle = members // self.particles, members % self.particles
        entry = copy * pictures + self._picture().to(members.device)[:, None]
        return entry * self.particles + particle
