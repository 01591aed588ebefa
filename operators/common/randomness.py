"""All randomness: one generator per (seed, image, sample, stream), drawn in float64 on the CPU and rounded.

Why: float32 draws differ between processors, CUDA draws between devices and batch layouts. Drawn this way, the
noise of an image depends on the seed and on that image alone, whatever the order, the batch or the device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from . import inversion
from .errors import BadInput
from .settings import Seed, check

Filler = Callable[[np.random.Generator, np.ndarray], object]  # fills a float64 array with draws


def check_seed(seed: int) -> int:
    """The seed itself; BadInput or BadType unless it is a whole number from 0 to 2^63 - 1."""
    return check("seed", seed, Seed)  # type: ignore[no-any-return]


def image_id(data: Tensor) -> str:
    """sha256 of the decoded float32 array (real and imaginary parts where complex) and its shape."""
    flat = torch.view_as_real(data) if data.is_complex() else data
    array = flat.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy()
    digest = hashlib.sha256(repr(tuple(data.shape)).encode())
    digest.update(array.tobytes())
    return digest.hexdigest()


def generator(seed: int, image: str, sample: int, stream: str) -> np.random.Generator:
    """The generator of one stream; its 64-bit key hashes all four names."""
    name = f"{check_seed(seed)}\x1f{image}\x1f{sample}\x1f{stream}".encode()
    key = int.from_bytes(hashlib.sha256(name).digest()[:8], "big")
    return np.random.Generator(np.random.PCG64(key))


class Noise(Protocol):
    """What a solver or a noise model may ask of a source of randomness; B entries are drawn independently."""

    def normal(self, stream: str, like: Tensor) -> Tensor:
        """Standard normal numbers shaped, typed and placed like `like` (complex: both parts standard normal)."""

    def uniform(self, stream: str, like: Tensor) -> Tensor:
        """Uniform numbers in [0, 1), never 1, shaped, typed and placed like `like`; BadType unless that is real."""

    def categorical(self, stream: str, logits: Tensor) -> Tensor:
        """Classes drawn with probabilities softmax(logits), by inversion of one uniform number each.

        logits: B x ... x classes, real. Returns int64, B x ..., from 0 to classes - 1. See `inversion.categorical`.
        """

    def skip(self, stream: str, like: Tensor) -> None:
        """Consume a draw that a published method makes and does not use."""


class NoiseSource:
    """The random numbers of a batch: entry b has its own image id and sample index.

    images: id of each batch entry; sample: index of the posterior sample, one for all entries or one for each;
    prefetch: draw one array ahead in a thread for streams that are asked for the same shape again and again (a
    sampler's loop).
    """

    def __init__(
        self, seed: int, images: Sequence[str], *, sample: int | Sequence[int] = 0, prefetch: bool = False
    ) -> None:
        self.seed = check_seed(seed)
        self.images = tuple(images)
        self.samples = each_sample(sample, len(self.images))
        self._generators: dict[str, list[np.random.Generator]] = {}
        self._ahead: dict[tuple[str, Filler, tuple[int, ...]], Future[np.ndarray]] = {}
        self._pool = ThreadPoolExecutor(max_workers=1) if prefetch else None

    def normal(self, stream: str, like: Tensor) -> Tensor:
        return self._to_tensor(self._array(stream, like, _fill_normal), like)

    def uniform(self, stream: str, like: Tensor) -> Tensor:
        inversion.check_real(like)
        drawn = torch.from_numpy(self._array(stream, like, _fill_uniform))
        return inversion.below_one(drawn, like.dtype).to(like.device)

    def categorical(self, stream: str, logits: Tensor) -> Tensor:
        return inversion.categorical(self.uniform(stream, inversion.places(logits)), logits)

    def skip(self, stream: str, like: Tensor) -> None:
        """Free: streams are independent, so a draw nobody uses need not be made."""

    def draw(
        self, stream: str, like: Tensor, sampler: Callable[[np.random.Generator, np.ndarray], np.ndarray]
    ) -> Tensor:
        """Other laws: `sampler(generator, entry)` for each batch entry of `like` (as float64), stacked."""
        entries = like.detach().to(device="cpu", dtype=torch.float64).numpy()
        self._check_batch(like)
        drawn = [sampler(g, e) for g, e in zip(self._streams(stream), entries, strict=True)]
        return self._to_tensor(np.stack(drawn) if drawn else entries, like)

    def close(self) -> None:
        """Stop the prefetch thread."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _array(self, stream: str, like: Tensor, fill: Filler) -> np.ndarray:
        self._check_batch(like)
        shape = tuple(like.shape[1:]) + ((2,) if like.is_complex() else ())
        key = (stream, fill, shape)
        if self._pool is None:
            return self._filled(*key)
        # One stream's numbers come in order, so only its last law and shape may be drawn ahead.
        for other in [k for k in self._ahead if k[0] == stream and k != key]:
            raise BadInput(
                f"stream {stream!r} was asked for {_described(key)} after {_described(other)}",
                do="Give draws of different laws or shapes streams of their own.",
            )
        ready = self._ahead.pop(key, None)
        array = ready.result() if ready is not None else self._filled(*key)
        self._ahead[key] = self._pool.submit(self._filled, *key)
        return array

    def _filled(self, stream: str, fill: Filler, shape: tuple[int, ...]) -> np.ndarray:
        streams = self._streams(stream)
        out = np.empty((len(streams), *shape))
        for index, source in enumerate(streams):
            fill(source, out[index, ...])  # an array also where an entry is one number
        return out

    def _streams(self, stream: str) -> list[np.random.Generator]:
        if stream not in self._generators:
            entries = zip(self.images, self.samples, strict=True)
            self._generators[stream] = [generator(self.seed, image, sample, stream) for image, sample in entries]
        return self._generators[stream]

    def _check_batch(self, like: Tensor) -> None:
        if like.shape[0] != len(self.images):
            raise BadInput(
                f"noise for a batch of {like.shape[0]} asked of a source for {len(self.images)} images",
                do="Make one NoiseSource per batch, with an image id for each entry.",
            )

    @staticmethod
    def _to_tensor(array: np.ndarray, like: Tensor) -> Tensor:
        drawn = torch.from_numpy(np.ascontiguousarray(array))
        if like.is_complex():
            drawn = torch.complex(drawn[..., 0], drawn[..., 1])
        return drawn.to(device=like.device, dtype=like.dtype)


def _fill_normal(source: np.random.Generator, out: np.ndarray) -> None:
    source.standard_normal(out=out)


def _fill_uniform(source: np.random.Generator, out: np.ndarray) -> None:
    source.random(out=out)


def _described(key: tuple[str, Filler, tuple[int, ...]]) -> str:
    return f"{'uniform' if key[1] is _fill_uniform else 'normal'} numbers of shape {key[2]}"


def each_sample(sample: int | Sequence[int], entries: int) -> tuple[int, ...]:
    """The sample index of each batch entry; BadInput where there are more or fewer than entries."""
    indices = (sample,) * entries if isinstance(sample, int) else tuple(sample)
    if len(indices) != entries:
        raise BadInput(f"{len(indices)} sample indices for {entries} batch entries", wanted="one for each")
    return indices


class Tape:
    """Recorded draws, handed out in the order in which the method's source made them; stream names are ignored.

    A categorical draw may have been recorded as the uniform numbers that were inverted, or as the classes themselves
    (an integer array).
    """

    def __init__(self, draws: Iterable[Any]) -> None:
        self._draws = [torch.as_tensor(np.asarray(d)) for d in draws]
        self.position = 0

    def normal(self, stream: str, like: Tensor) -> Tensor:
        return self._next(stream, like).to(device=like.device, dtype=like.dtype)

    def uniform(self, stream: str, like: Tensor) -> Tensor:
        inversion.check_real(like)
        return inversion.below_one(self._between_0_and_1(self._next(stream, like)), like.dtype).to(like.device)

    def categorical(self, stream: str, logits: Tensor) -> Tensor:
        like = inversion.places(logits)
        drawn = self._next(stream, like).to(like.device)
        if drawn.is_floating_point():
            return inversion.categorical(self._between_0_and_1(drawn).to(like.dtype), logits)
        if bool(((drawn < 0) | (drawn >= logits.shape[-1])).any()):
            raise BadInput(f"draw {self.position} of the tape has other classes", wanted=f"0 to {logits.shape[-1] - 1}")
        return drawn.long()

    def skip(self, stream: str, like: Tensor) -> None:
        """Read one recorded draw and drop it."""
        self.position += 1

    def _next(self, stream: str, like: Tensor) -> Tensor:
        if self.position >= len(self._draws):
            raise BadInput(f"the tape of {len(self._draws)} draws is at its end (stream {stream!r})")
        drawn = self._draws[self.position]
        self.position += 1
        if drawn.numel() != like.numel():
            raise BadInput(
                f"draw {self.position} of the tape has shape {tuple(drawn.shape)}", wanted=str(tuple(like.shape))
            )
        return drawn.reshape(like.shape)

    def _between_0_and_1(self, drawn: Tensor) -> Tensor:
        if bool(((drawn < 0) | (drawn >= 1)).any()):
            raise BadInput(f"draw {self.position} of the tape is not uniform", wanted="numbers of [0, 1)")
        return drawn
