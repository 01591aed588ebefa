"""Which entries of a measurement from elsewhere were measured, as a mask says it: a picture, or a vector of lines."""

from __future__ import annotations

import torch
from torch import Tensor

from operators import BadInput

EMPTY = 0.05  # share of the points a mask calls measured that may hold exactly 0 before that is said


def of(mask: Tensor, y: Tensor, notes: list[str]) -> Tensor:
    """Which pixels were measured (H x W): those of a mask on the bright side of half its range, any above 0 of 0 and 1.

    A mask drawn or stored as a picture has grey edges, compression noise, or black that is not quite 0. A vector says
    which lines were measured: columns where it is as long as a row of y, rows where it is as long as a column.
    y: B x C x H x W. BadInput for a mask of another size, one that is transposed, or one that measures nothing.
    """
    values = mask.double()
    dark, bright = (float(values.min()), float(values.max())) if values.numel() else (0.0, 0.0)
    two_valued = dark == bright or bool(((values == dark) | (values == bright)).all())
    keep = values != 0 if dark == bright else values > (dark + bright) / 2
    while keep.ndim > 2:
        keep = keep.any(0)
    height, width = y.shape[-2:]
    if keep.ndim == 1 or (1 in keep.shape and tuple(keep.shape) != (height, width)):
        keep = _lines(keep, y, notes)
    if tuple(keep.shape) != (height, width):
        turned = tuple(keep.shape) == (width, height)
        raise BadInput(
            f"the mask has shape {tuple(mask.shape)}",
            wanted=f"{height} x {width}, as the measurement",
            do="It is transposed: exchange its axes." if turned else "",
        )
    if not bool(keep.any()):
        raise BadInput("the mask is 0 everywhere: nothing was measured", wanted="nonzero where a pixel was measured")
    if y.is_complex():
        _check_against(keep, y, notes)
    missing = int((~keep).sum())
    edge = "" if two_valued else f"; it holds other values than {dark:g} and {bright:g}, which half its range decides"
    notes.append(f"mask: {missing} of {keep.numel()} pixels are missing ({100 * missing / keep.numel():.1f} %){edge}")
    return keep


def _lines(keep: Tensor, y: Tensor, notes: list[str]) -> Tensor:
    """H x W of a vector of lines; BadInput where its length does not tell which way they run, nor do zeros in y."""
    height, width = y.shape[-2:]
    stands = keep.ndim == 2 and keep.shape[0] > 1
    lies = keep.ndim == 2 and not stands
    line = keep.flatten()
    length = len(line)
    ways = {"columns": (line.expand(height, length), width), "rows": (line[:, None].expand(length, width), height)}
    fits = [name for name, (_, side) in ways.items() if side == length]
    if lies or stands:
        fits = [name for name in fits if name == ("columns" if lies else "rows")]
    if len(fits) == 2 and bool((y == 0).any()):
        told = [name for name in fits if not _measured(y)[~ways[name][0]].any()]
        fits = told or fits
    if not fits:
        raise BadInput(
            f"the mask is a vector of {length}",
            wanted=f"{width} columns or {height} rows, as the measurement has and where it is not 0",
        )
    if len(fits) == 2:
        raise BadInput(
            f"the mask is a vector of {length}, which may be rows or columns of the measurement",
            do="Store it as H x W, as 1 x W for columns, or as H x 1 for rows.",
        )
    notes.append(f"mask: its {length} entries are the {fits[0]} of the measurement")
    return ways[fits[0]][0]


def _measured(y: Tensor) -> Tensor:
    """H x W: where any channel of any picture is not exactly 0."""
    return (torch.nan_to_num(y) != 0).flatten(0, -3).any(0)


def _check_against(keep: Tensor, y: Tensor, notes: list[str]) -> None:
    """BadInput where k-space is 0 at what the mask calls measured, and the transposed mask fits it; else a note."""
    there = _measured(y)
    empty = float((~there)[keep].double().mean())
    if empty <= EMPTY or not bool(there.any()):
        return
    square = keep.shape[0] == keep.shape[1]
    if square and float((~there)[keep.T].double().mean()) < empty / 4:
        raise BadInput(
            f"k-space is exactly 0 at {100 * empty:.0f} % of the points that the mask calls measured, and not so for "
            "the transposed mask",
            wanted="the mask of this measurement",
            do="Exchange its axes.",
        )
    notes.append(f"mask: k-space is exactly 0 at {100 * empty:.0f} % of the points that it calls measured")
