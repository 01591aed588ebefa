"""In which units? A space says what the numbers z of somebody else are in the units of a picture: x = space.to(z).

`Affine` serves the units of files (HU, grey levels, counts), of pictures and of priors alike; `Latent` is the space of
a prior whose z is no picture. `outer @ inner` reads z by `inner` and what comes of it by `outer`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from .errors import BadInput, BadType

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]
Values = TypeVar("Values", float, "Tensor")


class Space:
    """Base of the spaces. `scale` is what noise levels of z are multiplied by to be those of x."""

    scale: float = 1.0

    def to(self, z: Tensor) -> Tensor:
        """x, in the picture's units, of z (B x own shape)."""
        raise TypeError(f"{type(self).__name__} does not implement to")

    def back(self, x: Tensor) -> Tensor:
        """z of a picture x (B x C x H x W)."""
        raise TypeError(f"{type(self).__name__} does not implement back")

    def own_shape(self, picture: Shape) -> Shape:
        """The shape of z, without the batch, for pictures of that shape."""
        return picture

    def sized(self, picture: Shape) -> Space:
        """This space for pictures of that shape alone: a decoder that gives whole blocks is cut to it."""
        return self

    @property
    def parts(self) -> tuple[Space, ...]:
        """What it is made of, outermost first; none for the identity."""
        return (self,)

    def __matmul__(self, inner: Space) -> Space:
        if not isinstance(inner, Space):
            raise BadType(f"the right side of @ is {type(inner).__name__}", wanted="a Space")
        parts = (*self.parts, *inner.parts)
        return parts[0] if len(parts) == 1 else Chain(parts) if parts else self


@dataclass(frozen=True)
class Affine(Space):
    """x = shift + scale * z; the identity unless told otherwise. BadInput unless both are finite and scale positive."""

    shift: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("shift", "scale"):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__float__"):
                raise BadType(f"{name} is {value!r}", wanted="a number")
            object.__setattr__(self, name, float(value))
        if not math.isfinite(self.shift) or not 0 < self.scale < math.inf:
            raise BadInput(f"units x = {self.shift:g} + {self.scale:g} z", wanted="a finite shift and a positive scale")

    def to(self, z: Values) -> Values:
        return z if self.is_identity else self.shift + self.scale * z

    def back(self, x: Values) -> Values:
        return x if self.is_identity else (x - self.shift) / self.scale

    @property
    def is_identity(self) -> bool:
        """Whether z is x."""
        return (self.shift, self.scale) == (0.0, 1.0)

    @property
    def parts(self) -> tuple[Space, ...]:
        return () if self.is_identity else (self,)

    def __matmul__(self, inner: Space) -> Space:
        if isinstance(inner, Affine):
            return Affine(self.shift + self.scale * inner.shift, self.scale * inner.scale)
        return super().__matmul__(inner)


IDENTITY = Affine()


@dataclass(frozen=True, eq=False)
class Latent(Space):
    """x = offset + decode(z), and z = encode(x - offset).

    encode, decode: maps of batches. Where decode is a LinearOperator, a linear problem stays linear in z. encode None:
    there is no way back, and BadInput where one is asked for. shape: of z without the batch, or a function that gives
    it for the shape of a picture: then pictures of any size are taken, and `sized` cuts what is decoded at the bottom
    and the right. offset: a number, or a picture (C x H x W).

    No one number takes the noise levels of z to those of pictures: `scale` is 1, and they are told as they are.
    """

    encode: Callable[[Tensor], Tensor] | None
    decode: Callable[[Tensor], Tensor]
    shape: Shape | Callable[[Shape], Shape]
    offset: float | Tensor = 0.0

    def to(self, z: Tensor) -> Tensor:
        x = self.decode(z)
        return x if self.has_no_offset else x + self.offset_like(x)

    def back(self, x: Tensor) -> Tensor:
        if self.encode is None:
            raise BadInput("this latent space has no encoder", do="Begin from zeros (solver setting start = 'zero').")
        return self.encode(x if self.has_no_offset else x - self.offset_like(x))

    def own_shape(self, picture: Shape) -> Shape:
        return tuple(self.shape(picture) if callable(self.shape) else self.shape)

    def sized(self, picture: Shape) -> Latent:
        """The same latents with pictures of that shape."""
        if not callable(self.shape) or hasattr(self.decode, "adjoint"):  # a linear operator has the size it has
            return self
        return replace(self, decode=Cut(self.decode, tuple(picture)))

    @property
    def has_no_offset(self) -> bool:
        """Whether x = decode(z)."""
        return isinstance(self.offset, int | float) and self.offset == 0

    def offset_like(self, x: Tensor) -> float | Tensor:
        """The offset with the precision and on the device of x."""
        if isinstance(self.offset, int | float):
            return self.offset
        return self.offset.to(device=x.device, dtype=x.dtype)


@dataclass(frozen=True, eq=False)
class Cut:
    """A decoder whose pictures (B x C x H x W) are cut to the last axes of a shape, from the top left corner."""

    decode: Callable[[Tensor], Tensor]
    shape: Shape

    def __call__(self, z: Tensor) -> Tensor:
        x = self.decode(z)
        for axis, side in enumerate(self.shape[1:], 2):
            x = x.narrow(axis, 0, side)
        return x


@dataclass(frozen=True)
class Chain(Space):
    """Spaces one after another, outermost first: x = first.to(second.to(... z))."""

    links: tuple[Space, ...]

    def to(self, z: Tensor) -> Tensor:
        for link in reversed(self.links):
            z = link.to(z)
        return z

    def back(self, x: Tensor) -> Tensor:
        for link in self.links:
            x = link.back(x)
        return x

    def own_shape(self, picture: Shape) -> Shape:
        for link in self.links:
            picture = link.own_shape(picture)
        return picture

    def sized(self, picture: Shape) -> Chain:
        links = []
        for link in self.links:
            links.append(link.sized(picture))
            picture = link.own_shape(picture)
        return Chain(tuple(links))

    @property
    def parts(self) -> tuple[Space, ...]:
        return self.links

    @property
    def scale(self) -> float:  # type: ignore[override]
        return math.prod(link.scale for link in self.links)
