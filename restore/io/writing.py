"""`write` and `write_native`: from a tensor to a file that is whole or not there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operators.common.errors import BadInput, BadType
from operators.common.metadata import Facts

from .errors import WriteError, one_line
from .format import Format
from .formats import line, load, writer_for
from .image import Image, Metadata
from .storing import store, writable
from .values import FULL, SHIFTED, WHITE
from .write_spec import Spec
from .written_axes import facts_for, fitting_axes, unfolded, usual_axes

INTEGERS: dict[int, np.dtype] = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16)}


def write(
    path: str | os.PathLike[str],
    image: Image | Tensor,
    *,
    bits: int | None = None,
    value_range: tuple[float, float] | None = None,
    dataset: str | None = None,
    quality: int = 95,
    overwrite: bool = True,
) -> Path:
    """Path of a picture in the format that the suffix stands for, written whole or not at all.

    Parameters
    ----------
    path: ends in .png, .jpg, .tif, .npy, .npz, .h5, .mat or .zarr.
    image: an Image; or a tensor H x W, C x H x W, 1 x C x H x W, or (a volume) 1 x C x D x H x W.
    bits: 8 or 16 (integers of full range), or 32 (floats as they are). Default: 8 for PNG and JPEG, 32 elsewhere;
        for an Image in [0,1] that came with 16 or 8 bits, as many again in PNG and TIFF.
    value_range: values that become black and white where integers are written; default (0, 1). Beyond: clipped.
    dataset: name of the array in .npz, .h5, .mat and .zarr; default "image".
    quality: of JPEG, 1 to 100.
    overwrite: refuse an existing file where False.

    An Image keeps the order of its file's axes. A tensor is written as H x W (one channel), H x W x C (3 or 4 channels,
    so that it reads back without options), else C x H x W; a volume as D x H x W, D x H x W x C or C x D x H x W. HDF5
    and Zarr record axes, unit and typed metadata beside the values.

    Raises
    ------
    WriteError
        Unknown suffix, a shape or type the format does not hold, values that are NaN or in quite another unit, or a
        place that cannot be written.
    """
    path = Path(path)
    name = writer_for(path)
    kind = writable(path, name)
    meta = image.meta if isinstance(image, Image) else None
    array = _array(path, image)
    if bits is None:
        bits = _default_bits(kind, meta)
    if bits not in (*INTEGERS, 32):
        raise BadInput(f"bits is {bits}", wanted="8, 16 or 32")
    if not 1 <= quality <= 100:
        raise BadInput(f"quality is {quality}", wanted="1 to 100")
    if bits not in kind.depths:
        raise WriteError(path, f"{bits} bits for {name.upper()}", do="Use bits 8 (16 for PNG), or .tif or .npy.")
    fields = {"dataset": dataset, "quality": quality}
    axes = usual_axes(array) if meta is None or kind.layouts else fitting_axes(array, meta.axes)
    facts = Facts() if meta is None else facts_for(array.shape, meta)
    if bits == 32:
        floats = np.dtype(np.complex64 if array.dtype.kind == "c" else np.float32)
        unit = meta.unit if meta else None
        spec = Spec(floats, axes=axes, unit=unit, fields=fields, facts=facts)
        return store(path, name, array, spec, overwrite=overwrite)
    low, high = _display_range(path, value_range, meta)
    _check_range(path, array, low, high)
    dtype = INTEGERS[bits]
    full = int(np.iinfo(dtype).max)
    scaled = (array - np.float32(low)) / np.float32(high - low)
    spec = Spec(dtype, full=full, axes=axes, fields=fields, facts=facts)
    return store(path, name, scaled, spec, overwrite=overwrite)


def write_native(stem: str | os.PathLike[str], tensor: Tensor, meta: Metadata, *, overwrite: bool = True) -> Path:
    """Path of an estimate in the kind its measurement came in: format, stored type, unit, axes, name of the array.

    stem: path without suffix. tensor: shapes as in `write`, and C x D x H x W where the file
    held a volume; in `meta.unit`. Returns the path with its suffix.
    Values outside the stored type's range are clipped. Pictures of fewer than 8 bits or with a palette come back with 8
    bits, masks as floats, MATLAB 7.3 as version 5, and an orientation that was applied stays applied.
    """
    stem = Path(stem)
    path = stem.with_name(stem.name + line(meta.format).suffixes[0])
    kind = writable(path, meta.format)
    array = unfolded(_array(path, tensor, volume="D" in meta.axes), meta)
    fields = meta.fields
    dtype: np.dtype[Any] = np.dtype(fields.get("dtype") or meta.dtype)
    full = fields.get(FULL)
    if not kind.floats:
        dtype = INTEGERS[meta.bits if meta.bits in kind.depths else 8]
    if array.dtype.kind == "c":
        dtype = dtype if dtype.kind == "c" else np.dtype(np.complex64)
    elif dtype.kind in "bc":
        dtype, full = np.dtype(np.float32), None
    ceiling = None
    if WHITE in fields:
        ceiling = float(np.iinfo(dtype).max) if dtype.kind in "ui" else None
    elif full is not None:
        _check_range(path, array, 0.0, 1.0)
        full = full if full in (255, 65535) else int(np.iinfo(dtype).max)
    spec = Spec(
        dtype,
        full=full,
        ceiling=ceiling,
        offset=float(fields.get(SHIFTED, 0.0)),
        axes=usual_axes(array) if kind.layouts else fitting_axes(array, meta.axes),
        unit=meta.unit,
        fields=fields,
        facts=replace(facts_for(array.shape, meta), camera=meta.camera if WHITE in fields else None),
    )
    return store(path, meta.format, array, spec, overwrite=overwrite)


def shows_whole(meta: Metadata) -> bool:
    """Whether a PNG of 8 bits holds all that a file of this kind can."""
    return not load(meta.format).floats and meta.bits <= 8


def _array(path: Path, image: Image | Tensor, *, volume: bool = False) -> np.ndarray:
    """C x H x W or C x D x H x W, float32 or complex64, on the CPU. volume: four axes are C x D x H x W."""
    tensor: Any = image.data if isinstance(image, Image) else image
    if not isinstance(tensor, Tensor):
        raise BadType(f"{type(image).__name__} to be written", wanted="an Image or a tensor")
    if not isinstance(image, Image):
        if tensor.ndim == 5 or (tensor.ndim == 4 and not volume):
            if tensor.shape[0] != 1:
                raise WriteError(path, f"a batch of {tensor.shape[0]}", "one picture", "Write them one by one.")
            tensor = tensor[0]
        elif tensor.ndim == 2:
            tensor = tensor[None]
    if tensor.ndim not in (3, 4) or 0 in tensor.shape:
        raise WriteError(path, f"a tensor of shape {tuple(tensor.shape)}", wanted="a picture or a volume")
    target = torch.complex64 if tensor.is_complex() else torch.float32
    return tensor.detach().to("cpu", target).resolve_conj().numpy()


def _default_bits(kind: Format, meta: Metadata | None) -> int:
    if kind.picture and meta is not None and meta.unit == "[0,1]" and meta.bits in kind.depths and FULL in meta.fields:
        return meta.bits
    return 32 if kind.floats else 8


def _display_range(path: Path, value_range: tuple[float, float] | None, meta: Metadata | None) -> tuple[float, float]:
    if value_range is None:
        if meta is not None and meta.unit != "[0,1]":
            raise WriteError(
                path, f"values in unit {meta.unit}", do="Give value_range=(black, white), or use write_native."
            )
        return 0.0, 1.0
    low, high = map(float, value_range)
    if not (np.isfinite([low, high]).all() and low < high):
        raise BadInput(f"value_range is {value_range}", wanted="two finite numbers, black below white")
    return low, high


def _check_range(path: Path, array: np.ndarray, low: float, high: float) -> None:
    """An estimate may leave the range a little and is clipped; another unit must not become a white picture."""
    if array.dtype.kind == "c" or not np.isfinite(array).any():
        return
    least, most = float(np.nanmin(array)), float(np.nanmax(array))
    width = high - low
    if least < low - 2 * width or most > high + 2 * width:
        raise WriteError(
            path,
            one_line(f"values from {least:g} to {most:g}"),
            wanted=f"about {low:g} to {high:g}",
            do="Give value_range=(black, white), or write floats (.npy, .tif with bits=32).",
        )
