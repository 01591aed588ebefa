"""All that a picture says of its noise, gathered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from operators import BadInput, BadType

from .colour import colour_correlation, colour_covariance, impulse_share, tail_ratio
from .correlation import SIDE, correlation_kernel
from .dark import DarkNoise, dark_noise
from .flat import own_white
from .level import STEP, NoiseLevel, noise_level
from .lines import LineNoise, line_noise
from .scatter import Scatter, scatter
from .storage import StorageTraces, storage

LARGEST = 2048  # pixels a side of the middle that is looked at
HARDLY = 0.5 * STEP  # noise below is less than what 8 bits can show
LINES_SEEN = 0.1  # of the noise, from which lines matter


@dataclass(frozen=True)
class Examination:
    """What was found in one picture (C x H x W).

    colours: mean correlation of the noise of two channels; channel_sigma: of each channel in the flattest patches.
    white: the value that is white for the picture, see `own_white`. tails: of the noise over those of normal noise.
    impulses: share of pixels that jump to an end. kernel: r(dy, dx) with lag 0 in the middle. dark: of dark frames,
    where there are any.
    """

    shape: tuple[int, ...]
    level: NoiseLevel
    scatter: Scatter
    lines: LineNoise
    storage: StorageTraces
    colours: float
    channel_sigma: tuple[float, ...]
    tails: float
    impulses: float
    white: float
    kernel: Tensor = field(repr=False)
    dark: DarkNoise | None = None

    @property
    def clean(self) -> bool:
        """Whether no noise is seen: none above the rounding, or nothing that differs from structure."""
        return self.level.kind == "unseen" or self.level.sigma <= self.hardly

    @property
    def hardly(self) -> float:
        """The noise that is none: half a stored step of at most 8 bits; of floats, half of a 255th of the white."""
        return 0.5 * min(self.storage.step, STEP) if self.storage.step else HARDLY * self.white

    @property
    def striped(self) -> bool:
        """Whether rows or columns share noise that matters."""
        return max(self.lines.rows, self.lines.columns) > max(LINES_SEEN * self.level.sigma, self.hardly)

    def plain(self) -> dict[str, Any]:
        """Everything as plain numbers for JSON; unknown errors are None."""
        found, line, dark = self.level, self.scatter, self.dark
        return {
            "shape": list(self.shape),
            "sigma": found.sigma,
            "level_for_prior": found.level,
            "kind": found.kind,
            "white_estimate": found.white,
            "neighbour_correlation": found.correlation,
            "sum_of_correlation_3x3": found.total,
            "floor": found.floor,
            "correlation": [[round(value, 6) for value in row] for row in self.kernel.tolist()],
            "gain": {
                "gain": line.gain,
                "gain_error": _finite(line.gain_error),
                "read_variance": line.read,
                "read_variance_error": _finite(line.read_error),
                "reliable": line.reliable,
                "reason": line.reason,
                "means": list(line.means),
                "variances": list(line.variances),
            },
            "row_sigma": self.lines.rows,
            "column_sigma": self.lines.columns,
            "clipped_low": self.storage.low,
            "clipped_high": self.storage.high,
            "step": self.storage.step,
            "jpeg_grid": self.storage.grid,
            "jpeg_offset": list(self.storage.offset),
            "colour_correlation": self.colours,
            "channel_sigma": list(self.channel_sigma),
            "tails": self.tails,
            "white": self.white,
            "impulses": self.impulses,
            "dark": None
            if dark is None
            else {
                "frames": dark.frames,
                "pedestal": list(dark.pedestal),
                "read_sigma": dark.read,
                "row_sigma": dark.rows,
                "fixed_pattern_sigma": dark.fixed,
                "excess_kurtosis": dark.tails,
            },
        }


def examine(picture: Tensor, dark: Sequence[Tensor] = ()) -> Examination:
    """What a picture C x H x W (values in about [0, 1]) and dark frames of the same unit say of the noise.

    Of pictures above 2048 pixels a side the middle is looked at. BadInput for pictures under 16 pixels a side, volumes,
    complex or broken values.
    """
    if picture.is_complex():
        raise BadType("the picture is complex", wanted="real values", do="Look at its magnitude, or at one part of it.")
    if picture.ndim != 3 or min(picture.shape[-2:]) < SIDE:
        raise BadInput(
            f"the picture has shape {tuple(picture.shape)}", wanted=f"C x H x W, at least {SIDE} pixels each way"
        )
    if not bool(torch.isfinite(picture).all()):
        raise BadInput("the picture holds NaN or infinite values", do="Repair them first.")
    y = _middle(picture.detach().cpu())[None]
    level = noise_level(y)
    correlated = level.kind == "correlated" and level.white > 0
    white = own_white(y)
    bright = y / white  # thresholds are in the range that the picture uses
    covariance = white**2 * colour_covariance(bright)
    lines = line_noise(bright)
    return Examination(
        shape=tuple(picture.shape),
        level=level,
        scatter=scatter(bright, factor=(level.sigma / level.white) ** 2 if correlated else 1.0).scaled(white),
        lines=LineNoise(white * lines.rows, white * lines.columns),
        storage=storage(y),
        colours=colour_correlation(covariance),
        channel_sigma=tuple(covariance.diagonal().clamp_min(0).sqrt().tolist()),
        tails=tail_ratio(bright),
        white=white,
        impulses=impulse_share(bright, level.sigma / white),
        kernel=correlation_kernel(bright),
        dark=dark_noise(dark) if dark else None,
    )


def _middle(picture: Tensor) -> Tensor:
    height, width = picture.shape[-2:]
    # A multiple of 8 keeps the blocks of a JPEG where they are.
    top, left = (max(0, (side - LARGEST) // 16 * 8) for side in (height, width))
    return picture[:, top : top + LARGEST, left : left + LARGEST]


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None
