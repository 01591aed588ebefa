"""Denoisers that need no clean picture, side by side: real camera noise and simulated noise, PSNR and seconds.

    python -m benchmarks.studies.noisy                               two SIDD crops and one of Set12, quick methods
    python -m benchmarks.studies.noisy --set sidd --pictures 20 --together --methods sdap
    python -m benchmarks.studies.noisy --set set12 --sigma 25 50 --methods zs-n2n pixel2pixel --size 256

Sets: sidd and polyu (real_noise of the data root: noisy crops, and means of many shots, which no method sees), set12
and set14 (white Gaussian noise of --sigma grey levels, not clipped). Methods that train get the noisy pictures alone:
each picture by itself, or all of a set together (--together, pictures of one size). `natural` is the embedded prior at
the level that the wavelet estimate finds: it has seen clean photographs, and is there to compare with.

PSNR is that of the estimate clipped to [0, 1], a mean over pictures. Seconds are those of a picture, training included,
unless the same was trained before and is taken from the cache.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from operators import RestoreError

SETS = {
    "sidd": ("real_noise/sidd_val_part/gt", "real_noise/sidd_val_part/noisy"),
    "polyu": ("real_noise/polyu_part/gt", "real_noise/polyu_part/noisy"),
    "set12": ("test_gray/set12", ""),
    "set14": ("test_color/set14", ""),
}
LEARNING = ("noise2score", "noise2void", "ap-bsn", "c-bsn", "sdap")
ZERO_SHOT = ("zs-n2n", "pixel2pixel", "mash")
COMPARED = ("natural", "tv")
METHODS = (*LEARNING, *ZERO_SHOT, *COMPARED)


@dataclass(frozen=True)
class NoisyPicture:
    """A noisy picture and its truth (C x H x W, in [0, 1] but for the noise)."""

    name: str
    noisy: Tensor
    truth: Tensor


def pairs(name: str, sigma: float, count: int, size: int, data: Path | None) -> list[NoisyPicture]:
    """The first pictures of a set, cut to `size` from the top left; with simulated noise where the set has none."""
    import restore
    from benchmarks.sets.datasets import data_root
    from operators import NoiseSource

    clean, noisy = (data_root(data) / folder if folder else None for folder in SETS[name])
    found = []
    truths = sorted(path for path in clean.iterdir() if path.is_file()) if clean is not None else []
    measured = sorted(noisy.iterdir()) if noisy is not None else [None] * len(truths)
    for path, other in list(zip(truths, measured, strict=True))[:count]:
        truth = restore.read(path).data[..., :size, :size].clone()
        if other is None:
            drawn = NoiseSource(0, [f"{path.stem} {sigma:g}"]).normal("noise", truth[None])[0]
            y = truth + sigma / 255 * drawn
        else:
            y = restore.read(other).data[..., :size, :size].clone()
        found.append(NoisyPicture(path.stem, y, truth))
    return found


def psnr(estimate: Tensor, truth: Tensor) -> float:
    """Decibels of one picture in [0, 1], the estimate clipped."""
    return float(-10 * torch.log10((estimate.clamp(0, 1) - truth).square().mean()))


def answered(method: str, y: Tensor, steps: int | None, words: Sequence[str], seed: int) -> Tensor:
    """The estimate of a method for noisy pictures (B x C x H x W), which are all it sees."""
    import priors
    import restore
    from restore import solvers, tasks

    task = tasks.load("denoise-blind")
    settings = tasks.parse_settings(words)
    own = {key.removeprefix("solver."): value for key, value in settings.items() if key.startswith("solver.")}
    learned = {key.removeprefix("prior."): value for key, value in settings.items() if key.startswith("prior.")}
    problem = task.measured(y)
    if method in LEARNING:
        prior = priors.load(method, **learned, **({} if steps is None else {"steps": steps}))
        return restore.solve(problem, prior, solvers.build(method, **own), seed=seed).estimate
    if method in ZERO_SHOT:
        solver = solvers.build(method, **own, **({} if steps is None else {"steps": steps}))
        return restore.solve(problem, solver=solver, seed=seed).estimate
    return restore.solve(problem, solver="dpir" if method == "natural" else method, seed=seed).estimate


def row(method: str, cases: Sequence[NoisyPicture], args: argparse.Namespace) -> tuple[float, float]:
    """(mean PSNR, seconds a picture) of a method on these pictures."""
    began = time.perf_counter()
    if args.together and method in LEARNING:
        stack = torch.stack([case.noisy for case in cases])
        estimates = list(answered(method, stack, args.steps, args.set_, args.seed))
    else:
        estimates = [answered(method, case.noisy[None], args.steps, args.set_, args.seed)[0] for case in cases]
    seconds = (time.perf_counter() - began) / len(cases)
    values = [psnr(x, case.truth) for x, case in zip(estimates, cases, strict=True)]
    return sum(values) / len(values), seconds


def table(args: argparse.Namespace) -> Iterator[str]:
    """The lines of the table, each as soon as it is known."""
    yield f"{'set':<10} {'method':<12} {'pictures':>8} {'size':>5} {'PSNR':>6} {'seconds':>8}"
    for name in args.set:
        for sigma in args.sigma if not SETS[name][1] else (0.0,):
            cases = pairs(name, sigma, args.pictures, args.size, args.data)
            label = name if SETS[name][1] else f"{name} {sigma:g}"
            size = cases[0].truth.shape[-1]
            noisy = sum(psnr(case.noisy, case.truth) for case in cases) / len(cases)
            yield f"{label:<10} {'noisy':<12} {len(cases):>8} {size:>5} {noisy:>6.2f} {'':>8}"
            for method in args.methods:
                value, seconds = row(method, cases, args)
                yield f"{label:<10} {method:<12} {len(cases):>8} {size:>5} {value:>6.2f} {seconds:>8.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, 2 for what cannot be used, with the table on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="+", choices=SETS, default=["sidd", "set12"], help="sets of pictures")
    parser.add_argument("--sigma", nargs="+", type=float, default=[25.0], help="grey levels of simulated noise")
    parser.add_argument("--pictures", type=int, default=2, help="of each set, the first ones by name")
    parser.add_argument("--size", type=int, default=128, help="side of the pictures in pixels")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["sdap", "zs-n2n", *COMPARED], help="methods")
    parser.add_argument("--together", action="store_true", help="train on all pictures of a set at once")
    parser.add_argument("--steps", type=int, help="of training, for every method; default: each one's own")
    parser.add_argument("--setting", dest="set_", nargs="*", default=[], help="solver.KEY=VALUE or prior.KEY=VALUE")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices")
    parser.add_argument("--data", type=Path, help="the data root; default RESTORE_DATA")
    try:
        for line in table(parser.parse_args(arguments)):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except RestoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
