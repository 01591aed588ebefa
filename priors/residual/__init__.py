"""Residual and mean-reverting diffusion: one file per process, all in the frame x_t = a_t x0 + b_t y + s_t eps.

y is the measurement on the grid of x0 (`on_grid`), R = y - x0 the residual. `residual.build("resshift", steps=4)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.common.registry import Entry, Registry

from .process import Marginal, Prediction, Process

__all__ = ["REGISTRY", "Marginal", "Prediction", "Process", "build", "from_table"]

REGISTRY = Registry(
    "process",
    {
        "resshift": Entry(
            "priors.residual.resshift:ResShiftProcess",
            "shifts the residual in while noise grows with it, few steps",
            "Yue, Wang, Loy 2023, arXiv 2307.12348",
        ),
        "rddm": Entry(
            "priors.residual.rddm:RDDMProcess",
            "residual and noise diffuse on schedules of their own",
            "Liu et al. 2024, arXiv 2308.13712",
        ),
        "resfusion": Entry(
            "priors.residual.resfusion:ResfusionProcess",
            "a noise schedule cut where the state no longer depends on the picture",
            "Shi et al. 2024, arXiv 2311.14900",
        ),
        "ir-sde": Entry(
            "priors.residual.ir_sde:IRSDEProcess",
            "mean-reverting stochastic differential equation",
            "Luo et al. 2023, arXiv 2301.11699",
        ),
        "i2sb": Entry(
            "priors.residual.i2sb:I2SBProcess",
            "Schroedinger bridge between the picture and the measurement",
            "Liu et al. 2023, arXiv 2302.05872",
        ),
        "regression": Entry(
            "priors.residual.regression:RegressionProcess", "one call from the measurement to the picture: the control"
        ),
    },
)


def build(name: str, **settings: Any) -> Process:
    """A process by name with its settings."""
    return REGISTRY.build(name, **settings)  # type: ignore[no-any-return]


def from_table(name: str, settings: Mapping[str, Any]) -> Process:
    """The process that a file describes: lists, which are all that JSON has, are tuples."""
    return build(name, **{key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()})
