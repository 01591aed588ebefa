"""X-ray tomography: parallel, fan and cone beams, their reconstructions, and the way from a real scan to a sinogram."""

from __future__ import annotations

from typing import Any

from ..common.registry import Entry

_ATTRIBUTES = {
    "ParallelCT": "operators.ct.parallel:ParallelCT",
    "FanCT": "operators.ct.fan:FanCT",
    "ConeCT": "operators.ct.cone:ConeCT",
    "attenuation": "operators.ct.geometry:attenuation",
    "hounsfield": "operators.ct.geometry:hounsfield",
    "centre": "operators.ct.scan:centre",
    "line_integrals": "operators.ct.scan:line_integrals",
}

__all__ = ["ConeCT", "FanCT", "ParallelCT", "attenuation", "centre", "hounsfield", "line_integrals"]


def __getattr__(name: str) -> Any:
    if name in _ATTRIBUTES:
        return Entry(_ATTRIBUTES[name], "").load()
    raise AttributeError(f"module 'operators.ct' has no attribute {name!r}")
