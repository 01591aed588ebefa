"""Somebody else's denoiser as a prior: a function, a network, a deepinv denoiser, a diffusers UNet and scheduler."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from operators.common.errors import BadInput, BadType
from operators.common.settings import Count, Positive, above

from ..base import DiffusionPrior, Prior
from ..maps import by_octaves
from .diffusers import SchedulerPrior, from_folder

Denoiser = Callable[..., Any]
"""(x, sigma) -> the clean picture, or what `predicts` says."""
Answer = Literal["x0", "noise", "residual"]
Levels = Literal["batch", "number", "map"]


class WrappedDenoiser(DiffusionPrior):
    """E[x0 | x0 + sigma n = x] by a denoiser that works on values of its own range. See `wrap`."""

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        sigma_width: Positive | None = None,
        sigma_as: Levels = "batch",
        predicts: Answer = "x0",
        channels: tuple[Count, ...] | None = None,
        spatial: Literal[2, 3] = 2,
        differentiable: bool = True,
        name: str = "",
    ) -> None:
        above("value_range[1]", value_range[1], "value_range[0]", value_range[0])
        super().__init__(shift=0.5, scale=0.5, native_clip=(-1.0, 1.0), channels=channels, spatial=spatial)
        self.denoiser, self.differentiable = denoiser, differentiable
        self.low, self.radius = value_range[0], (value_range[1] - value_range[0]) / 2
        self.sigma_gain = 1.0 if sigma_width is None else sigma_width / (2 * self.radius)
        self.sigma_as, self.predicts, self.takes_maps = sigma_as, predicts, sigma_as == "map"
        self.name = name or getattr(denoiser, "__name__", type(denoiser).__name__)
        self.sha256 = weights_digest(denoiser) if isinstance(denoiser, nn.Module) else ""

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        if z.is_complex():
            raise BadInput(f"the picture is complex and {self.name!r} is real", do="Adapt it: real-imaginary.")
        if sigma.ndim > 1 and sigma.shape[1] > 1:  # who takes a map takes one for all channels
            return by_octaves(self.denoise_native, z, sigma)
        precision = _precision(self.denoiser, z)
        x, level = (self.low + self.radius * (z + 1)).to(precision), (self.radius * sigma).to(precision)
        clean = self._asked(x, level)
        return ((clean - self.low) / self.radius - 1).to(z.dtype)

    def _asked(self, x: Tensor, level: Tensor) -> Tensor:
        """The clean picture, in the denoiser's own values. level: one for each picture, or a map."""
        if self.sigma_as == "number" and len(x) > 1 and not bool((level == level[0]).all()):
            return torch.cat([self._asked(x[k : k + 1], level[k : k + 1]) for k in range(len(x))])
        noise = level if level.ndim > 1 else level.reshape(-1, *[1] * (x.ndim - 1))
        noise_level: Any = self.sigma_gain * level
        if self.sigma_as == "number":
            noise_level = float(noise_level[0])
        elif self.sigma_as == "map":
            noise_level = self.sigma_gain * noise.expand(-1, 1, *x.shape[2:])
        answer = self.denoiser(x, noise_level)
        if not isinstance(answer, Tensor) or answer.shape != x.shape:
            shown = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            raise BadInput(f"{self.name!r} answered {shown}", wanted=f"{tuple(x.shape)}, as it was asked")
        if self.predicts == "x0":
            return answer
        return x - (noise * answer if self.predicts == "noise" else answer)


def wrap(
    x: Any,
    scheduler: Any = None,
    *,
    value_range: Annotated[tuple[float, float], "values of pictures as the denoiser sees them"] = (0.0, 1.0),
    sigma_width: Positive | None = None,
    sigma_as: Levels = "batch",
    predicts: Answer = "x0",
    channels: tuple[Count, ...] | None = None,
    spatial: Literal[2, 3] = 2,
    differentiable: bool = True,
    name: str = "",
) -> Prior:
    """A prior of any denoiser, whose own range is said once, here; pictures of the prior are in [0, 1].

    x: a function or nn.Module f(x, sigma), a deepinv denoiser, a diffusers UNet (with its scheduler), a pipeline that
    has both, or the folder of one; a prior is returned as it is. A network is put into evaluation mode and called with
    the precision of its weights.
    value_range: what [0, 1] is to it. sigma_width: what it calls the width of that range when it is told a noise level
    (255 for grey levels); None: the width itself, so that sigma is in the units of its values. sigma_as: whether it
    takes one number for each picture, a plain number (pictures of other levels are then asked one by one), or a map
    B x 1 x H x W (it then answers noise that differs from pixel to pixel itself). predicts: the clean picture, the
    noise n of x0 + sigma n, or what is to be taken off, x - x0. channels: what it takes, None: any. differentiable:
    whether torch's gradients pass through it. name: for provenance.

    Raises BadType for what cannot be called, BadInput for a range or scheduler that does not do, MissingExtra for a
    folder where diffusers is not installed.
    """
    if isinstance(x, Prior):
        return x
    if isinstance(x, Path):
        x = from_folder(x)
    unet, steps = _unet_and_scheduler(x, scheduler)
    if steps is not None:
        return SchedulerPrior(unet.eval(), steps, name=name)
    if isinstance(x, type) or not _takes_two(x):
        kind = f"the class {x.__name__}" if isinstance(x, type) else type(x).__name__
        raise BadType(f"prior is {kind}", wanted="a prior (a DiffusionPrior, ...), its name, or a denoiser f(x, sigma)")
    denoiser = x.eval() if isinstance(x, nn.Module) else x
    return WrappedDenoiser(
        denoiser,
        value_range=value_range,
        sigma_width=sigma_width,
        sigma_as=sigma_as,
        predicts=predicts,
        channels=channels,
        spatial=spatial,
        differentiable=differentiable,
        name=name,
    )


def weights_digest(network: nn.Module) -> str:
    """sha256 of a network's weights, by name."""
    digest = hashlib.sha256()
    for name, array in sorted(network.state_dict().items()):
        flat = array.detach().cpu().contiguous()
        digest.update(
            f"{name}{tuple(flat.shape)}{flat.dtype}".encode() + flat.reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def _unet_and_scheduler(x: Any, scheduler: Any) -> tuple[Any, Any]:
    """A UNet and its scheduler from a pair of them or a pipeline; (x, None) for another denoiser."""
    if scheduler is not None:
        return x, scheduler
    if isinstance(x, tuple) and len(x) == 2:
        return x
    if hasattr(x, "unet") and hasattr(x, "scheduler"):
        if getattr(x, "vae", getattr(x, "vqvae", None)) is not None:
            raise BadInput(
                f"{type(x).__name__} works on latents",
                do="Wrap its unet and scheduler, and call .within(Latent(encode, decode, shape)) on the prior.",
            )
        return x.unet, x.scheduler
    return x, None


def _takes_two(x: Any) -> bool:
    """Whether x can be called with a picture and a noise level, as far as its signature tells."""
    if not callable(x):
        return False
    try:
        inspect.signature(x.forward if isinstance(x, nn.Module) else x).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # built-in functions tell nothing
        return True
    return True


def _precision(denoiser: Denoiser, like: Tensor) -> torch.dtype:
    """The precision of a network's weights; that of the data for anything else."""
    weights = denoiser.parameters() if isinstance(denoiser, nn.Module) else iter(())
    return next((w.dtype for w in weights if w.is_floating_point()), like.dtype)
