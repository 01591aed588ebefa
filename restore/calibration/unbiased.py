"""The error of a reconstruction in the measurement, without a truth: SURE and PURE.

Stein 1981 for Gaussian noise of known sigma: |A x - h(y)|^2 / m is estimated without bias by
|y - h|^2 / m - sigma^2 + 2 sigma^2 div h / m, h(y) = A xhat(y). Poisson noise y ~ g Poisson(A x / g): Luisier et al.
2010; as calibration scores: Everink, Tamo Amougou, Pereyra 2025, arXiv 2502.05127 and 2502.19194.

The estimate may be negative and must stay so. It says nothing about what A does not see.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from operators.common.errors import BadInput

Predict = Callable[[Tensor], Tensor]


def sure(
    predict: Predict,
    y: Tensor,
    sigma: float,
    probes: Tensor,
    *,
    step: float | None = None,
    fitted: Tensor | None = None,
) -> Tensor:
    """The unbiased estimate of |A x - predict(y)|^2 / m for each entry of the batch (B), noise Gaussian.

    predict: h(y) = A xhat(y), B x ... to B x ... . probes: K x B x ..., +-1 or standard normal; each costs one call.
    fitted: h(y), where it is known already.
    """
    if not sigma > 0:
        raise BadInput(f"sigma is {sigma:g}", wanted="the positive standard deviation of the noise")
    fitted = predict(y) if fitted is None else fitted
    count = y[0].numel()
    misfit = (y - fitted).abs().square().flatten(1).sum(1) / count
    return misfit - sigma**2 + 2 * sigma**2 * divergence(predict, y, fitted, probes, step or 0.01 * sigma) / count


def pure(predict: Predict, y: Tensor, gain: float, probes: Tensor, *, step: float | None = None) -> Tensor:
    """The same for y = gain * Poisson(A x / gain): |y - h|^2 / m - gain mean(y) + 2 gain (v y, dh v) / m.

    probes: K x B x ..., +-1, so that v^2 = 1.
    """
    if not gain > 0:
        raise BadInput(f"gain is {gain:g}", wanted="the positive gain of the counts")
    fitted = predict(y)
    count = y[0].numel()
    misfit = (y - fitted).square().flatten(1).sum(1) / count
    small = step if step is not None else 0.01 * float(y.abs().mean().clamp_min(1e-12))
    weighted = torch.zeros_like(misfit)
    for probe in probes:
        change = (predict(y + small * probe) - fitted) / small
        weighted += (probe * y * change).flatten(1).sum(1) / len(probes)
    return misfit - gain * y.flatten(1).mean(1) + 2 * gain * weighted / count


def divergence(predict: Predict, y: Tensor, fitted: Tensor, probes: Tensor, step: float) -> Tensor:
    """The trace of dh/dy for each entry (B), by forward differences along the probes."""
    total = torch.zeros(len(y), dtype=y.real.dtype if y.is_complex() else y.dtype, device=y.device)
    for probe in probes:
        change = (predict(y + step * probe) - fitted) / step
        total += (
            (probe.conj() * change).real.flatten(1).sum(1) if y.is_complex() else (probe * change).flatten(1).sum(1)
        )
    return total / len(probes)
