"""Sections of a document that a program fills: what stands under a heading, up to the next heading."""

from __future__ import annotations

from operators import BadInput


def fill(text: str, heading: str, body: str) -> str:
    """The text with what stands under a heading, up to the next one, replaced; BadInput where there is none."""
    lines = text.splitlines()
    if heading not in lines:
        raise BadInput(f"no heading {heading!r}", do="Write it where the table belongs.")
    start = lines.index(heading)
    end = next((k for k in range(start + 1, len(lines)) if lines[k].startswith("#")), len(lines))
    after = ["", *lines[end:]] if end < len(lines) else []
    return "\n".join([*lines[: start + 1], "", *body.strip().splitlines(), *after]) + "\n"
