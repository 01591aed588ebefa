"""What a latent prior can give at most, and whether it knows its latents.

    python -m benchmarks.studies.codec --prior latent --set set14
    python -m benchmarks.studies.codec --prior latent --set photos-val --size 128 --every 5 --samples 8

First line: RGB PSNR of pictures that went through encoder and decoder, the ceiling of every restoration with the prior.
Then, for each noise level on the latents: the mean squared error of the denoised latents over their variance, beside
that of the best linear guess from one number at a time, v s^2 / (v + s^2). With --samples: standard deviation of the
pixels, and mean difference of neighbours, of unconditional samples and of the pictures, values in [0, 1].
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

import priors
from operators import BadInput, NoiseSource, RestoreError
from operators.common.space import Affine
from priors.base import DiffusionPrior
from priors.diffusion.sampling import heun
from restore.metrics import evaluate

from ..cases.pictures import centre_crop
from ..sets.datasets import data_root, find

LEVELS = (0.1, 0.3, 1.0, 3.0)
PSNR = "psnr[rgb,clip,peak=1]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, 2 for input that cannot be used, with the figures on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", default="latent", help="name or file of a latent prior")
    parser.add_argument("--set", default="set14")
    parser.add_argument("--size", type=int, help="side of centre crops; default: whole pictures")
    parser.add_argument("--every", type=int, default=1, help="take every so manieth picture")
    parser.add_argument("--samples", type=int, default=0, help="unconditional samples of 64 x 64 pixels")
    parser.add_argument("--data", type=Path, help="the data root; default RESTORE_DATA")
    options = parser.parse_args(arguments)
    try:
        prior = priors.load(options.prior)
        if not isinstance(prior, DiffusionPrior) or isinstance(prior.space, Affine):
            raise BadInput(f"prior {options.prior!r} works on pictures", wanted="a latent prior")
        pictures = list(_pictures(options))
        with torch.no_grad():
            for line in (*reconstruction(prior, pictures), *denoising(prior, pictures)):
                sys.stdout.write(line + "\n")
            for line in sampling(prior, pictures, options.samples) if options.samples else ():
                sys.stdout.write(line + "\n")
    except RestoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _pictures(options: argparse.Namespace) -> Iterator[Tensor]:
    """Colour pictures of the set, 1 x 3 x H x W in [0, 1]; gray ones are left out."""
    for picture in find(options.set).pictures(data_root(options.data))[:: options.every]:
        x = picture.read().data[None]
        if x.shape[1] == 3:
            yield x if options.size is None else centre_crop(x, options.size)


def reconstruction(prior: DiffusionPrior, pictures: Sequence[Tensor]) -> Iterator[str]:
    """Lines on what encoder and decoder keep of the pictures."""
    scores = []
    for x in pictures:
        space = prior.space.sized(tuple(x.shape[1:]))
        scores.append(evaluate(space.to(space.back(x)), x, [PSNR])[PSNR].value or float("nan"))
    mean, extremes = sum(scores) / len(scores), f"{min(scores):.2f} to {max(scores):.2f}"
    yield f"{len(scores)} pictures through encoder and decoder: {mean:.2f} dB ({extremes})"


def denoising(prior: DiffusionPrior, pictures: Sequence[Tensor]) -> Iterator[str]:
    """Lines on the error of denoised latents, by level."""
    latents = [prior.space.back(x) for x in pictures]
    variance = torch.cat([z.flatten(2) for z in latents], dim=2).var(dim=2).mean()
    for level in LEVELS:
        source = NoiseSource(0, ["latents"])
        errors = [
            (prior.native.denoise(z + level * source.normal(f"{k}", z), level) - z).square().mean()
            for k, z in enumerate(latents)
        ]
        share = float(torch.stack(errors).mean() / variance)
        linear = level**2 / (float(variance) + level**2)
        yield f"level {level:g}: {share:.3f} of the latents' variance is left, {linear:.3f} number by number"


def sampling(prior: DiffusionPrior, pictures: Sequence[Tensor], count: int, *, side: int = 64) -> Iterator[str]:
    """Lines on unconditional samples beside the pictures."""
    like = torch.zeros(count, *prior.space.own_shape((3, side, side)))
    drawn = heun(prior, like, NoiseSource(0, [str(k) for k in range(count)]), steps=20)
    for name, x in ((f"{count} samples", [drawn.clamp(0, 1)]), ("pictures", pictures)):
        std = torch.stack([part.std() for part in x]).mean()
        steps = torch.stack([part.diff(dim=-1).abs().mean() for part in x]).mean()
        yield f"{name}: standard deviation {float(std):.3f}, mean difference of neighbours {float(steps):.4f}"


if __name__ == "__main__":
    raise SystemExit(main())
