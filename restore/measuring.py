"""`restore.measure`: a picture measured by an operator of one's own, as a problem to solve."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch

from operators import BadType
from operators.common.settings import Range, check
from operators.core.base import Operator
from operators.noise import Gaussian, NoiseModel

from .problem import Problem
from .tasks import measurement

if TYPE_CHECKING:
    from .io.image import Image


def measure(
    x: Image | torch.Tensor | np.ndarray | str | os.PathLike[str],
    operator: Operator,
    noise: NoiseModel | float = 0.0,
    *,
    seed: int = 0,
    bits: int | None = None,
) -> Problem:
    """The problem y = noise(A(x)) with x as its truth; the y that every door of the toolkit draws for this x and seed.

    x: a picture in the operator's units, input_shape or B x input_shape: a tensor, an array, what `restore.read`
    gives, or the path of a file. noise: a model of `operators.noise`, or the standard deviation of Gaussian noise.
    seed: 0 to 2^63 - 1. bits: 1 to 16 where y is a stored picture, clipped to [0, 1] and rounded; Gaussian noise is
    then joined by that of rounding. Raises BadInput or BadType for a picture that is not the operator's, and for a seed
    or a depth that does not exist.
    """
    if not isinstance(operator, Operator):
        raise BadType(f"operator is {type(operator).__name__}", wanted="an operators.Operator")
    if isinstance(noise, int | float) and not isinstance(noise, bool):
        noise = Gaussian(sigma=noise)
    if not isinstance(noise, NoiseModel):
        raise BadType(f"noise is {type(noise).__name__}", wanted="a model from operators.noise, or a sigma")
    if isinstance(x, str | Path | os.PathLike):
        from . import io

        x = io.read(x)
    data = torch.from_numpy(x) if isinstance(x, np.ndarray) else x
    spatial = len(operator.input_shape) - 1
    truth = measurement.as_batch(data, spatial=spatial, complex_values=operator.complex_input)
    if operator.complex_input and not truth.is_complex():
        truth = truth.to(truth.dtype.to_complex())
    if bits is not None:
        check("bits", bits, Annotated[int, Range(1, 16)])
    y, ids = measurement.measure(operator, noise, truth, seed=seed, bits=bits)
    return Problem(y, operator, measurement.with_rounding(noise, bits), truth=truth, image_ids=ids)
