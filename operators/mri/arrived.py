"""K-space from elsewhere: real and imaginary parts side by side, its order, and how many coils received it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.received import Received
from ..core.base import Shape
from .fourier import centred_fft
from .trajectories import BEYOND, wrapped

BLOCK = 8  # the middle and the corners are judged by blocks of one part in so many of each axis
PLAIN = 30.0  # times as much power in one of them as in the other is no accident
GATHERED = 8.0  # times the share of the power in the middle that the transform of a picture has, beside the picture
ESTIMATE = "estimate them with operators.mri.espirit(kspace) and store them, coils x H x W"


def samples(y: Tensor) -> tuple[Tensor, list[str]]:
    """K-space as complex numbers (B x C x ...) and what was done to it; BadInput for numbers without a phase.

    Two real channels are real and imaginary parts, as deepinv and fastMRI store them.
    """
    if y.is_complex():
        return y, []
    if y.shape[1] == 2 and bool((y[:, 0] < 0).any()) and bool((y[:, 1] < 0).any()):
        return torch.complex(y[:, :1], y[:, 1:]), ["k-space: its two real channels are real and imaginary part"]
    if not bool(torch.nan_to_num(y).any()):
        return y, []
    kind = "magnitudes without a phase" if not bool((y < 0).any()) else f"real numbers in {y.shape[1]} channels"
    raise BadInput(
        f"k-space holds {kind}",
        wanted="complex samples, or real and imaginary part as two channels",
        do="A picture is no k-space: leave --measured out to simulate a scan of it.",
    )


def check_order(kspace: Tensor) -> None:
    """BadInput for k-space (B x C x H x W, complex) with zero frequency in the corner, and for a picture in its place.

    Power is strongest at zero frequency. Samples of exactly 0 were not measured and do not count.
    """
    if kspace.ndim != 4 or min(kspace.shape[-2:]) < 2 * BLOCK or not kspace.is_complex():
        return
    power = torch.nan_to_num(kspace).abs().double().pow(2).sum((0, 1))
    middle, corners, whole = (_mean(part) for part in (_middle(power), _middle(torch.fft.fftshift(power)), power))
    if middle is None or whole is None:
        return
    if corners is not None and corners > PLAIN * middle:
        raise BadInput(
            "k-space has zero frequency in the corner (the order of fft)",
            wanted="zero frequency in the middle of the array",
            do="Apply numpy.fft.fftshift(kspace, axes=(-2, -1)), and the same to a mask.",
        )
    seen = torch.nan_to_num(centred_fft(kspace.to(torch.complex128))).abs().pow(2).sum((0, 1))
    if middle < 4 * whole and seen.sum() and _share(seen) > GATHERED * max(_share(power), 1e-12):
        raise BadInput(
            "the measurement looks like a picture: its power is spread out, and that of its transform is not",
            wanted="k-space, with zero frequency in the middle of the array",
            do="Apply the centred transform numpy.fft.fftshift(numpy.fft.fft2(numpy.fft.ifftshift(x))), or leave "
            "--measured out to simulate a scan.",
        )


def one_coil(y: Tensor, arrays: Mapping[str, Tensor], shape: Shape | None, *, operator: str) -> Received:
    """K-space of one coil; BadInput for more channels than the user said there are pictures."""
    y, notes = samples(y)
    channels = y.shape[1]
    receivers = f"--set operator.name={operator} --array maps=FILE" if operator != "mri-nufft" else "--array maps=FILE"
    if "maps" in arrays or (channels > 1 and (shape is None or shape[0] != channels)):
        found = "coil maps were given" if "maps" in arrays else f"k-space has {channels} channels"
        raise BadInput(
            f"{found}, and the operator knows one coil",
            do=f"Coils of one scan: {receivers}; without maps, {ESTIMATE}. "
            f"{channels} pictures: --shape {','.join(map(str, (channels, *y.shape[2:])))}.",
        )
    check_order(y)
    return Received(y, dict(arrays), None, tuple(notes))


def many_coils(y: Tensor, arrays: Mapping[str, Tensor], shape: Shape | None) -> Received:
    """K-space of several coils on a grid, with their maps; BadInput without maps, or with those of another scan."""
    y, notes = samples(y)
    maps = given_maps(arrays)
    count, spatial = maps.shape[0], tuple(maps.shape[1:])
    pictures, rest = divmod(math.prod(y.shape[1:]), count * math.prod(spatial))
    if rest or not pictures or tuple(y.shape[-2:]) != spatial[-2:]:
        raise BadInput(
            f"the maps have shape {tuple(maps.shape)} and k-space {tuple(y.shape[1:])}",
            wanted="maps for each coil of this scan, coils x H x W, in the same order",
        )
    check_order(y)
    if shape is None:
        shape = (pictures, *spatial)
        notes.append(f"coils: {count}, as many as there are maps, of {pictures} picture{'s' * (pictures > 1)}")
    return Received(y, dict(arrays), shape, tuple(notes))


def given_maps(arrays: Mapping[str, Tensor]) -> Tensor:
    """The maps that the user gave, coils x spatial; BadInput where there are none: simulated ones fit no scan."""
    if "maps" not in arrays:
        raise BadInput(
            "k-space of several coils without coil maps; simulated ones belong to no scan",
            do=f"Give them with --array maps=FILE (complex, coils x H x W); {ESTIMATE}.",
        )
    maps = arrays["maps"]
    maps = maps[0] if maps.ndim > 3 and maps.shape[0] == 1 else maps
    if maps.ndim not in (3, 4):
        raise BadInput(f"the maps have shape {tuple(maps.shape)}", wanted="coils x H x W")
    return maps


def trajectory_scan(
    y: Tensor, arrays: Mapping[str, Tensor], settings: Mapping[str, Any], shape: Shape | None
) -> Received:
    """K-space on a trajectory, of one coil or of several with their maps, its points modulo 2 pi."""
    arrays, said = _inside(arrays, settings)
    if "maps" in arrays or settings.get("coils", 1) > 1:
        maps = given_maps(arrays)
        y, notes = samples(y)
        return Received(y, dict(arrays), shape or (1, *maps.shape[1:]), (*notes, *said))
    points = arrays.get("points")
    y, notes = samples(y)
    measured = math.prod(y.shape[1:])
    taken = None if points is None else points.numel() // max(1, points.shape[-1])
    receivers = y.shape[1] if taken is None or measured % taken else measured // taken
    if receivers > 1 and (shape is None or shape[0] != receivers):
        return one_coil(y.reshape(len(y), receivers, -1), arrays, shape, operator="mri-nufft")
    return Received(y, dict(arrays), None, (*notes, *said))


def _inside(arrays: Mapping[str, Tensor], settings: Mapping[str, Any]) -> tuple[dict[str, Tensor], list[str]]:
    """The arrays with points in radians that lie a little beyond pi taken inside, and a sentence on them."""
    points = arrays.get("points")
    usual = settings.get("unit") in (None, "radians/pixel")
    if points is None or not points.is_floating_point() or not usual or float(points.abs().max()) > BEYOND * math.pi:
        return dict(arrays), []
    values, note = wrapped(np.asarray(points.detach().cpu(), dtype=np.float64))
    return {**arrays, "points": torch.from_numpy(values)}, [note] if note else []


def _middle(power: Tensor) -> Tensor:
    for axis, side in enumerate(power.shape):
        width = max(2, side // BLOCK)
        power = power.narrow(axis, side // 2 - width // 2, width)
    return power


def _mean(power: Tensor) -> float | None:
    """Over what was measured; None where nothing was."""
    there = power > 0
    return float(power[there].mean()) if bool(there.any()) else None


def _share(power: Tensor) -> float:
    """Of the power that lies in the middle."""
    return float(_middle(power).sum() / power.sum())
