"""`write` and `write_native`: from a tensor to a file that is whole or not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operators.common.errors import BadInput, BadType

from .atomic import atomic_path
from .errors import WriteError, one_line
from .formats import load_writer, writer_for
from .image import Image, Metadata
from .layout import disarrange
from .values import FULL, SHIFTED, to_stored
from .write_spec import Spec

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
    """Write a picture in the format that the suffix stands for, whole or not at all.

    Parameters
    ----------
    path: ends in .png, .jpg, .tif, .npy, .npz, .h5 or .mat.
    image: an Image; or a tensor H x W, C x H x W, 1 x C x H x W, or (a volume) 1 x C x D x H x W.
    bits: 8 or 16 (integers of full range), or 32 (floats as they are). Default: 8 for PNG and JPEG, 32 elsewhere;
        for an Image in [0,1] that came with 16 or 8 bits, as many again in PNG and TIFF.
    value_range: values that become black and white where integers are written; default (0, 1). Beyond: clipped.
    dataset: name of the array in .npz, .h5 and .mat; default "image".
    quality: of JPEG, 1 to 100.
    overwrite: refuse an existing file where False.

    Arrays are written as H x W (one channel), H x W x C (3 or 4 channels, so that they read back without options),
    else C x H x W; volumes as D x H x W or C x D x H x W. HDF5 records axes and unit beside the values.

    Raises
    ------
    WriteError
        Unknown suffix, a shape or type the format does not hold, values that are NaN or in quite another unit, or a
        place that cannot be written.
    """
    path = Path(path)
    name = writer_for(path)
    meta = image.meta if isinstance(image, Image) else None
    array = _array(path, image)
    if bits is None:
        bits = _default_bits(name, meta)
    if bits not in (*INTEGERS, 32):
        raise BadInput(f"bits is {bits}", wanted="8, 16 or 32")
    if not 1 <= quality <= 100:
        raise BadInput(f"quality is {quality}", wanted="1 to 100")
    if (name == "jpeg" and bits != 8) or (name == "png" and bits == 32):
        raise WriteError(path, f"{bits} bits for {name.upper()}", do="Use bits 8 (16 for PNG), or .tif or .npy.")
    fields = {"dataset": dataset, "quality": quality}
    axes, unit = _axes(array), meta.unit if meta else None
    if bits == 32:
        kind = np.dtype(np.complex64 if array.dtype.kind == "c" else np.float32)
        return _store(path, name, array, Spec(kind, axes=axes, unit=unit, fields=fields), overwrite=overwrite)
    low, high = _display_range(path, value_range, meta)
    _check_range(path, array, low, high)
    dtype = INTEGERS[bits]
    full = int(np.iinfo(dtype).max)
    scaled = (array - np.float32(low)) / np.float32(high - low)
    return _store(path, name, scaled, Spec(dtype, full=full, axes=axes, fields=fields), overwrite=overwrite)


def write_native(stem: str | os.PathLike[str], tensor: Tensor, meta: Metadata, *, overwrite: bool = True) -> Path:
    """Write an estimate in the kind its measurement came in: format, stored type, unit, axes, name of the array.

    stem: path without suffix. tensor: shapes as in `write`, and C x D x H x W where the file
    held a volume; in `meta.unit`. Returns the path with its suffix.
    Values outside the stored type's range are clipped. Pictures of fewer than 8 bits or with a palette come back with 8
    bits, masks as floats, MATLAB 7.3 as version 5, and an orientation that was applied stays applied.
    """
    writer, _ = load_writer(meta.format)
    stem = Path(stem)
    path = stem.with_name(stem.name + writer.suffixes[0])
    array = _array(path, tensor, volume="D" in meta.axes)
    fields = meta.fields
    dtype: np.dtype = np.dtype(fields.get("dtype") or meta.dtype)
    full = fields.get(FULL)
    if meta.format == "png" or meta.format == "jpeg":
        dtype = INTEGERS[16 if meta.bits == 16 else 8]
    if array.dtype.kind == "c":
        dtype = dtype if dtype.kind == "c" else np.dtype(np.complex64)
    elif dtype.kind in "bc":
        dtype, full = np.dtype(np.float32), None
    if full is not None:
        _check_range(path, array, 0.0, 1.0)
        full = full if full in (255, 65535) else int(np.iinfo(dtype).max)
    axes = _axes(array) if writer.picture else _fitting_axes(array, meta.axes)
    spec = Spec(dtype, full=full, offset=float(fields.get(SHIFTED, 0.0)), axes=axes, unit=meta.unit, fields=fields)
    return _store(path, meta.format, array, spec, overwrite=overwrite)


def _store(path: Path, name: str, array: np.ndarray, spec: Spec, *, overwrite: bool) -> Path:
    writer, entry = load_writer(name)
    if writer.picture:
        _check_picture(path, name, array)
    if spec.dtype.kind in "ui" and not np.isfinite(array).all():
        bad = int(array.size - np.count_nonzero(np.isfinite(array)))
        raise WriteError(path, f"{bad} values are NaN or infinite", do="Write floats (.npy, .tif) to keep them.")
    stored = to_stored(disarrange(array, spec.axes), spec.dtype, full=spec.full, offset=spec.offset)
    with atomic_path(path, overwrite=overwrite) as temporary:
        entry.load()(temporary, stored, spec)
    return path


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


def _default_bits(name: str, meta: Metadata | None) -> int:
    if (
        meta is not None
        and meta.unit == "[0,1]"
        and name in ("png", "tiff")
        and meta.bits in INTEGERS
        and FULL in meta.fields
    ):
        return meta.bits
    return 8 if name in ("png", "jpeg") else 32


def _axes(array: np.ndarray) -> str:
    channels, volume = array.shape[0], array.ndim == 4
    if channels == 1:
        return "DHW" if volume else "HW"
    if channels in (3, 4):
        return "DHWC" if volume else "HWC"
    return "CDHW" if volume else "CHW"


def _fitting_axes(array: np.ndarray, axes: str) -> str:
    """The stored axes, with an axis more or less where the estimate's shape asks for it."""
    if array.ndim == 3:
        axes = axes.replace("D", "")
    elif "D" not in axes:
        axes = "D" + axes
    return axes + "C" if "C" not in axes and array.shape[0] > 1 else axes


def _check_picture(path: Path, name: str, array: np.ndarray) -> None:
    if array.dtype.kind == "c":
        raise WriteError(path, f"complex values for {name.upper()}", do="Write the magnitude, or use .npy or .h5.")
    if name == "tiff":
        return
    if array.ndim == 4 or array.shape[0] not in (1, 3):
        shape = " x ".join(map(str, array.shape))
        raise WriteError(path, f"an array of {shape} for {name.upper()}", "1 or 3 channels", "Use .tif, .npy or .h5.")


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
