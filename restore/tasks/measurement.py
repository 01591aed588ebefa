"""From a picture to its measurement; from a measured file to what it leaves unsaid: range, rounding, mask, noise."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor

from operators import BadInput, BadType, NoiseSource, image_id
from operators.core.base import Operator
from operators.noise import Gaussian, NoiseModel

HOLE_SHARE = (0.001, 0.995)  # a picture with fewer or more zero pixels than this is not taken for a masked one


def as_batch(image: Any, *, what: str = "the picture", spatial: int = 2, complex_values: bool = False) -> Tensor:
    """B x C x H x W (B x C x D x H x W for spatial 3) from an Image or a tensor with or without the batch axis.

    A copy, without gradients. float64 stays, half precision becomes float32; a batch of no pictures is legal.
    complex_values: allowed. An Image is one picture: where it is a volume and pictures are wanted, its channels and
    slices together are the channels, and `restore.io.write_native` makes a volume of the estimate again.
    """
    data = image if isinstance(image, Tensor) else getattr(image, "data", None)
    if not isinstance(data, Tensor):
        raise BadType(f"{what} is {type(image).__name__}", wanted="restore.read(path), or a tensor B x C x H x W")
    if not (data.is_floating_point() or (complex_values and data.is_complex())):
        raise BadType(f"{what} has values of type {data.dtype}", wanted="real floating-point numbers")
    if data is not image and data.ndim == spatial + 2:
        data = data.flatten(0, 1)
    axes = "C x H x W" if spatial == 2 else "C x D x H x W"
    if data.ndim not in (spatial + 1, spatial + 2) or 0 in data.shape[-spatial - 1 :]:
        raise BadInput(f"{what} has shape {tuple(data.shape)}", wanted=f"{axes} or B x {axes}")
    promoted = torch.promote_types(data.dtype, torch.float32)
    return (data if data.ndim == spatial + 2 else data[None]).detach().to(promoted).clone()


def check_values(x: Tensor, *, what: str = "the picture", low: float = 0.0, high: float = 1.0) -> None:
    """BadInput for NaN and infinite values (count and first index) and for values outside [low, high]."""
    finite = torch.isfinite(torch.view_as_real(x)).all(-1) if x.is_complex() else torch.isfinite(x)
    if not bool(finite.all()):
        first = tuple(int(i) for i in (~finite).nonzero()[0])
        raise BadInput(
            f"{what} holds {int((~finite).sum())} NaN or infinite values, the first at {first}", do="Repair them first."
        )
    if x.numel() == 0 or x.is_complex():
        return
    smallest, largest = float(x.min()), float(x.max())
    if smallest < low or largest > high:
        raise BadInput(
            f"{what} has values from {smallest:.4g} to {largest:.4g}",
            wanted=f"values in [{low:g}, {high:g}]",
            do="Say which stored number is 1 with --white (255 for 8 bits), or name the unit with --unit.",
        )


def crop_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """The largest part from the top left whose sides are multiples of `multiple`."""
    height, width = (side - side % multiple for side in x.shape[-2:])
    if height == 0 or width == 0:
        raise BadInput(
            f"the picture is {x.shape[-2]} x {x.shape[-1]} pixels",
            wanted=f"at least {multiple} x {multiple} for this task",
        )
    return x[..., :height, :width].contiguous()


def measure(
    operator: Operator, noise: NoiseModel, truth: Tensor, *, seed: int, bits: int | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """y = noise(A(truth)), stored with `bits` where given, and the name of each picture on which its draws depend.

    The one place where a picture is measured: `restore run`, `bench`, `bench map`, `rerun` and scripts draw the same y
    from the same picture and seed. truth: B x input_shape. Unobserved entries are 0 and carry no noise.
    """
    ids = tuple(image_id(entry) for entry in truth)
    with torch.no_grad():
        y = noise.sample(operator(truth), NoiseSource(seed, ids, sample=0))
    y = keep_observed(y, operator)
    return (y if bits is None else keep_observed(quantise(y, bits), operator)), ids


def keep_observed(y: Tensor, operator: Operator) -> Tensor:
    """y with 0 wherever nothing was observed."""
    observed = operator.observed
    return y if observed is None else torch.where(observed, y, torch.zeros_like(y))


def quantise(y: Tensor, bits: int) -> Tensor:
    """What a stored picture keeps: clipped to [0, 1] and rounded to one of 2^bits levels."""
    levels = 2**bits - 1
    return torch.round(y.clamp(0, 1) * levels) / levels


def with_rounding(noise: NoiseModel, bits: int | None) -> NoiseModel:
    """Gaussian noise joined by the variance of uniform rounding, step^2 / 12; other laws unchanged."""
    if bits is None or not isinstance(noise, Gaussian):
        return noise
    step = 1 / (2**bits - 1)
    return Gaussian(sigma=math.sqrt(float(noise.sigma) ** 2 + step**2 / 12))


def estimate_sigma(y: Tensor) -> float:
    """Standard deviation of white noise in a picture, from the median of its finest wavelet coefficients.

    y: B x C x H x W. Donoho, Johnstone 1994 (skimage.restoration.estimate_sigma), mean over channels. Fine texture
    counts as noise, so the value is an upper bound for detailed pictures. A channel without any detail (black, or cut
    off at white) has none.
    """
    import numpy as np
    import skimage.restoration

    estimate: Any = skimage.restoration.estimate_sigma
    array = y.detach().cpu().double().numpy()
    with warnings.catch_warnings():
        # A channel that is constant has no coefficient to take the median of: skimage warns and answers NaN.
        warnings.simplefilter("ignore", RuntimeWarning)
        channels = [estimate(entry, channel_axis=0, average_sigmas=False) for entry in array]
    return float(sum(np.mean(np.nan_to_num(sigmas)) for sigmas in channels) / len(array))


def detect_mask(y: Tensor) -> Tensor:
    """The mask (H x W, True = measured) of a picture with holes, where none was given.

    Missing is a pixel that is exactly 0 in all channels of all pictures: what this toolkit writes into a hole.
    """
    there = (y != 0).any(1).any(0)
    share = 1 - float(there.double().mean())
    if not HOLE_SHARE[0] <= share <= HOLE_SHARE[1]:
        raise BadInput(
            f"{100 * share:.2f} % of the pixels are exactly 0, which does not tell the mask",
            do="Give the mask with --mask FILE (nonzero = measured).",
        )
    return there
