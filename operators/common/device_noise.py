"""Noise drawn on the device itself, for runs where speed counts for more than the same bits everywhere."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from . import inversion
from .errors import BadInput
from .randomness import check_seed, each_sample, generator


class DeviceNoise:
    """Random numbers drawn on the device: fast, equal to NoiseSource in distribution only.

    Each sample has a generator of its own for all the images that stand beside one another under it. So a sample does
    not depend on the samples that run with it, but on the images that do. images, sample: as in NoiseSource.
    """

    def __init__(
        self, seed: int, images: Sequence[str], *, sample: int | Sequence[int] = 0, device: torch.device | str
    ) -> None:
        self.seed, self.images = check_seed(seed), tuple(images)
        self.samples = each_sample(sample, len(self.images))
        self.device = torch.device(device)
        self._generators: dict[str, list[tuple[torch.Generator, int]]] = {}

    def normal(self, stream: str, like: Tensor) -> Tensor:
        parts = torch.view_as_real(like) if like.is_complex() else like
        drawn = self._drawn(stream, parts.shape, parts.dtype, normal=True)
        return torch.view_as_complex(drawn) if like.is_complex() else drawn

    def uniform(self, stream: str, like: Tensor) -> Tensor:
        inversion.check_real(like)
        return self._drawn(stream, like.shape, like.dtype, normal=False)

    def categorical(self, stream: str, logits: Tensor) -> Tensor:
        return inversion.categorical(self.uniform(stream, inversion.places(logits)), logits)

    def skip(self, stream: str, like: Tensor) -> None:
        """Free, as in NoiseSource."""

    def _drawn(self, stream: str, shape: torch.Size, dtype: torch.dtype, *, normal: bool) -> Tensor:
        draw = torch.randn if normal else torch.rand
        streams = self._streams(stream)
        if len(streams) == 1:
            return draw(shape, generator=streams[0][0], device=self.device, dtype=dtype)
        if shape[0] != len(self.images):
            raise BadInput(f"noise for a batch of {shape[0]} asked of a source for {len(self.images)} images")
        drawn = torch.empty(shape, device=self.device, dtype=dtype)
        first = 0
        for source, count in streams:
            part = draw((count, *shape[1:]), generator=source, device=self.device, dtype=dtype)
            drawn[first : first + count] = part
            first += count
        return drawn

    def _streams(self, stream: str) -> list[tuple[torch.Generator, int]]:
        """The generator of each run of entries of one sample, and how many entries it has."""
        if stream not in self._generators:
            entries = zip(self.samples, self.images, strict=True)
            runs = [(s, [i for _, i in run]) for s, run in itertools.groupby(entries, key=lambda entry: entry[0])]
            self._generators[stream] = [(self._generator(s, images, stream), len(images)) for s, images in runs]
        return self._generators[stream]

    def _generator(self, sample: int, images: Sequence[str], stream: str) -> torch.Generator:
        key = generator(self.seed, "\x1e".join(images), sample, stream).integers(2**63 - 1)
        return torch.Generator(self.device).manual_seed(int(key))
