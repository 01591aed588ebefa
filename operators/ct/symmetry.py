"""Views that are mirror images of each other share one matrix.

A square picture has eight symmetries (quarter turns and mirrors), an oblong one four. Where a symmetry g takes view v
to view g v of the same scan, (A x)(g v) = (A x')(v) with x'(p) = x(g p). So the matrix is stored for one view of each
orbit and multiplied with the pictures in all their positions at once: a full turn in equal steps needs an eighth of the
memory, and each weight that is read serves eight products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .geometry import Views

_TURN, _MIRROR = np.array([[0, -1], [1, 0]]), np.array([[1, 0], [0, -1]])
# Every element as (quarter turns, mirrored), the map "mirror y first, then turn" of the plane.
ELEMENTS = [(turns, mirrored) for mirrored in (0, 1) for turns in range(4)]
SUBSETS = [
    tuple(range(8)),
    (0, 1, 2, 3),
    (0, 2, 4, 6),
    (0, 1, 4, 5),
    (0, 1),
    (0, 2),
    *((0, mirror) for mirror in range(4, 8)),
    (0,),
]
WASTE = 1.3  # products computed for views that another element covers already, at most


@dataclass(frozen=True, eq=False)
class Folding:
    """Which views are made from which.

    elements: the symmetries in use. stored: views whose matrix is kept. slot: for each view of the scan, its place in
    the table stored x elements; equal views have one place. mirrored: views whose cells come in reverse order.
    """

    elements: tuple[int, ...]
    stored: np.ndarray
    slot: np.ndarray
    mirrored: np.ndarray


def fold(views: Views, *, square: bool) -> Folding:
    """The choice with the fewest stored views."""
    images, reversed_cells = _images(views)
    best = _cover(images, reversed_cells, (0,))
    different = len(best.stored)
    for elements in SUBSETS:
        if not square and any(ELEMENTS[e][0] % 2 for e in elements):
            continue
        folding = _cover(images, reversed_cells, elements)
        wasteful = len(folding.stored) * len(elements) > WASTE * different + 8
        if not wasteful and len(folding.stored) < len(best.stored):
            best = folding
    return best


def _cover(images: np.ndarray, reversed_cells: np.ndarray, elements: tuple[int, ...]) -> Folding:
    total = images.shape[1]
    slot, mirrored = np.full(total, -1), np.zeros(total, bool)
    stored: list[int] = []
    # A view that occurs again (both ends of a turn stored, several turns) is read where it came first.
    first = images[0]
    for view in range(total):
        if slot[view] >= 0 or first[view] != view:
            continue
        for place, element in enumerate(elements):
            image = images[element, view]
            if image >= 0 and slot[image] < 0:
                slot[image] = len(stored) * len(elements) + place
                mirrored[image] = reversed_cells[element, view]
        stored.append(view)
    return Folding(elements, np.array(stored), slot[first], mirrored[first])


def _images(views: Views) -> tuple[np.ndarray, np.ndarray]:
    """For each element and view: the view it becomes, -1 where there is none, and whether its cells are reversed."""
    names = {name: index for index, name in reversed(list(enumerate(_names(views, reverse=False))))}
    images = np.full((len(ELEMENTS), len(views)), -1)
    flips = np.zeros(images.shape, bool)
    dimensions = views.beam.shape[1]
    for e in range(len(ELEMENTS)):
        matrix = np.eye(dimensions)
        matrix[:2, :2] = plane_matrix(e)
        moved = views.moved(matrix)
        for reverse in (False, True):
            for v, name in enumerate(_names(moved, reverse=reverse)):
                if images[e, v] < 0 and name in names:
                    images[e, v], flips[e, v] = names[name], reverse
    return images, flips


def plane_matrix(element: int) -> np.ndarray:
    """The 2 x 2 matrix of a symmetry."""
    turns, mirrored = ELEMENTS[element]
    return np.linalg.matrix_power(_TURN, turns) @ (_MIRROR if mirrored else np.eye(2))


def _names(views: Views, *, reverse: bool) -> list[bytes]:
    """One name for each view that two views share exactly when their rays are the same, cell for cell."""
    sign = -1.0 if reverse else 1.0
    axes = views.axes.copy()
    axes[:, -1] *= sign
    place = views.centre
    if views.parallel:
        # Along the rays the detector may slide.
        unit = views.axes[:, 0] / np.linalg.norm(views.axes[:, 0], axis=-1, keepdims=True)
        place = unit * (views.centre * unit).sum(-1, keepdims=True)
    parts = [axes.reshape(len(views), -1), place]
    if not views.parallel:
        parts.append(views.beam)
    numbers = np.concatenate(parts, 1)
    scale = max(float(np.abs(numbers).max()), 1e-300)
    # Rounded far above the error of a cosine and far below any step between views; + 0 turns -0 into 0.
    rounded = np.round(numbers / scale * 1e9) + 0.0
    return [row.tobytes() for row in rounded]


def move(x: Tensor, element: int) -> Tensor:
    """x'(p) = x(g p) on the last two axes (rows downward, so that a turn of the plane is clockwise in the array)."""
    turns, mirrored = ELEMENTS[element]
    turned = torch.rot90(x, -turns, (-2, -1))
    return turned.flip(-2) if mirrored else turned


def move_back(x: Tensor, element: int) -> Tensor:
    """The inverse of `move`."""
    turns, mirrored = ELEMENTS[element]
    return torch.rot90(x.flip(-2) if mirrored else x, turns, (-2, -1))


def columns(x: Tensor, elements: tuple[int, ...]) -> Tensor:
    """N x spatial -> pixels x (elements N): the pictures in all their positions, one column each."""
    moved = torch.stack([move(x, element) for element in elements])
    return moved.reshape(len(elements) * x.shape[0], math.prod(x.shape[1:])).mT.contiguous()


def gather(columns: Tensor, elements: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """The adjoint of `columns`: pixels x (elements N) -> N x shape."""
    pictures = columns.mT.reshape(len(elements), -1, *shape)
    total = move_back(pictures[0], elements[0])
    for picture, element in zip(pictures[1:], elements[1:], strict=True):
        total = total + move_back(picture, element)
    return total
