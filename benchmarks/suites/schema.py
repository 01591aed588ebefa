"""The JSON schema of suite files, for editors: `python -m benchmarks.suites.schema` writes docs/suite.schema.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from operators.common.described import schema

from . import Part, Suite

SHARED = (
    "tasks",
    "images",
    "crop",
    "seeds",
    "samples",
    "calls",
    "metrics",
    "sets",
    "kind",
)  # may stand above the parts too
PAGE = Path(__file__).resolve().parents[2] / "docs" / "suite.schema.json"


def suite_schema() -> dict[str, Any]:
    """The form of a suite file: what `benchmarks.suites.parse` reads."""
    whole, part = schema(Suite)["properties"], schema(Part)
    part["required"] = ["solvers"]  # the tasks may stand above
    properties = {key: value for key, value in whole.items() if key not in ("name", "parts")}
    properties |= {key: part["properties"][key] for key in SHARED}
    properties["part"] = {"type": "array", "items": part, "minItems": 1, "description": "tasks that share limits"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A suite of benchmarks of restore",
        "type": "object",
        "properties": properties,
        "required": ["version", "summary", "part"],
        "additionalProperties": False,
    }


def text() -> str:
    """What docs/suite.schema.json holds."""
    return json.dumps(suite_schema(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text(), "utf-8")
