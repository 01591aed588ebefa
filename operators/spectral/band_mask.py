"""What a line-scanning spectrometer loses: whole bands, and columns of single bands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..common.errors import BadInput, BadType
from ..common.randomness import generator
from ..common.registry import unknown_name
from ..core.base import Shape, check_shape
from ..missing.mask import Mask


class BandMask(Mask):
    """y = m x with a mask that differs from band to band: (C, H, W), 0 where nothing was measured.

    kind: bands, whole bands are missing; stripes, single columns of some bands are missing, at places of their own;
    deadlines, runs of 1 to `width` neighbouring columns. missing: share of the bands, or of the columns of an affected
    band, at least one of them and never all. affected: share of the bands that have stripes or deadlines, at least one
    band. bands: numbers of the bands concerned, from 0, in place of these shares. seed: of all random choices.
    mask: an array in place of all of this, as for `mask`.

    Closed forms as for `mask`. The defaults are those of the mixed-noise cases of hyperspectral denoising (5 to 15 % of
    the columns in a third of the bands): W. He et al., "Total-variation-regularized low-rank matrix factorization for
    hyperspectral image restoration", 2016.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        kind: str = "deadlines",
        missing: float = 0.1,
        affected: float = 1 / 3,
        width: int = 3,
        bands: list[int] | None = None,
        mask: object = None,
        seed: int = 0,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if len(shape) != 3:
            raise BadInput(f"input_shape is {shape}", wanted="(bands, H, W)")
        if mask is None:
            if kind not in KINDS:
                raise unknown_name("kind of band mask", kind, KINDS)
            lost = _Loss(shape, missing=missing, affected=affected, width=width, bands=bands, seed=seed)
            super().__init__(shape, mask=KINDS[kind](lost))
            self.kind, self.seed = kind, seed
        else:
            super().__init__(shape, mask=mask)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Loss:
    """Settings of a band mask, checked."""

    shape: Shape
    missing: float
    affected: float
    width: int
    bands: list[int] | None
    seed: int

    def __post_init__(self) -> None:
        for name, share in (("missing", self.missing), ("affected", self.affected)):
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
                raise BadInput(f"{name} is {share!r}", wanted="a share above 0 and at most 1")
        if isinstance(self.width, bool) or not isinstance(self.width, int) or self.width < 1:
            raise BadInput(f"width is {self.width!r}", wanted="a whole number of columns above 0")
        if self.bands is None:
            return
        if not isinstance(self.bands, list | tuple) or any(type(b) is not int for b in self.bands):
            raise BadType(f"bands is {self.bands!r}", wanted="a list of band numbers")
        if not self.bands or min(self.bands) < 0 or max(self.bands) >= self.shape[0]:
            raise BadInput(f"bands is {list(self.bands)}", wanted=f"numbers from 0 to {self.shape[0] - 1}")

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
