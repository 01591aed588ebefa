"""A network that was trained on noisy pictures alone, as a prior: it learns from the measurement, or comes from a file.

Pictures of one to four channels are seen whole. One of more channels is a stack: each of its slices is a picture of one
channel, and so are the slices of a volume (C x D x H x W, each of C channels). All slices train one network.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from operators.common.errors import BadInput
from operators.common.randomness import Noise

from ..base import Keeper, MeasuredProblem, Prior
from .training import Training, train

MOST_CHANNELS = 4  # of a picture; more are slices of a stack
LEAST_SIDE = 5  # pixels


class SelfSupervisedPrior(Prior):
    """Base of networks that learn from noisy pictures; a subclass says which network, and what a batch costs.

    method: its name in files. architecture: of the network, in `priors.files.checkpoints`. middle, spread: mean and
    standard deviation of the measurement in the network's units. any_axes: volumes are taken slice by slice.

    Before `fit` it has no network, and calls raise BadInput; what `fit` gives, and what a file holds, leaves later
    measurements alone.
    """

    kind = "self-supervised"
    calls: ClassVar[tuple[str, ...]] = ("predict",)
    any_axes = True
    method: ClassVar[str] = ""
    architecture: ClassVar[str] = ""
    middle: ClassVar[float] = 0.0
    spread: ClassVar[float] = 1.0
    about: Tensor

    def __init__(self, *, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.name = self.method
        self.settings = dict(settings)
        self.network: nn.Module | None = None
        self.register_buffer("about", torch.zeros(3, dtype=torch.float64))  # channels, shift, scale of the network

    # -- what a method says ---------------------------------------------------------------------------------------

    def network_settings(self, channels: int) -> dict[str, Any]:
        """Settings of the network for pictures of that many channels."""
        raise TypeError(f"{type(self).__name__} does not implement network_settings")

    def plan(self) -> Training:
        """How it is trained."""
        raise TypeError(f"{type(self).__name__} does not implement plan")

    def loss(self, network: nn.Module, noisy: Tensor, generator: torch.Generator, step: int) -> Tensor:
        """What a batch of noisy crops costs (B x C x H x W, in the network's units)."""
        raise TypeError(f"{type(self).__name__} does not implement loss")

    # -- the network ----------------------------------------------------------------------------------------------

    @property
    def trained(self) -> bool:
        """Whether it has learned."""
        return self.network is not None

    def predict(self, y: Tensor) -> Tensor:
        """What the network makes of noisy pictures (B x C x H x W or B x C x D x H x W), in their units."""
        return self.through(y, lambda network, z: network(z))

    def through(self, y: Tensor, call: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
        """`call(network, z)` of the pictures in the network's units and slices, back in y's."""
        network, (channels, shift, scale) = self._ready(y.dtype), self._about()
        z = ((slices(y, channels) - shift) / scale).contiguous(memory_format=torch.channels_last)
        with torch.autocast(y.device.type, enabled=False) if y.dtype == torch.float64 else contextlib.nullcontext():
            answer = call(network, z)
        return unsliced(self.to_picture(answer.to(y.dtype)), y)

    def to_picture(self, answer: Tensor) -> Tensor:
        """An answer of the network in units of the picture."""
        _, shift, scale = self._about()
        return shift + scale * answer

    def _about(self) -> tuple[int, float, float]:
        channels, shift, scale = self.about.tolist()
        return int(channels), shift, scale

    def _ready(self, dtype: torch.dtype) -> nn.Module:
        if self.network is None:
            raise BadInput(
                f"prior {self.name or self.method!r} has not been trained",
                do="Give it to restore.solve, which trains it on the measurement, or load one that was kept.",
            )
        # Differences of a millionth of a picture are asked for in double precision.
        return copy.deepcopy(self.network).double() if dtype == torch.float64 else self.network

    # -- learning -------------------------------------------------------------------------------------------------

    @property
    def fit_key(self) -> str | None:
        return None if self.trained else json.dumps(self.settings, sort_keys=True)

    def fit(self, problem: MeasuredProblem, noise: Noise, watch: Callable[[int, int], None]) -> Prior:
        """The same prior with a network trained on y; itself where it has one already. A must be the identity."""
        return self.learn(problem, noise, watch, None)

    def learn(
        self, problem: MeasuredProblem, noise: Noise, watch: Callable[[int, int], None], keeper: Keeper | None
    ) -> Self:
        """`fit`, with a place for the state of an interrupted run."""
        if self.trained:
            return self
        if tuple(problem.operator.input_shape) != tuple(problem.operator.output_shape):
            raise BadInput(
                f"{self.method} learns from noisy pictures and the measurement is none",
                do="Choose a task without an operator, such as denoise-blind.",
            )
        pictures = training_pictures(problem.y)
        seed = _seed(noise, problem.y)
        fitted = self._with_network(pictures.shape[1], seed).to(pictures.device)
        fitted.about.copy_(torch.tensor([pictures.shape[1], *self.units(pictures)]))
        _, shift, scale = fitted._about()
        network = fitted.network
        if network is not None:
            fitted.network = train(
                network,
                self.prepared((pictures - shift) / scale),
                self.loss,
                self.plan(),
                seed=seed,
                watch=watch,
                keeper=keeper,
            )
        return fitted

    def units(self, pictures: Tensor) -> tuple[float, float]:
        """(shift, scale) of the network's units, in which the pictures have `middle` and `spread`."""
        deviation = float(pictures.double().std(correction=0))
        scale = deviation / self.spread if deviation > 0 else 1.0
        return float(pictures.double().mean()) - self.middle * scale, scale

    def prepared(self, pictures: Tensor) -> Tensor:
        """What crops are taken from, in the network's units."""
        return pictures

    def fitted(self, state: Mapping[str, Tensor]) -> Self:
        again = self._with_network(int(state["about"][0]), 0)
        again.load_state_dict(dict(state))
        again.network = again._ready(torch.float32).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return again.eval().requires_grad_(False)

    def around(self, network: nn.Module, channels: int, shift: float, scale: float) -> Self:
        """The trained prior of a network, whose pictures are shift + scale * z."""
        again = copy.deepcopy(self)
        again.network = network
        again.about = torch.tensor([channels, shift, scale], dtype=torch.float64)
        return again.eval()

    def _with_network(self, channels: int, seed: int) -> Self:
        from ..files.checkpoints import ARCHITECTURES

        again = copy.deepcopy(self)
        with torch.random.fork_rng(devices=[]), torch.inference_mode(mode=False):
            torch.manual_seed(seed)
            again.network = ARCHITECTURES.build(self.architecture, **self.network_settings(channels))
            self.begin(again.network)
        return again

    def begin(self, network: nn.Module) -> None:
        """First weights, where a method has its own; torch's otherwise."""

    def preconditioning(self) -> dict[str, Any]:
        """What a weights file says beside the network."""
        channels, shift, scale = self._about()
        about = {"channels": channels, "shift": shift, "scale": scale}
        return {"kind": self.kind, "method": self.method, "settings": self.settings, **about}


def training_pictures(y: Tensor) -> Tensor:
    """The pictures of a measurement in float32, slices apart; BadInput where they are too small."""
    if y.is_complex():
        raise BadInput("the measurement is complex", wanted="real pictures", do="Denoise its parts apart.")
    if min(y.shape[-2:]) < LEAST_SIDE:
        raise BadInput(f"the pictures are {y.shape[-2]} x {y.shape[-1]} pixels", wanted=f"at least {LEAST_SIDE}")
    seen = 1 if y.ndim == 4 and y.shape[1] > MOST_CHANNELS else y.shape[1]
    return slices(y, seen).detach().float().contiguous()


def slices(y: Tensor, channels: int) -> Tensor:
    """B x C x H x W, or a volume B x C x D x H x W, as pictures of so many channels (N x channels x H x W).

    BadInput where the channels are neither as many as wanted nor to be taken one by one.
    """
    if y.shape[1] != channels and channels != 1:
        raise BadInput(f"the picture has {y.shape[1]} channels", wanted=f"{channels}, as it was trained on")
    if y.ndim == 5:
        y = y.movedim(2, 1).flatten(0, 1)
    return y if y.shape[1] == channels else y.reshape(-1, 1, *y.shape[-2:])


def unsliced(z: Tensor, like: Tensor) -> Tensor:
    """What `slices` took apart, put together again."""
    if like.ndim == 4:
        return z.reshape(like.shape)
    batch, channels, depth = like.shape[:3]
    return z.reshape(batch, depth, channels, *like.shape[-2:]).movedim(1, 2)


def _seed(noise: Noise, y: Tensor) -> int:
    """A number that depends on all pictures of the batch and on nothing else."""
    drawn = noise.uniform("training", torch.zeros(len(y), 1, dtype=torch.float64))
    return int(sum(int(number * 2**40) for number in drawn.flatten().tolist()) % 2**40)
