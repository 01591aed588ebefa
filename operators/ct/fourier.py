"""Parallel projections through the Fourier slice theorem and non-uniform fast Fourier transforms.

The Fourier transform of a projection along angle t is that of the picture on the line (w cos t, w sin t). With square
pixels of side h, detector cells of width ds and L samples (the detector, padded so that nothing wraps around),

    y_k = irfft_m[ c_m sum_p x_p exp(-i (a_m X_p + b_m Y_p)) ],
    c_m = h^2 / ds  sinc(a_m h) sinc(b_m h) sinc(w_m ds)  exp(i w_m s_0)

for w_m = 2 pi m / (L ds), (a, b) = w (cos t, sin t), sinc(u) = sin(u / 2) / (u / 2): strip integrals up to the band
limit of the detector. The mean (m = 0) is summed outright, so that mass is kept to rounding. The sum over
pixels is a type-2 transform; the adjoint is the type-1 transform with the same spreading kernel, which is its exact
conjugate transpose. A. Barnett, J. Magland, L. af Klinteberg 2019, doi:10.1137/18M120885X.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import import_extra
from .geometry import Grid

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
# An oversampled grid of 1.25 is three times faster than one of 2 and reaches single precision, not double.
OVERSAMPLING = {torch.float32: 1.25, torch.float64: 2.0}
TOGETHER = 32  # pictures in one call of the transform
PLANS = 6


class FourierSlice:
    """The map above for pictures N x H x W -> N x V x cells, and its adjoint. Copies and pickles without its plans."""

    def __init__(self, angles: np.ndarray, grid: Grid, *, cells: int, spacing: float, shift: float) -> None:
        self.angles, self.grid = angles, grid
        self.cells, self.spacing, self.shift = cells, spacing, shift
        self.length = odd_length(cells + math.ceil(2 * grid.radius / spacing) + 2)
        self._forget()

    def _forget(self) -> None:
        self._plans: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._factors: dict[tuple[torch.dtype, torch.device, int], Tensor] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_plans", "_factors", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def forward(self, x: Tensor) -> Tensor:
        """x: N x H x W, real; returns N x V x cells."""
        spectrum = x.new_zeros(len(x), len(self.angles), self.length // 2 + 1, dtype=_complex(x.dtype))
        torch.mul(self._transform(2, x.to(spectrum.dtype)), self.factor(x), out=spectrum[..., 1:])
        spectrum[..., 0] = x.sum((-2, -1))[:, None] * self._mean
        return torch.fft.irfft(spectrum, n=self.length)[..., : self.cells]

    def adjoint(self, y: Tensor) -> Tensor:
        """y: N x V x cells, real; returns N x H x W."""
        spectrum = torch.fft.rfft(y, n=self.length)[..., 1:] * self.factor(y).conj()
        # irfft counts every frequency but the constant one twice, with its mirror image.
        x = self._transform(1, spectrum).real * (2 / self.length)
        return x + y.sum((-2, -1))[:, None, None] * (self._mean / self.length)

    def sampled(self, y: Tensor) -> Tensor:
        """The sum over views of y at the place of each pixel, interpolated within the band limit: N x H x W."""
        spectrum = torch.fft.rfft(y, n=self.length)[..., 1:] * self.factor(y, phase_only=1).conj()
        x = self._transform(1, spectrum).real * (2 / self.length)
        return x + y.sum((-2, -1))[:, None, None] / self.length

    @property
    def _mean(self) -> float:
        return self.grid.pixel**2 / self.spacing

    def factor(self, like: Tensor, *, phase_only: int = 0) -> Tensor:
        """What multiplies the transform: V x (L - 1) / 2, complex, for the precision and device of `like`."""
        key = (like.dtype, like.device, phase_only)
        if key not in self._factors:
            a, b, w = self._frequencies()
            h, s0 = self.grid.pixel, self.shift - (self.cells - 1) / 2 * self.spacing
            height, width = self.grid.shape
            # The transform counts from pixel n // 2; the axis of rotation is at (n - 1) / 2.
            right, down = width // 2 - (width - 1) / 2, height // 2 - (height - 1) / 2
            phase = w * s0 - a * h * right + b * h * down
            size = np.sinc(a * h / (2 * np.pi)) * np.sinc(b * h / (2 * np.pi)) * np.sinc(w * self.spacing / (2 * np.pi))
            values = torch.from_numpy((1.0 if phase_only else h**2 / self.spacing * size) * np.exp(1j * phase))
            with torch.inference_mode(False):
                self._factors[key] = values.to(device=like.device, dtype=_complex(like.dtype))
        return self._factors[key]

    def _frequencies(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """a, b and w above for m >= 1: V x (L - 1) / 2, radians per length."""
        w = 2 * np.pi * np.arange(1, self.length // 2 + 1) / (self.length * self.spacing)
        w = np.broadcast_to(w, (len(self.angles), len(w)))
        return w * np.cos(self.angles)[:, None], w * np.sin(self.angles)[:, None], w

    def _transform(self, kind: int, data: Tensor) -> Tensor:
        """Type 2: N x H x W -> N x V x frequencies. Type 1: back."""
        inner = self.grid.shape if kind == 1 else (len(self.angles), self.length // 2)
        pieces = [self._execute(kind, piece) for piece in torch.split(data.contiguous(), TOGETHER)] if len(data) else []
        return torch.cat(pieces).reshape(-1, *inner) if pieces else data.new_zeros(0, *inner)

    def _execute(self, kind: int, data: Tensor) -> Tensor:
        # A plan has work space of its own, so two threads take turns.
        with self._lock:
            plan = self._plan(kind, data)
            if data.device.type == "cuda":
                result: Tensor = plan.execute(data.flatten(1) if kind == 1 else data)
                return result
            flat = data.detach().numpy()
            return torch.from_numpy(plan.execute(flat.reshape(len(data), -1) if kind == 1 else flat))

    def _plan(self, kind: int, data: Tensor) -> Any:
        key = (kind, len(data), data.dtype, data.device, torch.get_num_threads())
        if key in self._plans:
            self._plans.move_to_end(key)
            return self._plans[key]
        precision = data.real.dtype
        a, b, _ = self._frequencies()
        # Row index grows against y; whole turns of the phase change nothing and the library wants [-pi, pi).
        rows, across = (np.mod(f * self.grid.pixel + np.pi, 2 * np.pi) - np.pi for f in (-b, a))
        points = [np.ascontiguousarray(p.ravel(), dtype=str(precision).removeprefix("torch.")) for p in (rows, across)]
        common = {"n_trans": len(data), "eps": TOLERANCE[precision], "isign": 1 if kind == 1 else -1}
        dtype = str(data.dtype).removeprefix("torch.")
        if data.device.type == "cuda":
            cufinufft = import_extra("cufinufft", do="Install it with: pip install 'restore[cuda]'.")
            plan = cufinufft.Plan(kind, self.grid.shape, dtype=dtype, **common)
            plan.setpts(*(torch.from_numpy(p).to(data.device) for p in points))
        else:
            finufft = import_extra("finufft", do="Install it with: pip install finufft.")
            settings = {"nthreads": torch.get_num_threads(), "upsampfac": OVERSAMPLING[precision], "showwarn": 0}
            plan = finufft.Plan(kind, self.grid.shape, dtype=dtype, **common, **settings)
            plan.setpts(*points)
        self._plans[key] = plan
        while len(self._plans) > PLANS:
            self._plans.popitem(last=False)
        return plan


def odd_length(least: int) -> int:
    """The smallest odd number from `least` on whose prime factors are 3, 5 and 7: no frequency is its own mirror."""
    length = least | 1
    while _rest(length) != 1:
        length += 2
    return length


def _rest(number: int) -> int:
    for prime in (3, 5, 7):
        while number % prime == 0:
            number //= prime
    return number


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex128 if dtype == torch.float64 else torch.complex64
