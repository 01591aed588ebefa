"""What a prior of tokens knows of photographs: its coder's error, its surprise at hidden tokens, its own pictures.

    python -m benchmarks.studies.tokens --prior tokens --limit 20 --size 96

On centre crops of photos-val, which no prior was trained on. Printed are

- the coder's PSNR on the crops (what no solver on these tokens can beat by more than luck), with --task in the
  conventions of that task, beside its simple baseline on the same crops;
- nats a token of the uniform law, of the frequencies of tokens in the training pictures, and of the network with a
  quarter, a half, three quarters and nearly all of the tokens hidden, and over numbers hidden that are uniform, which
  bounds -log p of a picture per token;
- for pictures drawn from the prior, and for the crops after the coder: mean and standard deviation of the pixels, mean
  difference of neighbours, nats of the frequencies of tokens.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import priors
import restore
from operators import BadInput, NoiseSource, RestoreError
from priors.discrete.masked import MaskedPrior
from restore.solvers.parts.tokens import revealed, times_of_masking

from ..cases.pictures import centre_crop
from ..sets.datasets import data_root, find
from .tune import TUNING_SET, score

TRAINING_SET = "photos_imagenet1000/train"  # a folder below the data root


def surprise(prior: MaskedPrior, tokens: Tensor, hidden: Tensor) -> float:
    """Mean of -log p over the hidden tokens of one picture, in nats."""
    shares = prior.probabilities(torch.where(hidden, prior.mask, tokens))
    return float(-shares.gather(1, tokens[:, None])[:, 0][hidden].log().mean())


def hidden_at(tokens: Tensor, share: float, noise: NoiseSource) -> Tensor:
    """Which tokens of one picture are hidden: a share of them, at least one, at uniform places."""
    order = noise.uniform("places", tokens.double()).flatten().argsort()
    places = torch.zeros(tokens.numel(), dtype=torch.bool)
    places[order[: max(round(share * tokens.numel()), 1)]] = True
    return places.reshape(tokens.shape)


def sampled(prior: MaskedPrior, grid: tuple[int, ...], noise: NoiseSource, *, steps: int) -> Tensor:
    """Tokens drawn from the prior, in a random order (B x grid)."""
    count = len(noise.images)
    tokens = torch.full((count, *grid), prior.mask)
    order = noise.uniform("order", torch.zeros(count, tokens[0].numel(), dtype=torch.float64)).argsort(1)
    times, begun = times_of_masking(steps, 0.0), 0
    for step, (t, s) in enumerate(itertools.pairwise(times)):
        ended = begun + revealed(order.shape[1] - begun, t, s)
        shares = prior.probabilities(tokens).flatten(2).movedim(1, -1)
        drawn = noise.categorical(f"tokens {step}", shares.log())
        part = order[:, begun:ended]
        tokens = tokens.flatten(1).scatter(1, part, drawn.gather(1, part)).reshape(tokens.shape)
        begun = ended
    return tokens


def entropy(counts: Tensor) -> float:
    """Nats of the frequencies."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * shares.log()).sum())


def statistics(pictures: Tensor) -> str:
    """Mean, standard deviation and mean difference of neighbours, in units of [0, 1]."""
    steps = (pictures.diff(dim=-1).abs().mean() + pictures.diff(dim=-2).abs().mean()) / 2
    return f"mean {pictures.mean():.3f}  std {pictures.std():.3f}  neighbours {steps:.4f}"


def report(prior: MaskedPrior, crops: Tensor, training: Tensor, *, drawn: int, steps: int) -> str:
    """What is printed. crops, training: B x C x H x W in [0, 1]."""
    native = prior.native
    count = native.vocabulary
    tokens = torch.cat([native.encode(prior.space.back(x[None])) for x in crops])
    decoded = torch.cat([prior.space.to(native.decode(t[None])).clamp(0, 1) for t in tokens])
    decoded = decoded[..., : crops.shape[-2], : crops.shape[-1]]
    psnr = [-10 * math.log10(float((a - b).square().mean())) for a, b in zip(decoded, crops, strict=True)]
    frequency = torch.full((count,), 0.5, dtype=torch.float64)  # half a count more for what was never seen
    for x in training:
        frequency += torch.bincount(native.encode(prior.space.back(x[None])).flatten(), minlength=count)
    unigram = float(-(frequency / frequency.sum()).log()[tokens].mean())
    lines = [
        f"coder: {sum(psnr) / len(psnr):.2f} dB, {min(psnr):.2f} to {max(psnr):.2f}; {len(crops)} crops",
        f"nats a token: uniform {math.log(count):.3f}  frequencies {unigram:.3f}",
    ]
    for share in (0.25, 0.5, 0.75, 0.98, None):
        values = []
        for index, one in enumerate(tokens):
            noise = NoiseSource(0, [f"{index} {share}"])
            # Uniform numbers hidden, spread evenly over the crops.
            part = share if share is not None else (index + 0.5) / len(tokens)
            values.append(surprise(native, one[None], hidden_at(one[None], part, noise)))
        what = "uniform numbers hidden" if share is None else f"{share:.0%} hidden"
        lines.append(f"  network, {what}: {sum(values) / len(values):.3f}")
    if drawn:
        source = NoiseSource(0, [str(k) for k in range(drawn)])
        own = sampled(native, tuple(tokens.shape[1:]), source, steps=steps)
        pictures = prior.space.to(native.decode(own)).clamp(0, 1)
        lines.append(f"drawn: {statistics(pictures)}  tokens {entropy(torch.bincount(own.flatten()).double()):.3f}")
    lines.append(f"coded: {statistics(decoded)}  tokens {entropy(torch.bincount(tokens.flatten()).double()):.3f}")
    return "\n".join(lines)


def ceiling(prior: MaskedPrior, crops: Tensor, name: str) -> str:
    """The scores that a task gives to the coder's own pictures of the truths, and to its baseline."""
    task, native = restore.tasks.load(name), prior.native
    totals = {"coder": 0.0, "baseline": 0.0}
    for crop in crops:
        problem = task.problem(crop[None], seed=0)
        if problem.truth is None:
            raise BadInput(f"task {name!r} has no truth")
        vectors = native.vectors(native.encode(prior.space.back(problem.truth)))
        coded = prior.space.to(native.picture(vectors, tuple(problem.truth.shape[1:]))).clamp(0, 1)
        for what, estimate in (("coder", coded), ("baseline", task.baseline(problem))):
            totals[what] += (score(task, estimate, problem)["psnr"] or float("nan")) / len(crops)
    return f"{name}: coder {totals['coder']:.2f} dB  baseline {totals['baseline']:.2f} dB"


def _crops(paths: Sequence[Path], size: int) -> Tensor:
    return torch.cat([centre_crop(restore.read(path).data[None], size) for path in paths]).float()


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", default="tokens")
    parser.add_argument("--limit", type=int, default=20, help="crops, of the tuning set and of the training pictures")
    parser.add_argument("--size", type=int, default=96, help="side of the centre crop")
    parser.add_argument("--drawn", type=int, default=8, help="pictures drawn from the prior")
    parser.add_argument("--steps", type=int, default=64, help="network calls for these")
    parser.add_argument("--task", action="append", default=[], help="a task of photographs; may be repeated")
    parser.add_argument("--data", type=Path, help="the data root; default RESTORE_DATA")
    options = parser.parse_args(arguments)
    try:
        prior = priors.load(options.prior)
        if not isinstance(prior, MaskedPrior):
            sys.stderr.write(f"{options.prior} is a {prior.kind} prior; wanted a masked one\n")
            return 2
        root = data_root(options.data)
        paths = find(TUNING_SET).paths(root)
        paths = paths[:: max(len(paths) // options.limit, 1)][: options.limit]
        seen = sorted((root / TRAINING_SET).iterdir())[: 5 * options.limit : 5]
        with torch.inference_mode():
            text = report(
                prior,
                _crops(paths, options.size),
                _crops(seen, options.size),
                drawn=options.drawn,
                steps=options.steps,
            )
        sys.stdout.write(f"{text}\n")
        for name in options.task:
            with torch.no_grad():
                sys.stdout.write(ceiling(prior, _crops(paths, options.size), name) + "\n")
    except (RestoreError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
