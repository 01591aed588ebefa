"""A spectral picture as a mixture of three of its own bands: which three, and how the others follow from them."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import qr
from torch import Tensor

TOLERANCE = 1.2


def chosen_bands(vectors: np.ndarray, *, tolerance: float = TOLERANCE) -> list[int]:
    """Indices of as many rows of `vectors` (bands x rank) as there are columns, so that these rows mix all others well.

    No entry of vectors @ inverse(vectors[chosen]) exceeds `tolerance` in size: pivoted QR, then swaps (Gu, Eisenstat
    1996, strong rank-revealing QR). Sorted.
    """
    rank = vectors.shape[1]
    order = qr(vectors.T, pivoting=True, mode="economic")[2].tolist()
    while True:
        mixing = vectors[order[rank:]] @ np.linalg.inv(vectors[order[:rank]])
        # First in column-major order of the transposed mixture, as a pass over it finds it.
        rows, columns = np.nonzero(np.abs(mixing) > tolerance)
        if not len(rows):
            return sorted(order[:rank])
        k = int(np.lexsort((columns, rows))[0])
        order[columns[k]], order[rank + rows[k]] = order[rank + rows[k]], order[columns[k]]


def mixture(picture: Tensor, rank: int) -> tuple[list[int], Tensor]:
    """Bands of a picture (C x H x W) and E (C x rank), by which X = E X[bands] in the best subspace of that rank."""
    flat = picture.flatten(1).double().cpu().numpy()
    vectors = np.linalg.svd(flat @ flat.T)[0][:, :rank]
    bands = chosen_bands(vectors)
    return bands, torch.from_numpy(vectors @ np.linalg.inv(vectors[bands])).to(picture)
