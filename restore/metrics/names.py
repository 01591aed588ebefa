"""From a metric's name to the metric: `family[token,key=value,...]`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from operators.common.errors import BadInput

from . import DEFAULT_CONVENTIONS, REGISTRY
from .convention import settings

if TYPE_CHECKING:
    from .base import Metric

_NAME = re.compile(r"(?P<family>[^\[\]]+)(?:\[(?P<options>[^\[\]]*)\])?")


def parse(name: str) -> Metric:
    """The metric that a name stands for; a bare family name stands for its entry in DEFAULT_CONVENTIONS.

    BadInput for an unknown family or option (with a suggestion), an option given twice, or two that exclude each other.
    """
    text = str(name).strip().lower()
    match = _NAME.fullmatch(DEFAULT_CONVENTIONS.get(text, text))
    if match is None or match["options"] == "":
        raise BadInput(f"{name!r} is not a metric name", wanted="family[option,key=value], such as psnr[y601,crop=4]")
    family = REGISTRY.load(match["family"].strip())
    fields = settings(match["options"].split(",") if match["options"] else [], family.OPTIONS, name)
    metric: Metric = family(**fields)
    return metric


def canonical(name: str) -> str:
    """The normalised name: options in the family's order, numbers in their shortest form, defaults left out."""
    return parse(name).name
