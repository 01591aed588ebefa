"""What a line-scanning spectrometer loses: whole bands, and columns of single bands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from torch import Tensor

from ..common.errors import BadInput
from ..common.randomness import generator
from ..common.settings import Count, Length, OneOf, Range, Seed, at_most, check
from ..core.base import Shape, check_shape
from ..missing.mask import Mask

Share = Annotated[float, Range(above=0, high=1)]


class BandMask(Mask):
    """y = m x with a mask that differs from band to band: (C, H, W), 0 where nothing was measured.

    Kinds: bands, whole bands are missing; stripes, single columns of some bands, at places of their own; deadlines,
    runs of 1 to `width` neighbouring columns. Of the bands, or of the columns of an affected band, at least one is
    missing and never all; at least one band is affected.

    Closed forms as for `mask`. The defaults are those of the mixed-noise cases of hyperspectral denoising (5 to 15 % of
    the columns in a third of the bands): W. He et al., "Total-variation-regularized low-rank matrix factorization for
    hyperspectral image restoration", 2016.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        kind: Annotated[str, OneOf(KINDS), "what is missing"] = "deadlines",
        missing: Annotated[Share, "of the bands, or of the columns of an affected band"] = 0.1,
        affected: Annotated[Share, "of the bands that have stripes or deadlines"] = 1 / 3,
        width: Annotated[Count, "columns of the widest deadline"] = 3,
        bands: Annotated[list[int] | None, Range(0), "numbers of the bands concerned, in place of these shares"] = None,
        mask: Annotated[Tensor | np.ndarray | list[Any] | None, "in place of all of this, as for `mask`"] = None,
        seed: Seed = 0,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if len(shape) != 3:
            raise BadInput(f"input_shape is {shape}", wanted="(bands, H, W)")
        if mask is None:
            lost = _Loss(shape, missing=missing, affected=affected, width=width, bands=bands, seed=seed)
            super().__init__(shape, mask=KINDS[kind](lost))
            self.kind, self.seed = kind, seed
        else:
            super().__init__(shape, mask=mask)


@dataclass(frozen=True)
class _Loss:
    """Settings of a band mask."""

    shape: Shape
    missing: float
    affected: float
    width: int
    bands: list[int] | None
    seed: int

    def __post_init__(self) -> None:
        at_most("width", self.width, "the largest that is drawn", 2**31)
        if self.bands is not None:
            check("bands", self.bands, Annotated[list[int], Range(0, self.shape[0] - 1), Length(1)])

    def rng(self) -> np.random.Generator:
        return generator(self.seed, "", 0, "band-mask")

    def chosen(self, rng: np.random.Generator, share: float) -> list[int]:
        """The bands concerned: those named, or a share of all."""
        if self.bands is not None:
            return list(self.bands)
        count = self.shape[0]
        return sorted(int(b) for b in rng.permutation(count)[: max(1, round(share * count))])


def _bands(loss: _Loss) -> np.ndarray:
    count = loss.shape[0]
    keep = np.ones((count, 1, 1), dtype=bool)
    if count > 1 or loss.bands is not None:
        gone = loss.chosen(loss.rng(), loss.missing)
        keep[gone if loss.bands is not None else gone[: count - 1]] = False
    return keep


def _stripes(loss: _Loss) -> np.ndarray:
    return _columns(loss, 1)


def _deadlines(loss: _Loss) -> np.ndarray:
    return _columns(loss, loss.width)


def _columns(loss: _Loss, widest: int) -> np.ndarray:
    """Runs of 1 to `widest` columns, until the share is gone; the last run is cut to the exact count."""
    rng, columns = loss.rng(), loss.shape[2]
    keep = np.ones((loss.shape[0], 1, columns), dtype=bool)
    wanted = min(max(1, round(loss.missing * columns)), columns - 1)
    for band in loss.chosen(rng, loss.affected):
        for start in rng.permutation(columns):
            left = wanted - int((~keep[band]).sum())
            if left <= 0:
                break
            run = int(rng.integers(1, widest + 1))
            keep[band, 0, start : start + min(run, left)] = False
    return keep


KINDS: Mapping[str, Callable[[_Loss], np.ndarray]] = {"bands": _bands, "stripes": _stripes, "deadlines": _deadlines}
