"""Axes and typed metadata of what is written: those of the file that was read, as far as the shapes agree."""

from __future__ import annotations

import numpy as np

from operators.common.metadata import Facts

from .image import Metadata


def usual_axes(array: np.ndarray) -> str:
    """The order in which an array of C x H x W or C x D x H x W without a history is stored."""
    channels, volume = array.shape[0], array.ndim == 4
    if channels == 1:
        return "DHW" if volume else "HW"
    if channels in (3, 4):
        return "DHWC" if volume else "HWC"
    return "CDHW" if volume else "CHW"


def fitting_axes(array: np.ndarray, axes: str) -> str:
    """The stored axes in their order, with one more or less where the estimate's shape asks for it."""
    if array.ndim == 3:
        axes = axes.replace("D", "")
    elif "D" not in axes:
        axes = "D" + axes
    return axes + "C" if "C" not in axes and array.shape[0] > 1 else axes


def unfolded(array: np.ndarray, meta: Metadata) -> np.ndarray:
    """The estimate of a volume that a task on pictures took with its slices as channels, as a volume again."""
    if array.ndim != 3 or "D" not in meta.axes:
        return array
    channels = meta.channels if meta.shape else 1
    slices = meta.shape[1] if meta.shape else len(array)
    return array.reshape(channels, slices, *array.shape[1:]) if len(array) == channels * slices else array


def facts_for(shape: tuple[int, ...], meta: Metadata) -> Facts:
    """The typed metadata that still hold for an estimate of that shape: its place in space only on the same grid."""
    same = not meta.shape or tuple(shape[1:]) == tuple(meta.shape[1:])
    spectral = meta.spectral if shape[0] == meta.channels else None
    return Facts(geometry=meta.geometry if same else None, spectral=spectral)
