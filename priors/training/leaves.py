"""Dead leaves: shapes of all sizes that hide one another, filled with colour, shade and texture. No data set.

Random shapes whose radii follow a power law and which fall on one another give pictures the edges, the flat parts and
the spectrum of photographs (Lee, Mumford, Huang 2001, doi:10.1023/A:1011109015675); denoisers trained on them come
near those trained on photographs (Achddou, Gousseau, Ladjal 2021, doi:10.1007/978-3-030-75549-2_27). Textures are
fields of random phase with a power-law spectrum, at times stretched along one direction.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 384
OVERSAMPLED = 2  # drawn that much larger and averaged, so that edges are as soft as a lens makes them
CANVAS = SIDE * OVERSAMPLED
SMALLEST, LARGEST = (4.0, 30.0), 380.0  # radii on the canvas; their density falls as r^-3 from a least one on
TEXTURES = 5  # fields of a picture, from which its leaves are cut
COVERED = 3.0  # sum of the areas of the leaves, in canvases
MOST = 3000  # leaves of a picture


def pictures(count: int, *, seed: int = 0) -> list[np.ndarray]:
    """`count` pictures, each SIDE x SIDE x 3 uint8; the same for the same seed."""
    return [picture(np.random.default_rng([seed, k])) for k in range(count)]


def picture(rng: np.random.Generator) -> np.ndarray:
    """One picture: leaves from back to front, light that varies over them, and in half of the cases a soft lens."""
    palette = _palette(rng)
    textures = [_texture(rng) for _ in range(TEXTURES)]
    image = _filled(palette, textures, rng, (CANVAS, CANVAS))
    least = float(np.exp(rng.uniform(*np.log(SMALLEST))))
    area = 2 * np.pi * least**2 * np.log(LARGEST / least)  # mean of pi r^2 under that density
    count = int(min(COVERED * CANVAS**2 / area, MOST))
    radii = 1 / np.sqrt(1 / least**2 + rng.random(count) * (1 / LARGEST**2 - 1 / least**2))
    order = radii * np.exp(rng.normal(0.0, 0.7, count))  # the largest mostly first, or few small ones would be seen
    for radius in radii[np.argsort(-order)]:
        _leaf(image, float(radius), palette, textures, rng)
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 2.5))))
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
    light = np.exp(float(rng.uniform(0.0, 0.4)) * _smooth(int(rng.integers(2, 5)), rng))
    return np.rint(np.clip(small * light[..., None], 0, 255)).astype(np.uint8)


def _leaf(
    image: Image.Image, radius: float, palette: np.ndarray, textures: list[np.ndarray], rng: np.random.Generator
) -> None:
    """One leaf pasted onto the canvas: an ellipse or a polygon of up to nine corners around a random place."""
    reach = max(2, math.ceil(radius))
    left, top = (int(v) for v in rng.integers(-reach, CANVAS, 2))
    mask = Image.new("L", (2 * reach, 2 * reach))
    draw = ImageDraw.Draw(mask)
    corners = int(rng.integers(3, 10)) if rng.random() < 0.6 else 48
    angles = np.sort(rng.uniform(0.0, 2 * np.pi, corners)) if corners < 48 else np.linspace(0.0, 2 * np.pi, 48)
    stretch, turn = rng.uniform(0.3, 1.0), rng.uniform(0.0, np.pi)
    rough = rng.uniform(0.6, 1.0, corners) if corners < 48 else np.ones(48)
    x, y = rough * np.cos(angles), stretch * rough * np.sin(angles)
    points = radius * np.stack([np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y], 1) + reach
    draw.polygon([(float(a), float(b)) for a, b in points], fill=255)
    image.paste(_filled(palette, textures, rng, mask.size), (left, top), mask)


def _filled(
    palette: np.ndarray, textures: list[np.ndarray], rng: np.random.Generator, size: tuple[int, int]
) -> Image.Image:
    """A rectangle of one colour of the palette, shaded along one direction, textured in two cases of three."""
    width, height = size
    colour = palette[int(rng.integers(len(palette)))] * float(np.exp(rng.normal(0.0, 0.15)))
    values = np.broadcast_to(colour.astype(np.float32), (height, width, 3))
    if min(size) >= 8:
        slope = rng.normal(0.0, 25.0, 2).astype(np.float32)
        rows, columns = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
        values = values + (slope[0] * rows[:, None] + slope[1] * columns)[..., None]
        if rng.random() < 2 / 3:
            field = textures[int(rng.integers(len(textures)))]
            top, left = (int(rng.integers(CANVAS - n + 1)) if n < CANVAS else 0 for n in (height, width))
            part = field[top : top + height, left : left + width]
            tint = (colour / max(float(colour.mean()), 1.0) + rng.normal(0.0, 0.15, 3)).astype(np.float32)
            strength = float(np.exp(rng.uniform(np.log(2.0), np.log(45.0))))
            values = values + strength * part[:height, :width, None] * tint
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _texture(rng: np.random.Generator) -> np.ndarray:
    """A field of unit variance over the canvas with spectrum |f|^-a, a from 0.4 to 1.8; a third are stretched."""
    fy = np.fft.fftfreq(CANVAS).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(CANVAS).astype(np.float32)
    if rng.random() < 1 / 3:
        turn, ratio = rng.uniform(0.0, np.pi), float(np.exp(rng.uniform(np.log(2.0), np.log(12.0))))
        along, across = np.cos(turn) * fx + np.sin(turn) * fy, np.cos(turn) * fy - np.sin(turn) * fx
        size = np.sqrt(along**2 + (across * ratio) ** 2)
    else:
        size = np.sqrt(fx**2 + fy**2)
    # White above a quarter of a cycle of the canvas's pixel would not survive the averaging.
    filter_ = np.maximum(size, 2.0 / CANVAS) ** -rng.uniform(0.4, 1.8) * np.exp(-((size / 0.35) ** 4))
    noise = np.fft.rfft2(rng.standard_normal((CANVAS, CANVAS), dtype=np.float32))
    field = np.fft.irfft2(noise * filter_, s=(CANVAS, CANVAS)).astype(np.float32)
    field -= field.mean()
    field /= max(float(field.std()), 1e-6)
    return np.sign(field) * np.abs(field) ** np.float32(rng.uniform(0.7, 1.5))


def _palette(rng: np.random.Generator) -> np.ndarray:
    """Thirty related colours (30 x 3, 0 to 255): light varies most, then one or two hues about a muted mean."""
    light = 255 * np.clip(rng.beta(1.1, 1.3, 30), 0.01, 1.0)
    hues = rng.dirichlet([1.2, 1.2, 1.2], int(rng.integers(1, 4))) * 3
    muted = rng.uniform(0.0, 1.0, (30, 1)) ** 2.5
    tint = 1 + muted * (hues[rng.integers(len(hues), size=30)] - 1)
    return np.clip(light[:, None] * tint, 0, 255)


def _smooth(cells: int, rng: np.random.Generator) -> np.ndarray:
    coarse = Image.fromarray(rng.standard_normal((cells + 1, cells + 1)).astype(np.float32))
    return np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
