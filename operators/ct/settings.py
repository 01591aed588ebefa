"""The settings that scanners share, said once. Lengths in one unit of the user's choice, angles in radians."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from torch import Tensor

from ..common.settings import Count, OneOf, Positive
from .filters import WINDOWS

ViewCount = Annotated[Count | None, "equidistant angles; none: chosen by the picture's longer side"]
Start = Annotated[float, "first of the equidistant angles, radians"]
Span = Annotated[Positive, "range of the equidistant angles in radians, its end left out"]
Angles = Annotated[Sequence[float] | np.ndarray | Tensor | None, "all angles in radians, in place of equidistant ones"]
Detectors = Annotated[Count | None, "cells of the detector; none: as many as see the whole picture"]
Spacing = Annotated[Positive | None, "width of a cell; none: of one pixel"]
Shift = Annotated[float, "of the detector along itself"]
Pixel = Annotated[Positive, "side of a pixel"]
Source = Annotated[Positive | None, "distance from the axis of rotation to the source; none: two longer sides"]
DetectorDistance = Annotated[float | None, "distance from the axis of rotation to the detector; none: one longer side"]
Scan = Annotated[str, OneOf(("full", "short")), "a full turn, or half a turn and the fan's angle"]
Window = Annotated[str, OneOf(WINDOWS), "of the filter of `direct`"]
