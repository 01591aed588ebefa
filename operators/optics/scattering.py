"""Inverse scattering under the first Born approximation: waves sent and received around an object."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.settings import Count, Positive
from ..core.base import SVD, LinearOperator, Shape, check_shape, full_precision

SVD_UP_TO = 1024  # pixels; beyond, the dense decomposition takes minutes and gigabytes


class Scattering(LinearOperator):
    """Y = dx dy conj(f U)^T G: linear in the real contrast f, complex fields Y (transmitters x receivers).

    U[p, t] = (i/4) H0(k |r_p - r_t|), the incident fields; G[p, r] = k^2 (i/4) H0(k |r_p - r_r|), Green's function to
    the receivers, H0 the Hankel function of the first kind; k = 2 pi / (wave dx).

    input_shape: (1, H, W), permittivity contrast; y: (transmitters, receivers), which stand at linspace(0, 359 degrees,
    n) on a circle. The set-up and its defaults are those of InverseBench (Zheng et al. 2025).

    `svd` by dense algebra at first use, for up to SVD_UP_TO pixels; None beyond.
    """

    channels = 1
    incident: Tensor
    green: Tensor

    def __init__(
        self,
        input_shape: Shape,
        *,
        transmitters: Annotated[Count, "how many"] = 20,
        receivers: Annotated[Count, "how many"] = 360,
        extent: Annotated[Positive, "metres across the columns"] = 0.18,
        height: Annotated[Positive | None, "metres across the rows; none: pixels are square"] = None,
        radius: Annotated[Positive, "of the antennas' circle, metres"] = 1.6,
        wave: Annotated[Positive, "wavelength in pixels (columns)"] = 6.0,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if len(shape) != 3 or shape[0] != 1:
            raise BadInput(f"input_shape is {shape}", wanted="(1, H, W)")
        rows, columns = shape[1:]
        tall = extent * rows / columns if height is None else height
        if math.hypot(extent, tall) / 2 >= radius:
            raise BadInput(
                f"a picture of {extent:g} x {tall:g} m reaches the antennas at {radius:g} m", do="Raise the radius."
            )
        super().__init__(shape, (transmitters, receivers), complex_output=True)
        dx, dy = extent / columns, tall / rows
        x, y = (np.arange(columns) - columns / 2) * dx, (np.arange(rows) - rows / 2) * dy
        k = 2 * np.pi / (wave * dx)
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        incident = field(k, grid, antennas(transmitters, radius))
        green = dx * dy * k**2 * field(k, grid, antennas(receivers, radius))
        self.wave, self.radius, self.extent = wave, radius, extent
        # Stored as the products need them: transmitters x pixels and pixels x receivers.
        self.register_buffer("incident", torch.from_numpy(np.ascontiguousarray(incident.conj().T)))
        self.register_buffer("green", torch.from_numpy(np.ascontiguousarray(green)))

    def _forward(self, x: Tensor) -> Tensor:
        lit = x.flatten(1)[:, None] * self.constant("incident", x)
        # One product for the whole batch: (B T) x N by N x R.
        return (lit.flatten(0, 1) @ self.constant("green", x)).reshape(x.shape[0], *self.output_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        back = (y.flatten(0, 1) @ self.constant("green", y).mH).unflatten(0, y.shape[:2])  # type: ignore[no-untyped-call]
        return (self.constant("incident", y).conj() * back).real.sum(1).reshape(y.shape[0], *self.input_shape)

    def direct(self, y: Tensor) -> Tensor:
        """The matched filter with its best scale: A^T y |A^T y|^2 / |A A^T y|^2."""
        back = self.adjoint(y)
        seen = (self.forward(back).abs() ** 2).sum((1, 2))
        scale = (back**2).sum((1, 2, 3)) / torch.where(seen > 0, seen, torch.ones_like(seen))
        return back * scale.reshape(-1, 1, 1, 1)

    @property
    def svd(self) -> SVD | None:
        if math.prod(self.input_shape) > SVD_UP_TO:
            return None
        pair = self._decomposition()
        count = math.prod(self.output_shape)

        def in_output(y: Tensor) -> Tensor:
            flat = torch.cat([y.real.flatten(1), y.imag.flatten(1)], dim=1)
            return _product(flat, self.derived("left", lambda: pair[0], flat))

        def from_output(c: Tensor) -> Tensor:
            flat = _product(c, self.derived("left", lambda: pair[0], c).mT)
            return torch.complex(flat[:, :count], flat[:, count:]).reshape(-1, *self.output_shape)

        return SVD(
            s=pair[1],
            U=from_output,
            Ut=in_output,
            V=lambda c: _product(c, self.derived("right", lambda: pair[2], c)).reshape(-1, *self.input_shape),
            Vt=lambda x: _product(x.flatten(1), self.derived("right", lambda: pair[2], x).mT),
        )

    def _decomposition(self) -> tuple[Tensor, Tensor, Tensor]:
        """U (2TR x r), s (r) and the square V^T of the real matrix of f -> (Re y, Im y); kept with the operator."""
        if "values" not in self._buffers:
            pixels = math.prod(self.input_shape)
            with torch.inference_mode(False), torch.no_grad():
                incident, green = (getattr(self, name).cpu().to(torch.complex128) for name in ("incident", "green"))
                columns = (incident[:, None, :] * green.mT[None]).reshape(-1, pixels)
                left, values, right = torch.linalg.svd(torch.cat([columns.real, columns.imag]), full_matrices=False)
                if len(values) < pixels:  # the null space completes V
                    null = torch.linalg.svd(right, full_matrices=True)[2][len(values) :]
                    right = torch.cat([right, null])
                self.register_buffer("left", left.contiguous(), persistent=False)
                self.register_buffer("values", values, persistent=False)
                self.register_buffer("right", right.contiguous(), persistent=False)
        return self.left, self.values.cpu(), self.right  # type: ignore[return-value]

    def norm(self, *, iterations: int = 50) -> float:
        if self.svd is not None:
            return float(self.svd.s.max())
        return super().norm(iterations=iterations)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, wave={self.wave:g}, radius={self.radius:g}, extent={self.extent:g}"


def _product(a: Tensor, b: Tensor) -> Tensor:
    with full_precision(a):
        return a @ b


def antennas(count: int, radius: float) -> np.ndarray:
    """Positions (count x 2: x right, y down) at linspace(0, 359 degrees, count)."""
    angle = np.linspace(0, np.deg2rad(359), count)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def field(k: float, points: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """(i/4) H0(k |p - s|): the wave of each source at each point, points x sources."""
    from scipy.special import hankel1

    distance = np.linalg.norm(points[:, None] - sources[None], axis=-1)
    wave: np.ndarray = 0.25j * hankel1(0, k * distance)
    return wave
