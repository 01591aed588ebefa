"""How a tensor of any kind becomes something to look at, and the sentence that says how."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from operators import BadInput

from .colours import CYCLIC, DIVERGING, SEQUENTIAL, Anchors, paint

Limits = tuple[float, float]
HU_WINDOW = (40.0, 400.0)  # centre and width of the soft-tissue window, in Hounsfield units
TAIL = 0.005  # share of the largest values that may saturate a scale
SAMPLED = 1 << 22  # quantiles of a larger picture are taken over a regular subset
MAPS = ("std", "error")
AS_IS = (-0.05, 1.05)  # bands whose bulk lies here are taken for values of [0, 1]
DARK = 0.5  # of those, white is 1 only where the brightest reach this; a darker scene ends at its own brightest


@dataclass(frozen=True)
class Legend:
    """A colour scale with the values at its two ends."""

    anchors: Anchors
    low: float
    high: float


@dataclass(frozen=True)
class Look:
    """What is drawn. pixels: H x W x 3, uint8. rule: how values became colours. legend: the scale, or None."""

    pixels: np.ndarray
    rule: str
    legend: Legend | None = None


def display(tensor: Tensor, *, kind: str | None = None, limits: Limits | None = None) -> tuple[np.ndarray, str]:
    """A picture that can be seen, and the rule that made it.

    Parameters
    ----------
    tensor: C x H x W, H x W, or C x D x H x W (its middle slice is drawn); real or complex, any unit.
    kind: "picture" (values in [0, 1]), "range" (stretched), "hu", "bands", "complex", "std", "error" or "residual";
        None is "complex" for complex values, "picture" for 1 or 3 channels, else "bands".
    limits: the values drawn black and white (lowest and highest colour of a map); None: the kind's own choice.

    Returns
    -------
    Pixels, H x W x 3 uint8 (H x 2 W x 3 for complex values), and the rule as one sentence.

    Raises
    ------
    BadInput for another shape, an empty tensor or an unknown kind.
    """
    shown = look(tensor, kind=kind, limits=limits)
    return shown.pixels, shown.rule


def look(tensor: Tensor, *, kind: str | None = None, limits: Limits | None = None) -> Look:
    """`display` with the legend of its colour scale."""
    values, before = _planes(tensor)
    rule = kind if kind is not None else _kind_of(values)
    if rule not in _RULES:
        raise BadInput(f"no way to show a picture of kind {rule!r}", wanted=", ".join(_RULES))
    if np.iscomplexobj(values) and rule != "complex":
        values, before = np.abs(values), f"{before}magnitude of complex values; "
    finite = np.isfinite(values)
    after = ""
    if not finite.all():
        values = np.where(finite, values, 0)
        after = f"; {int((~finite).sum())} values are not finite and drawn as 0"
    shown = _RULES[rule](values, limits)
    return replace(shown, rule=f"{before}{shown.rule}{after}")


def reference_limits(tensor: Tensor, *, kind: str) -> Limits | None:
    """Limits for a set of pictures that must share one scale, taken from the most trustworthy of them."""
    values, _ = _planes(tensor)
    values = np.where(np.isfinite(values), values, 0)
    if kind == "range":
        return _stretch(np.abs(values) if np.iscomplexobj(values) else values)
    if kind == "bands":
        return _band_limits(values[_three(len(values))])
    if kind == "complex":
        return 0.0, _top(_magnitude(values))
    if kind in MAPS:
        return 0.0, _top(_rms(values))
    return None


def round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten; 1 for 0, so that nothing is divided by it."""
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= value * (1 - 1e-6))


# -- one function per kind: planes C x H x W in, pixels and rule out --------------------------------------------------


def _picture(values: np.ndarray, limits: Limits | None) -> Look:
    low, high = limits if limits is not None else (0.0, 1.0)
    grey = _grey(values if len(values) in (1, 3) else values[_three(len(values))], (low, high))
    outside = float(((values < low - 1e-6) | (values > high + 1e-6)).mean())
    clipped = f"; {100 * outside:.2g} % of the values lie outside" if outside >= 0.0005 else ""
    return Look(grey, f"values clipped to [{low:g}, {high:g}], drawn with 8 bits{clipped}")


def _range(values: np.ndarray, limits: Limits | None) -> Look:
    low, high = limits if limits is not None else _stretch(values)
    grey = _grey(values if len(values) in (1, 3) else values[_three(len(values))], (low, high))
    return Look(grey, f"stretched: black is {low:.4g}, white is {high:.4g}, drawn with 8 bits")


def _hu(values: np.ndarray, limits: Limits | None) -> Look:
    centre, width = HU_WINDOW
    low, high = limits if limits is not None else (centre - width / 2, centre + width / 2)
    text = f"HU window: centre {(low + high) / 2:g}, width {high - low:g} (black is {low:g} HU, white is {high:g} HU)"
    return Look(_grey(values[:1], (low, high)), text)


def _bands(values: np.ndarray, limits: Limits | None) -> Look:
    bands = _three(len(values))
    low, high = limits if limits is not None else _band_limits(values[bands])
    red, green, blue = (index + 1 for index in bands)
    text = f"{len(values)} bands: red is band {red}, green is band {green}, blue is band {blue}"
    return Look(_grey(values[bands], (low, high)), f"{text}; black is {low:.4g}, white is {high:.4g}")


def _complex(values: np.ndarray, limits: Limits | None) -> Look:
    magnitude = _magnitude(values)
    top = limits[1] if limits is not None else _top(magnitude)
    shade = np.clip(magnitude / top, 0, 1)
    turn = np.angle(values[0]) / (2 * np.pi) + 0.5
    phase = np.rint(paint(turn, CYCLIC) * shade[..., None] ** 0.5).astype(np.uint8)
    several = f" (root of the sum of squares of {len(values)} channels; phase of the first)" if len(values) > 1 else ""
    text = f"left: magnitude{several}, white is {top:.4g}; right: phase as colour, darker where the magnitude is small"
    return Look(np.concatenate([_grey(shade[None], (0, 1)), phase], axis=1), text, Legend(CYCLIC, -np.pi, np.pi))


def _map(what: str) -> Callable[[np.ndarray, Limits | None], Look]:
    def draw(values: np.ndarray, limits: Limits | None) -> Look:
        size = _rms(values)
        top = limits[1] if limits is not None else _top(size)
        over = " (root mean square over channels)" if len(values) > 1 else ""
        text = f"{what}{over}: colours from 0 to {top:.4g}, largest value {float(size.max()):.3g}"
        return Look(paint(size / top, SEQUENTIAL), text, Legend(SEQUENTIAL, 0.0, top))

    return draw


def _residual(values: np.ndarray, limits: Limits | None) -> Look:
    top = limits[1] if limits is not None else _top(np.abs(values))
    rms = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
    text = f"signed, grey is 0, full colour is {top:.4g} either way; root mean square {rms:.3g}"
    if len(values) == 3:
        return Look(_grey(values, (-top, top)), f"{text}; channel by channel")
    mean = values.mean(axis=0)
    text += f"; mean of {len(values)} bands" if len(values) > 1 else ""
    return Look(paint(mean / (2 * top) + 0.5, DIVERGING), text, Legend(DIVERGING, -top, top))


_RULES: Mapping[str, Callable[[np.ndarray, Limits | None], Look]] = {
    "picture": _picture,
    "range": _range,
    "hu": _hu,
    "bands": _bands,
    "complex": _complex,
    "std": _map("standard deviation of the samples"),
    "error": _map("absolute difference to the truth"),
    "residual": _residual,
}


# -- parts ------------------------------------------------------------------------------------------------------------


def _planes(tensor: Tensor) -> tuple[np.ndarray, str]:
    """C x H x W in NumPy, and what was left out to get there."""
    if tensor.ndim not in (2, 3, 4) or tensor.numel() == 0:
        raise BadInput(f"a picture of shape {tuple(tensor.shape)}", wanted="C x H x W, C x D x H x W or H x W")
    plain = tensor.detach().cpu().resolve_conj()
    plain = plain.to(torch.complex64 if plain.is_complex() else torch.float32)
    if plain.ndim == 2:
        return plain[None].numpy(), ""
    if plain.ndim == 3:
        return plain.numpy(), ""
    depth = plain.shape[1]
    return plain[:, depth // 2].numpy(), f"slice {depth // 2 + 1} of {depth}; "


def _kind_of(values: np.ndarray) -> str:
    if np.iscomplexobj(values):
        return "complex"
    return "picture" if len(values) in (1, 3) else "bands"


def _three(count: int) -> list[int]:
    """Three bands spread over the range, the last of them red: bands are mostly ordered by wavelength."""
    return [round(share * (count - 1)) for share in (0.75, 0.5, 0.25)]


def _grey(values: np.ndarray, limits: Limits) -> np.ndarray:
    low, high = limits
    span = high - low if high > low else 1.0
    levels = np.rint(np.clip((values - low) / span, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels, (3, *levels.shape[1:])).transpose(1, 2, 0))


def _rms(values: np.ndarray) -> np.ndarray:
    size = np.abs(values) if len(values) == 1 else np.sqrt(np.mean(np.abs(values) ** 2, axis=0, keepdims=True))
    return np.asarray(size[0])


def _magnitude(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt((np.abs(values) ** 2).sum(axis=0)))


def _quantile(values: np.ndarray, share: float) -> float:
    flat = values.reshape(-1)
    return float(np.quantile(flat[:: max(1, flat.size // SAMPLED)], share))


def _top(size: np.ndarray) -> float:
    """A round number that all but the largest values stay below; a lone spike still gets a scale."""
    return round_up(_quantile(size, 1 - TAIL) or float(size.max()))


def _stretch(values: np.ndarray) -> Limits:
    low, high = _quantile(values, TAIL), _quantile(values, 1 - TAIL)
    return (low, high) if high > low else (float(values.min()), max(float(values.max()), float(values.min()) + 1.0))


def _band_limits(values: np.ndarray) -> Limits:
    low, high = _stretch(values)
    if low < AS_IS[0] or high > AS_IS[1]:
        return low, high
    return 0.0, 1.0 if high >= DARK else max(high, 1e-6)
