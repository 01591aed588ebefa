"""Random crops of photographs held in memory, with the augmentation that keeps a prior honest about colour.

Most training photographs are 4:2:0 JPEGs: their chroma has half the resolution. A prior that saw nothing else washes
out real colours, so crops are also taken from 2x2 means (which restores full chroma), and saturation, channel order
and gray conversion are varied. Drawn pages of text and shapes may stand beside them.

Not kornia's augmentation: it draws from torch's global state, and batch k must depend on the seed and k alone. Turns
are quarter turns, which move pixels and interpolate none.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from operators.common import outside
from operators.common.settings import Checked, Count, Fraction, Positive, Range

from . import graphics, leaves

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
SUFFIXES = {".png", ".jpg", ".jpeg"}


@dataclass(frozen=True)
class CropSource(Checked):
    """A folder of photographs, or pictures drawn here."""

    folder: Annotated[str, "path relative to the data root"] = ""
    share: Annotated[Positive, "of the crops, relative to the other sources"] = 1.0
    shrink: Annotated[Count, "factor by which pictures are reduced (box mean)"] = 1
    drawn: Annotated[int, Range(0), "that many pages of graphics instead of a folder"] = 0
    leaves: Annotated[int, Range(0), "that many pictures of dead leaves instead of a folder"] = 0
    files: Annotated[str, "which files of the folder, as a pattern of names"] = "*"


@dataclass(frozen=True)
class Augmentation(Checked):
    """Probabilities of each change; flips and quarter turns are always drawn."""

    saturation: Annotated[Fraction, "of chroma multiplied by U(1, 1.8)"] = 0.3
    channel_order: Annotated[Fraction, "of colours in another order"] = 0.15
    gray: Annotated[Fraction, "of a gray picture"] = 0.08


class Photographs:
    """Sources decoded once to uint8; `batches` yields B x 3 x size x size float32 crops in [-1, 1] for ever.

    Raises FileNotFoundError naming a source folder that is absent or holds no picture.
    """

    def __init__(self, root: Path, sources: Sequence[CropSource], *, size: int, augmentation: Augmentation) -> None:
        self.size = size
        self.augmentation = augmentation
        self.pictures: list[list[np.ndarray]] = []
        self.weights: list[np.ndarray] = []
        decoded = functools.cache(lambda folder, files: _decode_folder(root / folder, files))
        drawn = functools.cache(leaves.pictures)
        for source in sources:
            if source.drawn:
                whole = graphics.pages(source.drawn)
            else:
                whole = drawn(source.leaves) if source.leaves else decoded(source.folder, source.files)
            usable = [_box_mean(p, source.shrink) for p in whole]
            usable = [p for p in usable if min(p.shape[:2]) >= size]
            areas = np.array([p.shape[0] * p.shape[1] for p in usable], dtype=np.float64)
            self.pictures.append(usable)
            self.weights.append(np.cumsum(areas / areas.sum()))
        shares = np.array([s.share for s in sources], dtype=np.float64)
        self.shares = np.cumsum(shares / shares.sum())

    def crop(self, rng: np.random.Generator) -> np.ndarray:
        """One augmented crop, size x size x 3, float32 in [0, 1]."""
        source = int(np.searchsorted(self.shares, rng.random()))
        picture = self.pictures[source][int(np.searchsorted(self.weights[source], rng.random()))]
        top = int(rng.integers(picture.shape[0] - self.size + 1))
        left = int(rng.integers(picture.shape[1] - self.size + 1))
        crop = picture[top : top + self.size, left : left + self.size].astype(np.float32) / 255.0
        crop = np.rot90(crop, int(rng.integers(4)))
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        chance = self.augmentation
        if rng.random() < chance.gray:
            return np.repeat((crop @ LUMA)[..., None], 3, axis=2)
        if rng.random() < chance.channel_order:
            crop = crop[:, :, rng.permutation(3)]
        if rng.random() < chance.saturation:
            luma = (crop @ LUMA)[..., None]
            crop = np.clip(luma + rng.uniform(1.0, 1.8) * (crop - luma), 0.0, 1.0)
        return crop

    def batch(self, count: int, rng: np.random.Generator) -> Tensor:
        stack = np.stack([self.crop(rng) for _ in range(count)])
        return torch.from_numpy(stack).permute(0, 3, 1, 2).mul(2).sub(1)

    def batches(self, count: int, *, seed: int, start: int = 0) -> Iterator[Tensor]:
        """Endless batches; batch k depends on the seed and k alone, so a resumed run sees what an unbroken one sees."""
        index = start
        while True:
            yield self.batch(count, np.random.default_rng([seed, index]))
            index += 1


def _decode_folder(folder: Path, files: str) -> list[np.ndarray]:
    paths = sorted(p for p in folder.glob(files) if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise FileNotFoundError(
            f"no PNG or JPEG pictures {files} in {folder}; name the folder that holds the training sets with --data "
            "or RESTORE_DATA"
        )
    pictures = []
    for path in paths:
        with Image.open(outside.checked(path)) as image:
            pictures.append(np.asarray(image.convert("RGB")))
    return pictures


def _box_mean(picture: np.ndarray, factor: int) -> np.ndarray:
    if factor == 1:
        return picture
    height, width = (side // factor for side in picture.shape[:2])
    blocks = picture[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    return np.rint(blocks.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)
