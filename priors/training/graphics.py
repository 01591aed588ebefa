"""Drawn pages of text, lines, flat shapes and cloth: what charts, slides and woven stripes show, and photographs lack.

A prior trained on photographs alone takes the flat ground and hard edges of such pictures for what it saw most, and
leaves noise beside them; stripes near the finest that a picture can hold it takes for noise. The pages are drawn by a
generator of random numbers and Pillow's own font: no data set.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 384
OVERSAMPLED = 2  # shapes are drawn that much larger and averaged, so that edges are soft as a renderer's
CANVAS = SIDE * OVERSAMPLED
STRIPED = 0.25  # share of the shapes on a page of shapes
LETTERS = np.array([*string.ascii_letters, *string.digits, *".,;:-()", " ", " ", " "])

Colour = tuple[int, int, int]


def pages(count: int, *, seed: int = 0) -> list[np.ndarray]:
    """`count` pages, each SIDE x SIDE x 3 uint8; the same for the same seed."""
    return [page(np.random.default_rng([seed, k])) for k in range(count)]


def page(rng: np.random.Generator) -> np.ndarray:
    """One page: two in five show shapes and text, two in five cloth, one in five a slide."""
    kind = rng.integers(5)
    return _shapes(rng) if kind < 2 else _draped(rng) if kind < 4 else _slide(rng)


def _shapes(rng: np.random.Generator) -> np.ndarray:
    """A ground, up to 14 shapes, up to 12 blocks of text."""
    image = _ground(rng).resize((CANVAS, CANVAS))
    for _ in range(int(rng.integers(15))):
        _shape(image, rng)
    image = _averaged(image)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 13))):
        _text(draw, rng)
    return np.asarray(image)


def _draped(rng: np.random.Generator) -> np.ndarray:
    """Cloth from edge to edge, up to seven pieces of other cloth upon it, at times one plain shape."""
    image = _cloth(rng)
    for _ in range(int(rng.integers(8))):
        _piece(image, rng, _cloth)
    if rng.random() < 0.5:
        _contour(ImageDraw.Draw(image), rng, {"fill": _colour(rng)})
    return np.asarray(_averaged(image))


def _slide(rng: np.random.Generator) -> np.ndarray:
    """A ground, a few panels, and text of many sizes and weights over all of it, some of it shadowed or outlined."""
    image = _ground(rng).resize((CANVAS, CANVAS))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(5))):
        _contour(draw, rng, {"fill": _colour(rng)})
    colours = [_colour(rng) for _ in range(3)]
    y = rng.uniform(0.0, 0.05) * CANVAS
    while y < CANVAS:
        size = float(np.exp(rng.uniform(np.log(7), np.log(40)))) * OVERSAMPLED
        words = "".join(rng.choice(LETTERS, int(rng.integers(4, 60))))
        place = (float(rng.uniform(-0.1, 0.6) * CANVAS), float(y))
        weight = int(rng.integers(3)) if size > 24 else 0
        font = ImageFont.load_default(size)
        colour = colours[int(rng.integers(3))]
        if rng.random() < 0.25:
            draw.text((place[0] + size / 12, place[1] + size / 12), words, fill=(0, 0, 0), font=font)
        outline = _colour(rng) if weight and rng.random() < 0.4 else None
        draw.text(place, words, fill=colour, font=font, stroke_width=weight, stroke_fill=outline)
        y += size * rng.uniform(1.0, 1.8)
    return np.asarray(_averaged(image))


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


def _shape(image: Image.Image, rng: np.random.Generator) -> None:
    """A rectangle, an ellipse, a polygon or a line: filled with a colour, outlined, or cut out of stripes."""
    if rng.random() < STRIPED:
        _piece(image, rng, _stripes)
    elif rng.random() < 0.4:
        _contour(ImageDraw.Draw(image), rng, {"outline": _colour(rng), "width": int(rng.integers(1, 9))})
    else:
        _contour(ImageDraw.Draw(image), rng, {"fill": _colour(rng)})


def _piece(image: Image.Image, rng: np.random.Generator, pattern: Callable[[np.random.Generator], Image.Image]) -> None:
    """A shape cut out of a pattern."""
    mask = Image.new("L", image.size)
    _contour(ImageDraw.Draw(mask), rng, {"fill": 255})
    image.paste(pattern(rng), mask=mask)


def _averaged(image: Image.Image) -> Image.Image:
    """The canvas at the size of a page."""
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def _contour(draw: ImageDraw.ImageDraw, rng: np.random.Generator, paint: dict[str, Any]) -> None:
    """The shape itself, painted as told."""
    size = rng.uniform(0.02, 0.5, 2) * CANVAS
    corner = rng.uniform(-0.1, 0.9, 2) * CANVAS
    box = (*corner, *(corner + size))
    kind = rng.integers(4)
    if kind == 0:
        draw.rectangle(box, **paint)
    elif kind == 1:
        draw.ellipse(box, **paint)
    elif kind == 2:
        points = corner + rng.uniform(0.0, 1.0, (int(rng.integers(3, 8)), 2)) * size
        draw.polygon([(float(x), float(y)) for x, y in points], **paint)
    else:
        points = rng.uniform(0.0, CANVAS, (int(rng.integers(2, 6)), 2))
        colour = paint.get("fill", paint.get("outline"))
        draw.line([(float(x), float(y)) for x, y in points], fill=colour, width=paint.get("width", 4))


def _stripes(rng: np.random.Generator) -> Image.Image:
    """Parallel stripes of two colours, hard or soft, 2.5 to 16 pixels apart on the finished page; at times crossed."""
    rows, columns = np.mgrid[:CANVAS, :CANVAS].astype(np.float32)

    def wave() -> np.ndarray:
        angle, period = rng.uniform(0.0, np.pi), OVERSAMPLED * np.exp(rng.uniform(np.log(2.5), np.log(16.0)))
        phase = (np.cos(angle) * rows + np.sin(angle) * columns) * np.float32(2 * np.pi / period)
        return np.clip(0.5 + rng.choice([0.5, 4.0]) * np.sin(phase), 0.0, 1.0)[..., None]

    first = np.array(_colour(rng), dtype=np.float32)
    # Cloth and masonry are stripes of related colours: half of the pairs are near each other.
    second = np.array(_colour(rng), dtype=np.float32) if rng.random() < 0.5 else first + rng.normal(0.0, 40.0)
    share = wave() * wave() if rng.random() < 0.25 else wave()
    return Image.fromarray(np.rint(np.clip(first + (second - first) * share, 0, 255)).astype(np.uint8))


def _cloth(rng: np.random.Generator) -> Image.Image:
    """Woven stripes, 2.4 to 9 pixels apart on the finished page, bent and shaded by folds; two in five are crossed."""
    rows, columns = np.mgrid[:CANVAS, :CANVAS].astype(np.float32)

    def wave(angle: float) -> np.ndarray:
        number = 2 * np.pi / (OVERSAMPLED * np.exp(rng.uniform(np.log(2.4), np.log(9.0))))  # radians a pixel
        cells = int(rng.integers(2, 8))
        # The bend changes the local wave number by up to about half of it.
        bend = rng.uniform(0.0, 0.5) * number * CANVAS / cells / 1.5
        phase = number * (np.cos(angle) * rows + np.sin(angle) * columns) + bend * _smooth(cells, rng)
        return 0.5 + 0.5 * np.clip(rng.choice([1.0, 1.0, 3.0]) * np.sin(phase), -1.0, 1.0)

    angle = rng.uniform(0.0, np.pi)
    share = wave(angle)
    if rng.random() < 0.4:
        other = wave(angle + np.pi / 2 + rng.normal(0.0, 0.2))
        share = share * other if rng.random() < 0.5 else 0.5 * (share + other)
    # Stripes fade where the cloth turns away, and folds are light and dark.
    share = 0.5 + (share - 0.5) * np.clip(0.7 + 0.4 * _smooth(int(rng.integers(2, 8)), rng), 0.0, 1.0)
    folds = _smooth(int(rng.integers(2, 6)), rng) + 0.5 * _smooth(int(rng.integers(6, 16)), rng)
    light = np.exp(rng.uniform(0.0, 0.5) * folds)[..., None]
    first = np.array(_colour(rng), dtype=np.float32)
    first = first.mean() + rng.uniform(0.0, 1.0) * (first - first.mean())  # most cloth is muted
    contrast = rng.choice([-1.0, 1.0]) * rng.uniform(20.0, 160.0)
    second = first + contrast + rng.normal(0.0, 15.0, 3)
    picture = light * (first + (second - first) * share[..., None])
    return Image.fromarray(np.rint(np.clip(picture, 0, 255)).astype(np.uint8))


def _smooth(cells: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth random field of about unit variance over the canvas: `cells` normal numbers a side, interpolated."""
    coarse = Image.fromarray(rng.standard_normal((cells + 1, cells + 1)).astype(np.float32))
    return np.asarray(coarse.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC))


def _text(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Up to eight lines of letters in one size, between 8 and 48 pixels."""
    size = float(np.exp(rng.uniform(np.log(8), np.log(48))))
    lines = ["".join(rng.choice(LETTERS, int(rng.integers(4, 40)))) for _ in range(int(rng.integers(1, 9)))]
    x, y = rng.uniform(-0.1, 0.8, 2) * SIDE
    draw.multiline_text((x, y), "\n".join(lines), fill=_colour(rng), font=ImageFont.load_default(size))
