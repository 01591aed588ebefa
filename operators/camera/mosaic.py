"""Colour filter arrays: each pixel of a sensor sees one of three colours."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.metadata import Facts, Hints
from ..common.settings import OneOf
from ..core.base import SVD, PartialIsometry, Shape, check_rho, check_shape
from ..core.diagonal import divide
from .demosaic import interpolate, malvar

BAYER = ("RGGB", "BGGR", "GRBG", "GBRG")
# Fujifilm's 6 x 6 array: green in every row and column, and in every 2 x 2 block.
X_TRANS = ("GBGGRG", "RGRBGB", "GBGGRG", "GRGGBG", "BGBRGR", "GRGGBG")
PATTERNS = {
    **{name: (name[:2], name[2:]) for name in BAYER},
    **{f"quad-{n}": tuple(r[0] * 2 + r[1] * 2 for r in (n[:2], n[:2], n[2:], n[2:])) for n in BAYER},
    "x-trans": X_TRANS,
}
FORMS = {"masked": "3 x H x W, 0 where a colour was not measured", "packed": "1 x H x W, as a raw file holds it"}


class Mosaic(PartialIsometry):
    """y[p] = x[c(p), p]: of the three colours of pixel p, the one that its filter lets through.

    input_shape: (3, H, W), red, green, blue. A pattern of Bayer (1976) names the top left 2 x 2 pixels in reading
    order; of a quad pattern each filter lies over 2 x 2 pixels; a tile of one's own is given by its rows, such as
    ["RGB", "GBR"]. In form "masked" y is 3 x H x W with 0 in the colours that a pixel did not measure, which are not
    `observed`; in form "packed" it is 1 x H x W.

    A A^T = I (packed) and A^T A = diag(m), so that pinv, solve and svd are exact. `direct` demosaics:
    gradient-corrected linear interpolation for Bayer patterns (Malvar, He, Cutler 2004), interpolated colour
    differences for others.
    """

    channels = 3
    colour: Tensor
    others: Tensor

    def __init__(
        self,
        input_shape: Shape,
        *,
        pattern: Annotated[
            Annotated[str, OneOf(PATTERNS)] | Sequence[str], "of the filters: a name, or the rows of a tile"
        ] = "RGGB",
        form: Annotated[str, OneOf(FORMS), "of y"] = "masked",
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if len(shape) != 3 or shape[0] != 3:
            raise BadInput(f"input_shape is {shape}", wanted="(3, H, W): red, green and blue")
        super().__init__(shape, shape if form == "masked" else (1, *shape[1:]))
        self.pattern, self.form = pattern if isinstance(pattern, str) else tuple(pattern), form
        tile = _tile(pattern)
        repeats = [-(-n // t) for n, t in zip(shape[1:], tile.shape, strict=True)]
        colour = np.tile(tile, repeats)[: shape[1], : shape[2]]
        index = torch.from_numpy(colour.astype(np.int64))[None]
        self.register_buffer("colour", index)  # 1 x H x W: 0, 1, 2 for red, green, blue
        self.register_buffer("others", torch.cat([(index + 1) % 3, (index + 2) % 3]), persistent=False)

    @classmethod
    def informed_by(
        cls,
        meta: Facts,
        output_shape: Shape | None,
        settings: Mapping[str, Any],
        *,
        fixed: Collection[str] = (),
    ) -> Hints:
        """The filters of the camera that took a measurement; one channel is the packed form of three."""
        if output_shape is None:
            return Hints()
        stated: dict[str, Any] = {}
        notes: dict[str, str] = {}
        if meta.camera is not None and meta.camera.cfa is not None and "pattern" not in fixed:
            stated["pattern"] = meta.camera.cfa
            notes["pattern"] = f"pattern: {meta.camera.cfa}, as the file says (another with --set operator.pattern=...)"
        if len(output_shape) != 3 or output_shape[0] != 1:
            return Hints(settings=stated, notes=notes)
        notes["form"] = "form: packed, as the measurement has one channel, of which each pixel is one colour"
        return Hints((3, *output_shape[1:]), {"form": "packed"}, stated, notes=notes)

    def _forward(self, x: Tensor) -> Tensor:
        return self._spread(self._gather(x, self.colour)) if self.form == "masked" else self._gather(x, self.colour)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y) if self.form == "masked" else self._spread(y)

    @property
    def observed(self) -> Tensor | None:
        """Boolean, 3 x H x W: which colour each pixel measured; None in packed form, where every entry is measured."""
        if self.form == "packed":
            return None
        return self.colour == torch.arange(3, device=self.colour.device)[:, None, None]

    def gram(self, x: Tensor) -> Tensor:
        """diag(m) x."""
        self._check(x, self.input_shape, False, "input")
        return self._spread(self._gather(x, self.colour))

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """rhs / (m + rho); 0 in unmeasured colours where rho is 0."""
        self._check(rhs, self.input_shape, False, "right-hand side")
        level = check_rho(rho, rhs)
        unseen = divide(rhs, level)
        return unseen.scatter(1, self._index(self.colour, rhs), self._gather(rhs, self.colour) / (1 + level))

    @property
    def svd(self) -> SVD:
        """V^T puts the measured colour of every pixel first and its two others behind; singular values are 1."""
        pixels = self.colour.numel()

        def to_measurement(c: Tensor) -> Tensor:
            y = c.reshape(-1, *self.colour.shape)
            return self._spread(y) if self.form == "masked" else y

        def from_input(x: Tensor) -> Tensor:
            return torch.cat([self._gather(x, places).flatten(1) for places in (self.colour, self.others)], dim=1)

        def to_input(c: Tensor) -> Tensor:
            x = self._spread(c[:, :pixels].reshape(-1, *self.colour.shape))
            return x.scatter(1, self._index(self.others, x), c[:, pixels:].reshape(-1, *self.others.shape))

        return SVD(
            s=torch.ones(pixels, dtype=torch.float64),
            U=to_measurement,
            Ut=lambda y: (self._gather(y, self.colour) if self.form == "masked" else y).flatten(1),
            V=to_input,
            Vt=from_input,
        )

    def direct(self, y: Tensor) -> Tensor:
        """A demosaicked picture, B x 3 x H x W; measured values stay as they are."""
        self._check(y, self.output_shape, False, "measurement")
        raw = self._gather(y, self.colour) if self.form == "masked" else y
        colour = self.colour.to(y.device)
        # The formulas of Malvar et al. read two pixels beyond the edge, mirrored there.
        return malvar(raw, colour) if self.pattern in BAYER and min(raw.shape[-2:]) > 2 else interpolate(raw, colour)

    def _index(self, places: Tensor, like: Tensor) -> Tensor:
        return places.to(like.device).expand(like.shape[0], *places.shape)

    def _gather(self, x: Tensor, places: Tensor) -> Tensor:
        return x.gather(1, self._index(places, x))

    def _spread(self, y: Tensor) -> Tensor:
        return y.new_zeros(y.shape[0], *self.input_shape).scatter_(1, self._index(self.colour, y), y)

    def extra_repr(self) -> str:
        return f"{self.input_shape} -> {self.output_shape}, pattern={self.pattern!r}, form={self.form!r}"


def _tile(pattern: Any) -> np.ndarray:
    """The colours (0, 1, 2) of the tile that a pattern repeats."""
    if isinstance(pattern, str):
        rows: Sequence[str] = PATTERNS[pattern]
    else:
        rows = list(pattern)
    letters = "RGB"
    if not rows or any(
        not isinstance(r, str) or len(r) != len(rows[0]) or not r or set(r) - set(letters) for r in rows
    ):
        raise BadInput(f"pattern is {pattern!r}", wanted="a name, or rows of equal length made of R, G and B")
    missing = set(letters) - set("".join(rows))
    if missing:
        raise BadInput(f"pattern {pattern!r} has no {', '.join(sorted(missing))}", wanted="all three colours")
    return np.array([[letters.index(c) for c in row] for row in rows])
