"""Noise found in real pictures beside the noise that is there, and what denoising at the level found gains.

    python -m benchmarks.studies.noise_levels --crops 8
    python -m benchmarks.studies.noise_levels --crops 0 --no-denoise        # every pair, levels alone

Pairs of a noisy picture and the mean of many shots: SIDD (phone, blocks of 256 pixels) and PolyU (camera JPEG, the
middle 256 of 512 pixels), under the data root in real_noise/NAME/{noisy,gt}. Truth is the rms of noisy minus clean.
`white` is the finest-wavelet estimate, `sigma` what `--sigma estimate` reports and `level` what it gives a prior;
PSNR (RGB, clipped) is of one call of the prior at that level, as task denoise does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import priors
import restore
from operators import BadInput, RestoreError
from priors.base import DiffusionPrior
from restore.noise_doctor.level import NoiseLevel, noise_level

from ..cases.pictures import centre_crop
from ..sets.datasets import data_root

SETS = {"sidd": "sidd_val_part", "polyu": "polyu_part"}
SIDE = 256
CLOSE = 0.2  # relative, of sigma from the truth


@dataclass(frozen=True)
class NoisePair:
    """One pair. truth: rms of noisy minus clean. psnr: of the noisy picture and of the denoised one, None unasked."""

    data_set: str
    name: str
    truth: float
    found: NoiseLevel
    noisy: float
    denoised: float | None

    @property
    def ratio(self) -> float:
        """sigma over the truth."""
        return self.found.sigma / self.truth


def pairs(root: Path, data_set: str, crops: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name, noisy, clean), C x H x W each, evenly spread over the sorted files; all for crops 0."""
    folder = root / "real_noise" / SETS[data_set]
    files = sorted((folder / "noisy").glob("*"))
    if not files:
        raise BadInput(f"no pictures in {folder / 'noisy'}", do="Name the data root with --data or RESTORE_DATA.")
    count = min(crops or len(files), len(files))
    for k in range(count):
        path = files[(2 * k + 1) * len(files) // (2 * count)]
        noisy, clean = (restore.read(p).data for p in (path, folder / "gt" / path.name))
        yield path.stem, centre_crop(noisy[None], SIDE)[0], centre_crop(clean[None], SIDE)[0]


def measured(data_set: str, name: str, noisy: Tensor, clean: Tensor, prior: DiffusionPrior | None) -> NoisePair:
    """The levels of one pair, and the PSNR of one call of the prior where there is one."""
    found = noise_level(noisy[None])
    denoised = None
    if prior is not None:
        with torch.inference_mode():
            kept = noisy if found.level == 0 else prior.denoise(noisy[None], found.level)[0]  # 0: left alone
        denoised = _psnr(kept, clean)
    return NoisePair(
        data_set=data_set,
        name=name,
        truth=float((noisy - clean).square().mean().sqrt()),
        found=found,
        noisy=_psnr(noisy, clean),
        denoised=denoised,
    )


def table(rows: Sequence[NoisePair]) -> str:
    """Markdown: a row for each pair, then a line for each set."""
    lines = [
        "| set | crop | truth x 255 | white | sigma | ratio | level | kind | PSNR noisy | denoised |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        f, last = row.found, "-" if row.denoised is None else f"{row.denoised:.2f}"
        lines.append(
            f"| {row.data_set} | {row.name} | {255 * row.truth:.2f} | {255 * f.white:.2f} | {255 * f.sigma:.2f} | "
            f"{row.ratio:.2f} | {255 * f.level:.2f} | {f.kind} | {row.noisy:.2f} | {last} |"
        )
    return "\n".join([*lines, "", *(_summary(rows, name) for name in SETS if any(r.data_set == name for r in rows))])


def _summary(rows: Sequence[NoisePair], name: str) -> str:
    of_set = [row for row in rows if row.data_set == name]
    ratios = torch.tensor([row.ratio for row in of_set])
    white = torch.tensor([row.found.white / row.truth for row in of_set])
    close = int(((ratios - 1).abs() <= CLOSE).sum())
    text = (
        f"{name}: {len(of_set)} crops; sigma / truth median {float(ratios.quantile(0.5)):.2f}, within 20 % in {close}; "
        f"white / truth median {float(white.quantile(0.5)):.2f}"
    )
    gains = [row.denoised - row.noisy for row in of_set if row.denoised is not None]
    return f"{text}; PSNR gain mean {sum(gains) / len(gains):+.2f} dB of {len(gains)}" if gains else text


def _psnr(picture: Tensor, clean: Tensor) -> float:
    return float(-10 * (picture.clamp(0, 1).double() - clean.double()).square().mean().log10())


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, 2 for input that cannot be used, with the table on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", dest="sets", choices=list(SETS), action="append", help="repeatable; default: all")
    parser.add_argument("--crops", type=int, default=4, help="of each set, evenly spread; 0: all")
    parser.add_argument("--prior", default="natural")
    parser.add_argument("--no-denoise", action="store_true", help="levels alone")
    parser.add_argument("--data", type=Path, help="the data root; default RESTORE_DATA")
    options = parser.parse_args(arguments)
    try:
        root = data_root(options.data)
        prior = None if options.no_denoise else priors.load(options.prior)
        if prior is not None and not isinstance(prior, DiffusionPrior):
            raise BadInput(f"prior {options.prior!r} is no denoiser", do="Name a diffusion prior.")
        rows = [
            measured(name, crop, noisy, clean, prior)
            for name in options.sets or SETS
            for crop, noisy, clean in pairs(root, name, max(options.crops, 0))
        ]
    except RestoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(table(rows) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
