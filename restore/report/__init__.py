"""The report of a run: one HTML file that opens offline, and the rule by which any picture becomes visible."""

from __future__ import annotations

from .gather import page_from_result, pictures
from .page import Page, render, write, write_text
from .panels import kind_of
from .strip import comparison
from .visible import display

__all__ = ["Page", "comparison", "display", "kind_of", "page_from_result", "pictures", "render", "write", "write_text"]
