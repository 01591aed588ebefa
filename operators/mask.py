"""Missing pixels: at random, a box, or a mask of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .base import SVD, LinearOperator, Shape, check_rho, check_shape
from .errors import BadInput, BadType
from .randomness import generator
from .registry import unknown_name


class Mask(LinearOperator):
    """A = diag(m), m in {0, 1}: y = m x, in the picture's own size, 0 where nothing was measured.

    input_shape: C x ... x H x W, or H x W. kind: "random" removes the share `missing` of the pixels, an exact count,
    the same ones in all channels; "box" removes a rectangle. missing: 0 to 1, of "random". box: of "box", the hole as
    (top, left, height, width), or (height, width) or one side for a hole in the middle; default half of each side.
    mask: an array that takes the place of `kind`: true or 1 where a pixel was measured, H x W, C x H x W, or what
    broadcasts to input_shape (array, tensor or nested list). seed: of "random".
    complex_values: whether pictures may be complex.

    `observed` says which entries of y are measured; `compact()` is the packed form. m is its own square, so that
    A^+ = A and (A^T A + rho)^-1 r = r / (m + rho); what a mask removes is removed even where it is NaN.
    """

    beside_array = ()  # parameters that still mean something when a mask array is given
    keep: Tensor

    def __init__(
        self,
        input_shape: Shape,
        *,
        kind: str = "random",
        missing: float = 0.7,
        box: tuple[int, ...] | int | None = None,
        mask: Tensor | np.ndarray | list[Any] | None = None,
        seed: int = 0,
        complex_values: bool = False,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        super().__init__(shape, shape, complex_input=complex_values, complex_output=complex_values)
        if mask is None:
            if kind not in KINDS:
                raise unknown_name("kind of mask", kind, KINDS)
            if box is not None and kind != "box":
                raise BadInput(f"a box was given for a mask of kind {kind!r}", do="Give kind='box', or leave it out.")
            # The first axis holds channels, and a pixel is missing in all of them.
            plane = shape[1:] if len(shape) > 2 else shape
            keep = KINDS[kind](_Hole(plane, missing=missing, box=box, seed=seed))
        else:
            keep = _binary(mask)
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
        return torch.where(power > 0, rhs / torch.where(power > 0, power, 1.0), 0.0)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """y itself where it was measured, 0 elsewhere."""
        return self.adjoint(y)

    def norm(self, *, iterations: int = 50) -> float:
        return 1.0

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


@dataclass(frozen=True)
class _Hole:
    """What describes a generated mask: the plane it lies in (... x H x W), the share missing, the box, the seed."""

    plane: Shape
    missing: float
    box: Any
    seed: int


def random_pixels(hole: _Hole) -> np.ndarray:
    """True but for exactly round(missing * pixels) pixels, chosen by a permutation."""
    share = hole.missing
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise BadInput(f"missing is {share!r}", wanted="a share of at least 0 and under 1")
    pixels = int(np.prod(hole.plane))
    keep = np.ones(pixels, dtype=bool)
    keep[generator(hole.seed, "", 0, "mask").permutation(pixels)[: round(share * pixels)]] = False
    return keep.reshape(hole.plane)


def box_hole(hole: _Hole) -> np.ndarray:
    """True but for a rectangle of the last two axes."""
    height, width = hole.plane[-2:] if len(hole.plane) > 1 else (1, hole.plane[0])
    top, left, tall, wide = _rectangle(hole.box, height, width)
    keep = np.ones((*hole.plane[:-2], height, width), dtype=bool)
    keep[..., top : top + tall, left : left + wide] = False
    return keep.reshape(hole.plane)


KINDS: dict[str, Callable[[_Hole], np.ndarray]] = {"random": random_pixels, "box": box_hole}


def _rectangle(box: Any, height: int, width: int) -> tuple[int, int, int, int]:
    sizes = (max(1, height // 2), max(1, width // 2)) if box is None else (box, box) if isinstance(box, int) else box
    wanted = "(top, left, height, width), (height, width) or one side, in whole pixels"
    if isinstance(box, bool) or not isinstance(sizes, tuple | list) or len(sizes) not in (2, 4):
        raise BadInput(f"box is {box!r}", wanted=wanted)
    if any(isinstance(n, bool) or not isinstance(n, int | np.integer) for n in sizes):
        raise BadType(f"box is {box!r}", wanted=wanted)
    numbers = [int(n) for n in sizes]
    if len(numbers) == 2:
        numbers = [(height - numbers[0]) // 2, (width - numbers[1]) // 2, *numbers]
    top, left, tall, wide = numbers
    if min(top, left) < 0 or min(tall, wide) < 1 or top + tall > height or left + wide > width:
        raise BadInput(
            f"box {box!r} does not lie in the picture", wanted=f"a rectangle within {height} x {width} pixels"
        )
    return top, left, tall, wide


def _binary(mask: Any) -> np.ndarray:
    """The mask as booleans; BadInput unless it is made of true and false, or of 0 and 1."""
    try:
        values = np.asarray(mask.detach().cpu() if isinstance(mask, Tensor) else mask)
    except ValueError:
        raise BadInput("the mask is a ragged list", wanted="rows of equal length") from None
    if values.dtype.kind not in "biuf":
        raise BadType(f"the mask holds {values.dtype}", wanted="true and false, or 0 and 1")
    if values.size == 0:
        raise BadInput(f"the mask has shape {values.shape}", wanted="at least one pixel")
    strange = (values != 0) & (values != 1)
    if strange.any():
        raise BadInput(
            f"the mask holds {int(strange.sum())} values other than 0 and 1, such as {values[strange].flat[0]}",
            wanted="1 where a pixel was measured, 0 elsewhere",
            do="Make it binary first: mask > 0.",
        )
    return values.astype(bool)
