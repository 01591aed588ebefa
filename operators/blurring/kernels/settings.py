"""The settings of named kernels, said once for the kernels and for the blurs that take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from torch import Tensor

from ...common.settings import Count, Fraction, Positive, Range
from ...common.settings import Length as Entries

KernelSource = Annotated[
    str | Tensor | np.ndarray | list[Any], "a name, an array h x w, or the file of one: .npy, .npz, .txt, .csv"
]
Size = Annotated[Count | tuple[Count, Count] | None, "pixels, one side or (height, width); none: what the kernel needs"]
Sigma = Annotated[
    Positive | tuple[Positive, Positive], "of gaussian: standard deviation in pixels, or (along, across) the angle"
]
Angle = Annotated[float, "of gaussian and motion: degrees, counter-clockwise from the rows' direction"]
Length = Annotated[Positive, "of motion and trajectory: pixels of the whole path"]
Radius = Annotated[Positive, "of disk, or of the first dark ring of airy: pixels"]
Intensity = Annotated[Fraction, "of trajectory: 0 is nearly a straight line, 1 a nervous scribble"]
Correlation = Annotated[Positive, "of gaussian-process: its time scale, as a share of the exposure"]
Amplitude = Annotated[Positive, "of gaussian-process: standard deviation of a coordinate, as a share of half the side"]
Obstruction = Annotated[float, Range(0, below=1), "of airy: diameter of a central stop over that of the pupil"]
Zernike = Annotated[
    Sequence[float], Entries(0, 8), "of airy: aberrations in waves RMS (Noll 1976), from defocus to spherical"
]
Normalise = Annotated[bool, "whether a measured kernel is divided by its sum"]
