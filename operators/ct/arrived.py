"""Sinograms from elsewhere: counts in place of line integrals, axes exchanged, angles in degrees."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.received import Received
from .geometry import look_like_degrees

BRIGHT = 1.2  # times the middle of the detector: so bright are cells that see air in counts, never in line integrals
LEAST = 8  # views and cells from which their sums say something
ALIKE, APART = 0.1, 0.25  # spread of the sums over views of a right sinogram, and of one whose axes are exchanged


def sinogram(y: Tensor, arrays: Mapping[str, Tensor], *, axes: tuple[str, ...], parallel: bool) -> Received:
    """Line integrals (B x ... x views x cells, cells last); BadInput for what is none, or has another number of views.

    axes: names of the last axes, "views" first. parallel: rays of a view never meet.
    """
    views, cells = y.shape[-len(axes)] if y.ndim > len(axes) else 0, y.shape[-1]
    if y.is_complex():
        raise BadInput("the sinogram is complex", wanted="line integrals, which are real numbers")
    if "angles" in arrays:
        _check_angles(arrays["angles"], views, cells)
    if y.ndim > len(axes) and min(views, cells) >= LEAST:
        values = torch.nan_to_num(y.double()).movedim(-len(axes), -2).reshape(-1, views, cells)
        _check_dark(values)
        if "angles" not in arrays and parallel:
            _check_axes(values)
    return Received(y, dict(arrays))


def _check_angles(angles: Tensor, views: int, cells: int) -> None:
    count = angles.numel()
    if count != views:
        exchanged = count == cells
        raise BadInput(
            f"{count} angles for a measurement of {views} views and {cells} cells",
            wanted="an angle for each view",
            do="Its axes are exchanged: cells come last. Transpose the sinogram." if exchanged else "",
        )
    if look_like_degrees(np.asarray(angles.detach().cpu(), dtype=np.float64).ravel()):
        raise BadInput(
            f"the angles run from {float(angles.min()):.6g} to {float(angles.max()):.6g}",
            wanted="radians",
            do="They look like degrees: store numpy.deg2rad(angles).",
        )


def _check_dark(values: Tensor) -> None:
    """BadInput for views that are brightest at both ends, as light is where nothing stands in its way."""
    profile = values.mean((0, 1))
    edge = max(1, len(profile) // 20)
    ends = min(float(profile[:edge].mean()), float(profile[-edge:].mean()))
    quarter = len(profile) // 4
    middle = float(profile[quarter : len(profile) - quarter].mean())
    below = float((values < 0).double().mean())  # light is not negative; the logarithm of air is, half of the time
    if middle > 0 and ends > BRIGHT * middle and below < 0.01:
        raise BadInput(
            "the sinogram is brightest at both ends of the detector: these are counts, or transmitted shares",
            wanted="line integrals, -log((counts - dark) / (white - dark))",
            do="Compute them with operators.ct.scan.line_integrals, and store those.",
        )


def _check_axes(values: Tensor) -> None:
    """BadInput where the sums over the first axis are alike and those over the second are not: it is transposed.

    Every view of a parallel beam sees the whole object, so that its cells add up to the same number.
    """
    own, other = (_spread(values.sum((0, axis))) for axis in (2, 1))
    if own > APART and other < ALIKE:
        raise BadInput(
            f"the sums over the last axis differ by {100 * own:.0f} % and those over the one before by "
            f"{100 * other:.0f} %: views and cells are exchanged",
            wanted="views x cells",
            do="Transpose the sinogram; where it is right as it is, give its angles with --array angles=FILE.",
        )


def _spread(sums: Tensor) -> float:
    mean = float(sums.mean())
    return float(sums.std()) / mean if mean > 0 else math.inf
