"""What every prior tells about itself, and the one question a diffusion prior answers in which units."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from operators.common.errors import BadInput
from operators.common.settings import Checked, Count, Positive
from operators.common.space import IDENTITY, Affine, Latent, Space

from .maps import by_octaves, check_map, is_map
from .schedules import VP, Schedule

if TYPE_CHECKING:
    from operators.common.randomness import Noise
    from operators.core.operator import Operator
    from operators.noise.base import NoiseModel

Sigma = float | Tensor


class MeasuredProblem(Protocol):
    """What a prior may ask of the problem that it is fitted to (restore.Problem offers it)."""

    @property
    def y(self) -> Tensor:
        """B x output_shape."""

    @property
    def operator(self) -> Operator:
        """The physics."""

    @property
    def noise(self) -> NoiseModel:
        """The law of y given A(x)."""

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise of y."""

    def posed(self, space: Space, /) -> MeasuredProblem:
        """The same problem in other units."""


class Keeper(Protocol):
    """A place for the state of a training that is not done, so that a killed run goes on from there."""

    def read(self) -> Mapping[str, Tensor] | None:
        """What was kept last, or None."""

    def write(self, state: Mapping[str, Tensor]) -> None:
        """Keep a state in place of the last one; nothing happens where nothing can be written."""


@runtime_checkable
class Resumable(Protocol):
    """A prior whose `fit` can be interrupted: `learn` is the same with a place for the state of an unfinished run."""

    def learn(
        self, problem: MeasuredProblem, noise: Noise, watch: Callable[[int, int], None], keeper: Keeper | None
    ) -> Prior:
        """As `Prior.fit`; state is kept in `keeper` from time to time and taken up from there."""


class Prior(Checked, nn.Module):
    """What a solver's driver asks of any prior, whatever question it answers.

    kind: which question that is: "diffusion", or the name of a residual process (priors.residual). A solver says which
    kind it takes.
    space: what native units z are in image units, x = space.to(z): `Affine`, or the `Latent` space it works in. shift
    and scale are those of an affine one, x = shift + scale * z.
    clip: legal range of a clean picture in the units of this view, or None.
    channels: channel counts of the pictures it takes, or None for any. spatial: their axes after the channel axis, 2 or
    3.
    name, sha256: registry name and hash of the weights, for provenance.
    calls: names of the methods that cost a network call. Each takes the state first (B x ... x spatial axes) and then
    numbers, numbers per picture, or what lies on a grid as the state does, and gives a tensor or a dataclass of tensors
    on the state's grid. Counting, timing, lower precision and tiles are put around these (`priors.calls.around`).
    network_axes: how many of the last axes a network sees together, and tiles cut: `spatial` unless a class says less.
    any_axes: whether pictures with another number of axes are taken too, slice by slice.
    tile_tolerance: by how much tiles of 64 that share 32 differ from the whole, a mean over pixels, in widths of the
    range. differentiable: whether gradients pass through its calls.
    """

    calls: ClassVar[tuple[str, ...]] = ()
    network_axes: int = 2
    any_axes: bool = False
    tile_tolerance: float = 0.005
    differentiable: bool = True
    kind: str = ""
    clip: tuple[float, float] | None
    name: str = ""
    sha256: str = ""

    def __init__(
        self,
        *,
        shift: float = 0.0,
        scale: Positive = 1.0,
        native_clip: tuple[float, float] | None = None,
        channels: tuple[Count, ...] | None = None,
        spatial: Literal[2, 3] = 2,
        space: Space | None = None,
    ) -> None:
        super().__init__()
        self.space: Space = Affine(shift, scale) if space is None else space
        self.native_clip = native_clip
        self.clip = _clip(self.space, native_clip)
        self.channels, self.spatial = channels, spatial
        if "network_axes" not in vars(type(self)):
            self.network_axes = spatial
        self._adopt(self.space)

    def _adopt(self, space: Space) -> None:
        """Have the networks of a latent space move to a device with this prior."""
        for part in space.parts:
            for end in (part.encode, part.decode) if isinstance(part, Latent) else ():
                if isinstance(end, nn.Module):
                    self.add_module(f"end{len(self._modules)}", end)

    @property
    def shift(self) -> float:
        """Of x = shift + scale * z; BadInput for a latent prior."""
        if not isinstance(self.space, Affine):
            raise BadInput(f"prior {self.name!r} works on latents, which have no shift", do="Use prior.space.")
        return self.space.shift

    @property
    def scale(self) -> float:
        """What native noise levels are multiplied by to be those of pictures (1 for latents)."""
        return self.space.scale

    @property
    def native(self) -> Self:
        """This prior in its own units (shift 0, scale 1), on latents where its space is one."""
        if self.space == IDENTITY:
            return self
        view = copy.copy(self)
        view.space, view.clip = IDENTITY, self.native_clip
        if not isinstance(self.space, Affine):
            view.channels = None  # those of pictures
        return view

    @property
    def fit_key(self) -> str | None:
        """The settings that `fit` depends on, in a word, so that what it learned may be kept; None: it is not kept."""
        return None

    def fit(self, problem: MeasuredProblem, noise: Noise, watch: Callable[[int, int], None]) -> Prior:
        """The prior that is used on this problem: itself, unless it learns from the measurement.

        Called once before sampling. problem: a restore.Problem in the units of the prior's pictures, all of its batch;
        `problem.posed(self.space)` is in native units. noise: all randomness, one entry per picture. watch: to be
        called as (network calls done, of how many) after each; these are counted in the result. The answer keeps
        name and hash of this prior; itself must stay as it is.
        """
        return self

    def fitted(self, state: Mapping[str, Tensor]) -> Prior:
        """What `fit` gave, from the `state_dict` that was kept of it."""
        again = copy.deepcopy(self)
        again.load_state_dict(dict(state))
        return again

    def within(self, space: Space, *, channels: tuple[int, ...] | None = None) -> Self:
        """This prior of z as a prior of pictures x = space.to(z): in other units, or decoded from latents.

        channels: of those pictures; None: its own in an `Affine` space, any in another.
        """
        view = copy.copy(self)
        view._modules = dict(self._modules)
        view.space = space @ self.space
        affine = isinstance(view.space, Affine)
        view.channels = self.channels if affine and channels is None else channels
        view.clip = _clip(view.space, self.native_clip)
        view._adopt(space)
        return view


def _clip(space: Space, native: tuple[float, float] | None) -> tuple[float, float] | None:
    return (space.to(native[0]), space.to(native[1])) if native is not None and isinstance(space, Affine) else None


class DiffusionPrior(Prior):
    """E[x0 | x0 + sigma n = x], in image units; `native` is the same prior in its own units.

    A subclass implements `denoise_native(z, sigma)` in its own units z.

    schedule: the default schedule of `x0` (VP with 1000 steps). The rest: see `Prior`.
    takes_maps: whether `denoise_native` answers noise that differs from pixel to pixel itself.
    """

    takes_maps: bool = False
    calls = ("denoise_native",)
    kind = "diffusion"

    def __init__(
        self,
        *,
        shift: float = 0.0,
        scale: Positive = 1.0,
        native_clip: tuple[float, float] | None = None,
        channels: tuple[Count, ...] | None = None,
        schedule: Schedule | None = None,
        spatial: Literal[2, 3] = 2,
        space: Space | None = None,
    ) -> None:
        super().__init__(
            shift=shift, scale=scale, native_clip=native_clip, channels=channels, spatial=spatial, space=space
        )
        self.schedule: Schedule = schedule if schedule is not None else VP()

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        """E[z0 | z0 + sigma n = z]; z: B x C x H x W in native units, sigma: B positive numbers.

        Where `takes_maps` is set, sigma may also be a map (B x 1 or C x H x W) whose least value may be 0.
        """
        raise TypeError(f"{type(self).__name__} does not implement denoise_native")

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        """The posterior mean of the clean picture.

        x: B x C x H x W in the units of this view. sigma: noise standard deviation in the same units: a number, one per
        batch entry, or a map (B x 1 x H x W or B x C x H x W); 0 returns x itself. A map is answered exactly where the
        prior can (`takes_maps`), otherwise by the rule "by octaves" (`priors.maps`), in one to eight calls. BadInput
        for a negative or non-finite sigma or a wrong shape.
        """
        if not isinstance(self.space, Affine):
            raise BadInput(
                f"prior {self.name!r} denoises latents and was given a picture",
                do="Use prior.native.denoise(z, sigma) with z = prior.space.back(x).",
            )
        level = check_map(sigma, x) if is_map(sigma, x) else check_sigma(sigma, x)
        if self.channels is not None and x.shape[1] not in self.channels:
            raise BadInput(
                f"{type(self).__name__} was given {x.shape[1]} channels",
                wanted=" or ".join(map(str, self.channels)),
                do="Choose an adapter (priors.diffusion.adapters) or a prior for this kind of picture.",
            )
        if x.shape[0] == 0:
            return x
        noisy = level > 0
        if level.ndim > 1:
            x0 = self.space.to(self._denoise_map(self.space.back(x), level / self.scale)) if bool(noisy.any()) else x
            return torch.where(noisy, x0, x)
        safe = torch.where(noisy, level, torch.ones_like(level)) / self.scale
        x0 = self.space.to(self.denoise_native(self.space.back(x), safe))
        return x0 if bool(noisy.all()) else torch.where(noisy.reshape(-1, *[1] * (x.ndim - 1)), x0, x)

    def _denoise_map(self, z: Tensor, levels: Tensor) -> Tensor:
        return self.denoise_native(z, levels) if self.takes_maps else by_octaves(self.denoise_native, z, levels)

    def alpha(self, t: float) -> float:
        """Scale of the clean picture at time t of this prior's schedule."""
        return self.schedule.alpha(t)

    def sigma(self, t: float) -> float:
        """Noise level at time t of this prior's schedule."""
        return self.schedule.sigma(t)

    def x0(self, x_t: Tensor, t: float, schedule: Schedule | None = None) -> Tensor:
        """E[x0 | x_t] for x_t = alpha(t) x0 + sigma(t) n on `schedule` (default: the prior's own)."""
        table = self.schedule if schedule is None else schedule
        alpha = table.alpha(t)
        return self.denoise(x_t / alpha, table.sigma(t) / alpha)


class WrappedPrior(DiffusionPrior):
    """A prior around another one (`prior`), with its units, range, channels, schedule and name; base of wrappers."""

    def __init__(self, prior: DiffusionPrior) -> None:
        super().__init__(
            native_clip=prior.native_clip,
            channels=prior.channels,
            schedule=prior.schedule,
            spatial=prior.spatial,
            space=prior.space,
        )
        self.prior, self.name, self.sha256 = prior, prior.name, prior.sha256


def check_sigma(sigma: Sigma, x: Tensor) -> Tensor:
    """sigma as a tensor of B entries with the precision and on the device of x."""
    if isinstance(sigma, Tensor) and sigma.device != x.device and sigma.numel() > 1:
        raise BadInput(f"sigma is on {sigma.device}", wanted=f"{x.device}, where x is")
    precision = x.real.dtype if x.is_complex() else x.dtype
    level = torch.as_tensor(sigma, dtype=precision, device=x.device).reshape(-1)
    if level.numel() not in (1, x.shape[0]):
        raise BadInput(
            f"sigma has {level.numel()} entries", wanted=f"one number, or one for each of the {x.shape[0]} pictures"
        )
    if not bool(torch.isfinite(level).all()) or bool((level < 0).any()):
        raise BadInput(f"sigma is {sigma}", wanted="finite and not negative")
    return level.expand(x.shape[0])
