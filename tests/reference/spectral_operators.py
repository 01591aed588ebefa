"""Operators whose singular vectors are those of a recording, in its order: a matrix U diag(s) V^T on flat pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from operators.core.base import SVD, LinearOperator

SHAPE = (3, 16, 16)
SIDE = 16


class Decomposed(LinearOperator):
    """A = U diag(s) V^T; the columns of V beyond s span the null space."""

    def __init__(self, u: Tensor, s: Tensor, v: Tensor) -> None:
        super().__init__(SHAPE, (len(u),))
        for name, values in (("u", u), ("s", s), ("v", v)):
            self.register_buffer(name, values)

    def _forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.v[:, : len(self.s)] * self.s) @ self.u.T

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.u * self.s @ self.v[:, : len(self.s)].T).reshape(-1, *SHAPE)

    @property
    def svd(self) -> SVD:
        return SVD(
            s=self.s,
            U=lambda c: c @ self.u.T,
            Ut=lambda y: y @ self.u,
            V=lambda c: (c @ self.v.T).reshape(-1, *SHAPE),
            Vt=lambda x: x.flatten(1) @ self.v,
        )


def means(record: Mapping[str, np.ndarray]) -> Decomposed:
    """4 x 4 means: first coefficient of each channel and patch, then the fifteen others of each."""
    small, sign = torch.as_tensor(record["sr4__V_small"]), float(record["sr4__U_small"][0, 0])
    v = torch.zeros(*SHAPE, 768, dtype=torch.float64)
    for c in range(3):
        for patch in range(16):
            rows, columns = divmod(patch, 4)
            k = 16 * c + patch
            places = [k, *range(48 + 15 * k, 48 + 15 * (k + 1))]
            block = v[c, 4 * rows : 4 * rows + 4, 4 * columns : 4 * columns + 4]
            block[..., places] = small.reshape(4, 4, 16)
    s = torch.full((48,), 0.25, dtype=torch.float64)
    return Decomposed(sign * torch.eye(48, dtype=torch.float64), s, v.reshape(768, 768))


def packed_mask(record: Mapping[str, np.ndarray]) -> Decomposed:
    """Kept pixels, row-major with the channel fastest; then the holes, channel by channel."""
    keep = torch.as_tensor(record["mask"]).flatten() > 0
    first, rest = keep.nonzero()[:, 0], (~keep).nonzero()[:, 0]
    kept = [c * 256 + int(p) for p in first for c in range(3)]
    missing = [c * 256 + int(p) for c in range(3) for p in rest]
    v = torch.eye(768, dtype=torch.float64)[:, [*kept, *missing]]
    return Decomposed(torch.eye(len(kept), dtype=torch.float64), torch.ones(len(kept), dtype=torch.float64), v)


def separable_blur(record: Mapping[str, np.ndarray]) -> Decomposed:
    """The blur of the recording, the singular values in the order that its code pairs with the vectors."""
    u, v = (torch.as_tensor(record[f"deblur__{name}_small"]) for name in ("U", "V"))
    perm = torch.as_tensor(record["deblur__perm"])

    def whole(small: Tensor) -> Tensor:
        plane = torch.einsum("ia,jb->ijab", small, small).reshape(256, 256)[:, perm]
        return torch.einsum("pk,cd->cpkd", plane, torch.eye(3, dtype=torch.float64)).reshape(768, 768)

    return Decomposed(whole(u), torch.as_tensor(record["deblur__singulars"]), whole(v))
