"""Drawn pages of text, lines and flat shapes: what screenshots, charts and comics are made of, and photographs lack.

A prior trained on photographs alone takes the flat ground and hard edges of such pictures for what it saw most, and
leaves noise beside them. The pages are drawn by a generator of random numbers and Pillow's own font: no data set.
"""

from __future__ import annotations

import string

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 384
OVERSAMPLED = 2  # shapes are drawn that much larger and averaged, so that edges are soft as a renderer's
LETTERS = np.array([*string.ascii_letters, *string.digits, *".,;:-()", " ", " ", " "])

Colour = tuple[int, int, int]


def pages(count: int, *, seed: int = 0) -> list[np.ndarray]:
    """`count` pages, each SIDE x SIDE x 3 uint8; the same for the same seed."""
    return [page(np.random.default_rng([seed, k])) for k in range(count)]


def page(rng: np.random.Generator) -> np.ndarray:
    """One page: a ground, up to 14 shapes, up to 12 blocks of text."""
    ground = _ground(rng)
    image = ground.resize((SIDE * OVERSAMPLED,) * 2)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(15))):
        _shape(draw, rng)
    image = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 13))):
        _text(draw, rng)
    return np.asarray(image)


def _ground(rng: np.random.Generator) -> Image.Image:
    """White in a third of the cases, one colour in another, else a ramp between two."""
    kind = rng.integers(3)
    if kind == 0:
        return Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
    if kind == 1:
        return Image.new("RGB", (SIDE, SIDE), _colour(rng))
    ramp = np.linspace(0.0, 1.0, SIDE)[:, None, None]
    first, last = np.array(_colour(rng)), np.array(_colour(rng))
    rows = np.broadcast_to(first + (last - first) * ramp, (SIDE, SIDE, 3))
    return Image.fromarray(np.rint(rows).astype(np.uint8))


def _colour(rng: np.random.Generator) -> Colour:
    """Gray in a third of the cases, black or white in a quarter of those."""
    if rng.random() < 1 / 3:
        level = int(rng.choice([0, 255])) if rng.random() < 0.25 else int(rng.integers(256))
        return level, level, level
    red, green, blue = (int(v) for v in rng.integers(256, size=3))
    return red, green, blue


def _shape(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """A rectangle, an ellipse, a polygon or a line, filled or outlined."""
    side = SIDE * OVERSAMPLED
    size = rng.uniform(0.02, 0.5, 2) * side
    corner = rng.uniform(-0.1, 0.9, 2) * side
    box = (*corner, *(corner + size))
    width = int(rng.integers(1, 9))
    outline = rng.random() < 0.4
    colours = {"outline": _colour(rng), "width": width} if outline else {"fill": _colour(rng)}
    kind = rng.integers(4)
    if kind == 0:
        draw.rectangle(box, **colours)
    elif kind == 1:
        draw.ellipse(box, **colours)
    elif kind == 2:
        points = corner + rng.uniform(0.0, 1.0, (int(rng.integers(3, 8)), 2)) * size
        draw.polygon([(float(x), float(y)) for x, y in points], **colours)
    else:
        points = rng.uniform(0.0, side, (int(rng.integers(2, 6)), 2))
        draw.line([(float(x), float(y)) for x, y in points], fill=_colour(rng), width=width)


def _text(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Up to eight lines of letters in one size, between 8 and 48 pixels."""
    size = float(np.exp(rng.uniform(np.log(8), np.log(48))))
    lines = ["".join(rng.choice(LETTERS, int(rng.integers(4, 40)))) for _ in range(int(rng.integers(1, 9)))]
    x, y = rng.uniform(-0.1, 0.8, 2) * SIDE
    draw.multiline_text((x, y), "\n".join(lines), fill=_colour(rng), font=ImageFont.load_default(size))
