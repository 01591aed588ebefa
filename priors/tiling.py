"""A prior applied in overlapping tiles, so that memory is bounded by the tile and not by the picture or the volume."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, TypeVar

import torch
from torch import Tensor

from operators.common.settings import Range, check

from .base import Prior
from .calls import around, map_tensors, tensors_of

P = TypeVar("P", bound=Prior)


def tiled(prior: P, *, tile: int, overlap: int) -> P:
    """The same prior of any kind, called on tiles whose overlaps are blended with a linear ramp.

    tile: side of a tile along each of the axes its network sees. overlap: pixels two neighbours share, at most half a
    tile. BadInput for others. Exact wherever the network sees less than half the overlap to each side; elsewhere seams
    are blended.
    """
    check_tiling(tile, overlap)
    return around(prior, partial(in_tiles, axes=prior.network_axes, tile=tile, overlap=overlap))


def in_tiles(
    call: Callable[..., Any], state: Tensor, *others: Any, axes: int, tile: int, overlap: int, **keywords: Any
) -> Any:
    """call(state, *others, **named), put together from tiles.

    state: B x ..., of which the last `axes` are cut. What else lies on a grid (measurements, conditions, maps of
    sigmas) is cut as the state is, in proportion where its grid is another; the rest is handed on. The answer has the
    state's grid.
    """
    size = tuple(state.shape[-axes:]) if state.ndim > axes else ()
    if max(size, default=0) <= tile:
        return call(state, *others, **keywords)
    totals: list[Tensor] = []
    weights = torch.zeros(size, device=state.device, dtype=_real(state))
    for corner in itertools.product(*(tile_starts(length, tile, overlap) for length in size)):
        where = [slice(a, min(a + tile, s)) for a, s in zip(corner, size, strict=True)]
        inside: Any = (..., *where)
        answer = call(
            state[inside],
            *(_part(value, where, size) for value in others),
            **{name: _part(value, where, size) for name, value in keywords.items()},
        )
        parts = tensors_of(answer)
        totals = totals or [_empty(part, size, state) for part in parts]
        window = ramp_window([part.stop - part.start for part in where], size, corner, overlap).to(weights)
        for total, part in zip(totals, parts, strict=True):
            total[inside] += window * part
        weights[inside] += window
    wholes = iter([total / weights for total in totals])
    return map_tensors(lambda _: next(wholes), answer)


def check_tiling(tile: int, overlap: int) -> None:
    """BadInput for tiles that are too small, or that overlap by more than half."""
    check("tile", tile, Annotated[int, Range(16)])
    check("overlap", overlap, Annotated[int, Range(0, tile // 2)], where=f"tiles of {tile} pixels")


def tile_starts(size: int, tile: int, overlap: int) -> list[int]:
    """First indices of tiles that cover `size` with at least `overlap` shared; the last one is flush with the end."""
    if size <= tile:
        return [0]
    step = tile - overlap
    return [*range(0, size - tile, step), size - tile]


def side_for(side: int, axes: int) -> int:
    """The side of a tile that holds as many numbers along `axes` axes as one of that side does in a picture."""
    return round(side ** (2 / axes))


def ramp_window(shape: Sequence[int], full: Sequence[int], start: Sequence[int], overlap: int) -> Tensor:
    """Weights of a tile (its shape): rising over the overlap on sides that have a neighbour, one elsewhere."""
    window = torch.ones((), dtype=torch.float64)
    for length, size, first in zip(shape, full, start, strict=True):
        side = torch.ones(length, dtype=torch.float64)
        ramp = torch.arange(1, overlap + 1, dtype=torch.float64) / (overlap + 1)
        if overlap and first > 0:
            side[:overlap] = torch.minimum(side[:overlap], ramp[:length])
        if overlap and first + length < size:
            side[-overlap:] = torch.minimum(side[-overlap:], ramp.flip(0)[-length:])
        window = window[..., None] * side
    return window


def _real(state: Tensor) -> torch.dtype:
    """The precision of the weights: that of the state, which may hold complex numbers or tokens."""
    if state.is_complex():
        return state.dtype.to_real()
    return state.dtype if state.is_floating_point() else torch.float32


def _empty(part: Tensor, size: tuple[int, ...], state: Tensor) -> Tensor:
    """Zeros for a part of the answer, on the whole grid."""
    dtype = torch.promote_types(part.dtype, state.dtype) if state.is_floating_point() else part.dtype
    return part.new_zeros((*part.shape[: -len(size)], *size), dtype=dtype)


def _part(value: Any, where: Sequence[slice], size: tuple[int, ...]) -> Any:
    """The part of a grid that lies under a tile; anything else as it is."""
    if not isinstance(value, Tensor) or value.ndim <= len(size):
        return value
    ratios = [c / s for c, s in zip(value.shape[-len(size) :], size, strict=True)]
    inside: Any = (..., *(slice(round(w.start * r), round(w.stop * r)) for w, r in zip(where, ratios, strict=True)))
    return value[inside]
