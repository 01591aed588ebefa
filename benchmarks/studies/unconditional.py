"""Sample a prior without a measurement and look: a grid of pictures, and a table of simple statistics.

    python -m benchmarks.studies.unconditional --prior natural --count 8 --size 128 --out samples.png

A prior that only denoises gives flat or noisy pictures here; a diffusion prior gives edges and textures. The table sets
contrast and the kurtosis of horizontal differences (heavy-tailed for photographs, 3 for noise) beside photographs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import priors
import restore
from operators import NoiseSource, RestoreError
from priors.diffusion.sampling import heun

from ..cases.pictures import centre_crop
from ..sets.datasets import data_root, find


def statistics(pictures: Tensor) -> tuple[float, float, float]:
    """(standard deviation, root mean square of horizontal differences, their kurtosis) of B x C x H x W pictures."""
    differences = pictures.diff(dim=-1)
    rms = differences.square().mean().sqrt()
    return float(pictures.std()), float(rms), float((differences / rms).pow(4).mean())


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, 2 for input that cannot be used, with the table on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", default="natural")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--data", type=Path, help="the data root, for photographs to compare with; default RESTORE_DATA"
    )
    parser.add_argument("--out", type=Path, required=True, help="PNG of the grid")
    options = parser.parse_args(arguments)
    try:
        source = NoiseSource(options.seed, [f"sample {k}" for k in range(options.count)])
        like = torch.zeros(options.count, 3, options.size, options.size)
        sampled = heun(priors.load(options.prior), like, source, steps=options.steps).clamp(0, 1)
        photographs = [
            centre_crop(restore.read(p).data[None], options.size)
            for p in find("photos-val").paths(data_root(options.data))[: options.count]
        ]
        restore.write(options.out, torch.cat(list(sampled), dim=-1))
    except RestoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    lines = ["| pictures | std | difference rms | difference kurtosis |", "|---|---|---|---|"]
    whole = torch.cat([p for p in photographs if p.shape[-2:] == sampled.shape[-2:]])
    for label, group in (("samples", sampled), ("photographs", whole)):
        lines.append("| {} | {:.3f} | {:.3f} | {:.1f} |".format(label, *statistics(group)))
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
