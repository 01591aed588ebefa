"""Magnetic resonance imaging: Cartesian and free trajectories, one coil or many, planes, volumes and series."""

from __future__ import annotations

import importlib
from typing import Any

_ATTRIBUTES = {
    "Mri": "cartesian",
    "MultiCoilMri": "multicoil",
    "MriNufft": "nufft",
    "sampling_mask": "sampling",
    "trajectory": "trajectories",
    "pipe_menon": "density",
    "ramp": "density",
    "birdcage": "coils",
    "combine": "coils",
    "normalise": "coils",
    "prewhiten": "coils",
    "root_sum_of_squares": "coils",
    "espirit": "calibration",
    "walsh": "calibration",
    "centred_fft": "fourier",
    "centred_ifft": "fourier",
}
__all__ = list(_ATTRIBUTES)


def __getattr__(name: str) -> Any:
    if name in _ATTRIBUTES:
        return getattr(importlib.import_module(f"operators.mri.{_ATTRIBUTES[name]}"), name)
    raise AttributeError(f"module 'operators.mri' has no attribute {name!r}")
