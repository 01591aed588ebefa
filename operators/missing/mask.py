"""Missing pixels: at random, in one of many shapes, or by a mask of one's own."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.intake import binary
from ..common.settings import Count, Length, OneOf, Range, Seed
from ..core.base import SVD, ComplexPictures, PartialIsometry, Shape, check_rho, check_shape
from ..core.diagonal import divide
from .holes import AXES, KINDS, SIDES, Hole, draw


class Mask(PartialIsometry):
    """A = diag(m), m in {0, 1}: y = m x, in the picture's own size, 0 where nothing was measured.

    input_shape: C x ... x H x W, or H x W. The same is missing in all channels: "random": single pixels, an exact
    count; "dead": defects of a sensor, single and in clusters; "strokes": of a brush; "stripes": columns or rows;
    "box", "random-box": a rectangle; "half"; "border": a frame; "every": all rows or columns but each n-th.

    Settings of the kinds are None for the kind's own default, and one that it does not take is refused. Defaults of
    missing: random 0.7, strokes 0.3, stripes 0.1, dead 0.01; of width: strokes 24 in 256, stripes 1, border an eighth
    of the smaller side; of box: half of each side; of period: 2; of direction: rows (every), columns (stripes) and
    right (half).

    `observed` says which entries of y are measured; `compact()` is the packed form. m is its own square, so that
    A^+ = A and (A^T A + rho)^-1 r = r / (m + rho); what a mask removes is removed even where it is NaN.
    """

    beside_array = ()  # parameters that still mean something when a mask array is given
    keep: Tensor

    def __init__(
        self,
        input_shape: Shape,
        *,
        kind: Annotated[str, OneOf(KINDS), "what is missing"] = "random",
        missing: Annotated[
            float | None, Range(0, below=1), "share removed, of random, strokes, stripes and dead"
        ] = None,
        box: Annotated[
            tuple[int, ...] | int | None,
            Range(0),
            Length(2, 4),
            "(top, left, height, width), or (height, width) or one side in the middle (box) or anywhere (random-box)",
        ] = None,
        width: Annotated[Count | None, "pixels, of strokes, stripes and border"] = None,
        period: Annotated[Count | None, "of every: rows or columns from one measured one to the next"] = None,
        direction: Annotated[str | None, OneOf((*AXES, *SIDES)), "of every and stripes, or of half"] = None,
        mask: Annotated[
            Tensor | np.ndarray | list[Any] | None,
            "in place of `kind`: true or 1 where a pixel was measured; broadcasts to the picture",
        ] = None,
        seed: Seed = 0,
        complex_values: ComplexPictures = False,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        super().__init__(shape, shape, complex_input=complex_values, complex_output=complex_values)
        if mask is None:
            # The first axis holds channels, and a pixel is missing in all of them.
            plane = shape[1:] if len(shape) > 2 else shape
            hole = Hole(plane, missing=missing, box=box, width=width, period=period, direction=direction, seed=seed)
            keep = draw(kind, hole)
        else:
            keep = binary(mask)
            kind = "array"
        if not keep.any():
            raise BadInput("the mask removes every pixel", wanted="at least one that is measured")
        try:
            full = np.broadcast_to(keep, shape)
        except ValueError:
            raise BadInput(f"the mask has shape {keep.shape}", wanted=f"one that broadcasts to {shape}") from None
        self.kind, self.missing, self.seed = kind, float(1 - full.mean()), seed
        self.register_buffer("keep", torch.from_numpy(full.copy()))

    def _forward(self, x: Tensor) -> Tensor:
        # Not a product: NaN times 0 is NaN, and a hole in stored data often holds one.
        return torch.where(self.constant("keep", x), x, torch.zeros((), dtype=x.dtype, device=x.device))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)

    @property
    def observed(self) -> Tensor:
        """Boolean, input_shape: True where a pixel was measured."""
        return self.keep

    def gram(self, x: Tensor) -> Tensor:
        return self.forward(x)

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """rhs / (m + rho); 0 in the hole where rho is 0."""
        self._check(rhs, self.input_shape, self.complex_input, "right-hand side")
        power = self.constant("keep", rhs) + check_rho(rho, rhs)
        return divide(rhs, power)

    @property
    def svd(self) -> SVD:
        """V is a permutation that puts measured pixels first; their singular values are 1."""
        keep = self.keep.flatten()
        first, rest = keep.nonzero()[:, 0], (~keep).nonzero()[:, 0]
        order = torch.cat([first, rest])

        def scatter(coordinates: Tensor, places: Tensor) -> Tensor:
            flat = coordinates.new_zeros(coordinates.shape[0], len(order))
            flat[:, places.to(coordinates.device)] = coordinates
            return flat.reshape(-1, *self.input_shape)

        def gather(x: Tensor, places: Tensor) -> Tensor:
            return x.flatten(1)[:, places.to(x.device)]

        return SVD(
            s=torch.ones(len(first), dtype=torch.float64),
            U=lambda c: scatter(c, first),
            Ut=lambda y: gather(y, first),
            V=lambda c: scatter(c, order),
            Vt=lambda x: gather(x, order),
        )

    def extra_repr(self) -> str:
        return f"{self.input_shape}, kind={self.kind!r}, missing={self.missing:.4f}, seed={self.seed}"
