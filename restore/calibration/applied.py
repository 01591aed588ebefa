"""What a calibration says of a new result: bounds in numbers and in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..reconstruction import Reconstruction
from . import conformal
from .collect import predicted_quality
from .record import FEW, Calibration


def apply(calibration: Calibration, result: Reconstruction, metrics: dict[str, str]) -> dict[str, Any]:
    """The table `calibration` of metrics.json, of a run that `Calibration.check` let pass.

    metrics: conventions of the task, by key. Bounds that do not exist are None.
    """
    predicted = predicted_quality(result, {b.metric: metrics[b.metric] for b in calibration.quality if b.margin})
    bounds: dict[str, Any] = {}
    for bound in calibration.quality:
        value = bound.fixed
        draws = predicted.get(bound.metric)
        if draws and bound.margin is not None:
            feature = conformal.quality_features(
                np.array([draws]), calibration.alpha, higher_is_better=bound.higher_is_better
            )[0]
            value = float(feature - bound.margin if bound.higher_is_better else feature + bound.margin)
        bounds[bound.metric] = {"at_least" if bound.higher_is_better else "at_most": value, "fixed": bound.fixed}
    half = None
    if calibration.pixels is not None:
        width = 1.0 if result.std is None else float(result.std.abs().mean())
        half = calibration.pixels * width
    table: dict[str, Any] = {
        "level": calibration.level,
        "pictures": calibration.pictures,
        "date": calibration.date,
        "sha256": calibration.digest,
        "with_truth": calibration.with_truth,
        "quality": bounds,
        "interval": None
        if half is None
        else {"width": calibration.width, "factor": calibration.pixels, "mean_half_width": half},
        "measured_mse_at_most": calibration.measured,
    }
    return {**table, "sentences": sentences(calibration, table)}


def sentences(calibration: Calibration, table: dict[str, Any]) -> list[str]:
    """The promises in words; each holds on average over pictures like the calibration ones, not for this picture."""
    percent, n = f"{100 * calibration.level:g} %", calibration.pictures
    said = []
    for key, bound in table["quality"].items():
        word = "at least" if "at_least" in bound else "at most"
        value = bound.get("at_least", bound.get("at_most"))
        if value is not None:
            said.append(
                f"{key.upper()} is {word} {value:.4g} for {percent} of pictures like the {n} of the calibration."
            )
    if table["interval"] is not None:
        kind = "times the standard deviation of the samples" if calibration.width == "std" else "in the picture's units"
        said.append(
            f"The estimate plus and minus {table['interval']['factor']:.4g} ({kind}) holds {percent} of the pixels, on "
            f"average over pictures like the {n} calibration pictures; not at every pixel."
        )
    if calibration.measured is not None:
        said.append(
            f"The mean squared error of the measured part, |A xhat - A x|^2 / m, is at most {calibration.measured:.4g} "
            f"for {percent} of such pictures; it says nothing about what the measurement does not see."
        )
    if n < FEW:
        low, high = conformal.realised(n, calibration.alpha)
        said.append(
            f"{n} calibration pictures are few: the coverage of this calibration lies between {100 * low:.0f} and "
            f"{100 * high:.0f} % with probability 90 %."
        )
    return said
