"""The settings that scans of k-space share, said once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from torch import Tensor

from ..common.settings import Count, Fraction, Length, OneOf, Range, Seed
from .lines import LINES
from .patterns import PATTERNS

Sampling = Annotated[str, OneOf((*LINES, *PATTERNS, "full")), "family of the lines or points that are measured"]
Acceleration = Annotated[float, Range(1), "R, how much less than everything is measured"]
CenterFraction = Annotated[Fraction | None, "share of the lines in the middle that are all measured; none: 0.32 / R"]
Calibration = Annotated[
    int | None, Range(0), "side of the square in the middle that patterns measure wholly; none: 24, less on small grids"
]
Frames = Annotated[Literal["same", "different"], "whether the frames of a series share what is measured"]
Seeds = Annotated[
    Seed | Annotated[Sequence[Seed], Length(1)], "of what is random, one or several as fastMRI takes them"
]
KspaceMask = Annotated[
    Tensor | np.ndarray | list[Any] | None, "1 where k-space was measured, zero frequency in the middle, in their place"
]
Dimensions = Annotated[Literal[2, 3] | None, "last axes that are transformed; none: all but the first"]
Coils = Annotated[Count, "simulated receivers"]
Maps = Annotated[Tensor | np.ndarray | None, "complex sensitivities, coils x spatial; none: simulated"]
