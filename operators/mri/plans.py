"""Non-uniform FFTs on torch tensors: finufft on a processor, cufinufft on a GPU, with plans that stay.

Type 2: y_m = sum_n x_n exp(-i k_m . (n - N//2)); type 1 is its conjugate transpose. Both plans of a pair share every
setting, so that they are transposes of each other to rounding, whatever the precision of the transform.
"""

from __future__ import annotations

import importlib
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import import_extra
from ..core.base import Shape

KEPT = 8  # plans of different batch, precision or device
FINE = 1e-12  # double precision is asked for where exactness counts
COARSEST_SINGLE = 2e-7  # below, single precision only warns
LOW_UPSAMPLING = 1e-4  # from this precision on, a grid 1.25 times as large is faster than one twice as large


class Nufft:
    """The transforms between a grid of `size` and the points (M x axes, radians per pixel), unnormalised.

    eps: relative precision in single precision; double precision takes at most 1e-12. Pickles and copies without its
    plans, which are made again at first use.
    """

    def __init__(self, points: Tensor, size: Shape, *, eps: float) -> None:
        self.points = points.detach().cpu().double().reshape(-1, len(size)).numpy()
        self.size, self.eps = tuple(size), eps
        self._plans: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_plans": OrderedDict()}

    def forward(self, x: Tensor) -> Tensor:
        """... x size, complex -> P x M, P the planes in front."""
        return self._run(2, x.reshape(-1, *self.size), (len(self.points),))

    def adjoint(self, y: Tensor) -> Tensor:
        """... M values in all, complex -> P x size."""
        return self._run(1, y.reshape(-1, len(self.points)), self.size)

    def _run(self, kind: int, data: Tensor, shape: Shape) -> Tensor:
        planes = data.shape[0]
        out = torch.empty(planes, *shape, dtype=data.dtype, device=data.device)
        if not planes:
            return out
        data = data.detach().resolve_conj().contiguous()
        plan = self._plan(kind, planes, data)
        source, target = (data[0], out[0]) if planes == 1 else (data, out)
        if data.device.type == "cpu":
            plan.execute(source.numpy(), out=target.numpy())
        else:
            plan.execute(source, out=target)
        return out

    def _plan(self, kind: int, planes: int, like: Tensor) -> Any:
        threads = torch.get_num_threads() if like.device.type == "cpu" else 0
        key = (kind, planes, like.dtype, like.device, threads)
        if key in self._plans:
            self._plans.move_to_end(key)
            return self._plans[key]
        self._plans[key] = self._make(kind, planes, like, threads)
        if len(self._plans) > KEPT:
            self._plans.popitem(last=False)
        return self._plans[key]

    def _make(self, kind: int, planes: int, like: Tensor, threads: int) -> Any:
        double = like.dtype == torch.complex128
        eps = min(self.eps, FINE) if double else max(self.eps, COARSEST_SINGLE)
        settings: dict[str, Any] = {
            "n_trans": planes,
            "eps": eps,
            "isign": 1 if kind == 1 else -1,
            "dtype": "complex128" if double else "complex64",
            # Left to the library, the choice may differ between the two types, and they would be no transposes.
            "upsampfac": 1.25 if eps >= LOW_UPSAMPLING else 2.0,
        }
        points = [np.ascontiguousarray(axis, dtype=np.float64 if double else np.float32) for axis in self.points.T]
        if like.device.type == "cpu":
            finufft: Any = importlib.import_module("finufft")
            # torch and finufft each keep their own threads: left alone, finufft would take all cores.
            plan = finufft.Plan(kind, self.size, nthreads=threads, **settings)
            plan.setpts(*points)
            return plan
        library = import_extra("cufinufft", do="Install the extra: pip install 'restore[cuda]'.")
        plan = library.Plan(kind, self.size, gpu_device_id=like.device.index or 0, **settings)
        plan.setpts(*(torch.from_numpy(axis).to(like.device) for axis in points))
        return plan
