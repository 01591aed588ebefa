"""The table of metrics, whose lines also say what a metric needs and which way is better."""

from __future__ import annotations

from typing import Any

from operators.common.registry import Registry


class MetricTable(Registry):
    """A registry of metrics by family."""

    def describe(self, name: str) -> dict[str, Any]:
        """The row of any table, and `needs` (truth, samples, noise, references) and `better` in words."""
        family = self.load(name)
        return {**super().describe(name), "needs": list(family.NEEDS), "better": family().measure.words}
