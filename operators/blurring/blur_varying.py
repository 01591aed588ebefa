"""Blur that changes over the picture, as a sum of products and convolutions."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.intake import finite, numbers
from ..common.settings import Count, Positive, Range, check_room
from ..core.base import LinearOperator, Shape, check_shape
from . import kernels as shapes
from .convolution import PeriodicGrid, output_shape, real_pairs
from .kernels.settings import Normalise
from .padding import Boundary


class SpatiallyVaryingBlur(LinearOperator):
    """y = sum_i h_i * (w_i x): pixels near the weight w_i are spread by the kernel h_i.

    input_shape: (..., H, W). Without kernels, `count` Gaussians whose standard deviation runs from sigma[0] to sigma[1]
    are mixed, as a lens does, by the distance from the centre of the picture. Without weights, kernels of one's own sit
    at the nodes of a grid that spans the picture, in reading order, and are interpolated linearly between nodes
    (efficient filter flow). Weights should sum to 1 in every pixel.

    One FFT of K pictures and one back, in one batch. No closed form: solve and pinv are conjugate gradients.

    References: E. Gilad and J. von Hardenberg, "A fast algorithm for convolution integrals with space and time variant
    kernels", 2006; M. Hirsch et al., "Efficient filter flow for space-variant multiframe blind deconvolution", 2010.
    """

    beside_array = ("grid", "weights", "boundary", "normalise")
    kernel: Tensor
    weights: Tensor
    parts: Tensor

    def __init__(
        self,
        input_shape: Shape,
        *,
        kernel: Annotated[Tensor | np.ndarray | list[Any] | None, "the kernels h_i, K x h x w"] = None,
        weights: Annotated[Tensor | np.ndarray | list[Any] | None, "w_i, K x H x W"] = None,
        grid: Annotated[tuple[Count, Count] | None, "(rows, columns) of the nodes where kernels sit"] = None,
        count: Annotated[int, Range(2), "Gaussians where no kernels are given"] = 3,
        sigma: Annotated[tuple[Positive, Positive], "theirs in pixels, in the centre and in the corners"] = (0.5, 1.5),
        boundary: Boundary = "reflect",
        normalise: Normalise = True,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if len(shape) < 2:
            raise BadInput(f"input_shape is {shape}", wanted="(..., H, W)")
        picture = (shape[-2], shape[-1])
        if kernel is None:
            if grid is not None or weights is not None:
                raise BadInput("a grid or weights were given without kernels", do="Give the kernels, or leave it out.")
            h, w = _lens(picture, count, sigma)
        else:
            h = np.stack([shapes.from_array(k, normalise=normalise) for k in _stack(kernel, "kernel")])
            w = _hats(picture, grid, len(h)) if weights is None else _stack(weights, "weights")
        if w.shape != (len(h), *picture):
            raise BadInput(f"weights have shape {w.shape}", wanted=f"{(len(h), *picture)}: one for each kernel")
        if boundary == "valid" and (h.shape[1] > picture[0] or h.shape[2] > picture[1]):
            raise BadInput(
                f"kernels have {h.shape[1]} x {h.shape[2]} pixels and the picture {picture[0]} x {picture[1]}",
                wanted="kernels that fit into the picture under boundary 'valid'",
            )
        super().__init__(shape, output_shape(shape, h[0], boundary))
        self.boundary = boundary
        self._planes = (1,) * (len(shape) - 2)
        self._grid = PeriodicGrid.of(shape, h[0], boundary)
        self.register_buffer("kernel", torch.from_numpy(h.copy()))
        self.register_buffer("weights", torch.from_numpy(w.reshape(len(h), *self._planes, *picture).copy()))
        spectra = np.stack([self._grid.spectrum(k) for k in h])
        pairs = real_pairs(spectra.reshape(len(h), *self._planes, *spectra.shape[1:]))
        self.register_buffer("parts", pairs, persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        spectra = self._grid.transform(x.unsqueeze(1) * self.constant("weights", x))  # B x K x ... x grid
        spectra *= torch.view_as_complex(self.constant("parts", x))
        return self._grid.crop(spectra.sum(1))

    def _adjoint(self, y: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(y, s=self._grid.size).unsqueeze(1)
        spectra = spectrum * torch.view_as_complex(self.constant("parts", y)).conj()
        x = self._grid.fold(spectra)
        x *= self.constant("weights", y)
        return x.sum(1)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, kernels={shapes.fingerprint(self.kernel.cpu().numpy())}, "
            f"weights={shapes.fingerprint(self.weights.cpu().numpy())}, boundary={self.boundary!r}"
        )


def _stack(values: Any, name: str) -> np.ndarray:
    """K x h x w in float64; BadType or BadInput for anything else."""
    array = numbers(values, what=name)
    if array.ndim != 3 or array.size == 0:
        raise BadInput(f"{name} has shape {array.shape}", wanted="K x h x w")
    return finite(array, what=name)


def _lens(picture: tuple[int, int], count: int, sigma: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Gaussians from sigma[0] in the centre to sigma[1] in the corners, and hats over the radius."""
    side = shapes.gaussian(sigma=max(sigma)).shape[0]
    check_room("count", count, side, side)
    check_room("count", count, *picture)
    h = np.stack([shapes.gaussian(size=side, sigma=float(s)) for s in np.linspace(*sigma, count)])
    rows, columns = ((np.arange(n) - (n - 1) / 2) / max((n - 1) / 2, 1) for n in picture)
    radius = np.hypot(rows[:, None], columns[None, :]) / 2**0.5
    return h, _hat(radius * (count - 1), count)


def _hats(picture: tuple[int, int], grid: Any, count: int) -> np.ndarray:
    """Products of hats over the rows and columns of a grid of nodes that spans the picture."""
    nodes = (1, count) if grid is None else tuple(grid)
    if nodes[0] * nodes[1] != count:
        raise BadInput(f"a grid of {nodes[0]} x {nodes[1]} for {count} kernels", wanted="as many nodes as kernels")
    rows, columns = (
        _hat(np.linspace(0, n - 1, length) if n > 1 else np.zeros(length), n)
        for n, length in zip(nodes, picture, strict=True)
    )
    product = rows[:, None, :, None] * columns[None, :, None, :]
    return product.reshape(count, *picture)


def _hat(position: np.ndarray, count: int) -> np.ndarray:
    """Weights of `count` nodes at 0, 1, ... for linear interpolation at each position; they sum to 1."""
    position = np.clip(position, 0, count - 1)
    weights: np.ndarray = np.stack([np.maximum(1 - np.abs(position - i), 0) for i in range(count)])
    return weights
