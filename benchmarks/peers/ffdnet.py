"""Denoising beside FFDNet-colour: a prior and the published network on the same noise, in one table.

    python -m benchmarks.peers.ffdnet --data DIR --weights DIR --prior natural --every 4

K. Zhang, W. Zuo, L. Zhang, "FFDNet: toward a fast and flexible solution for CNN-based image denoising", IEEE TIP 2018,
arXiv 1710.04026. Protocol: float noise of standard deviation sigma/255 from one stream per picture, the input not
clipped, the output clipped to [0, 1]; RGB PSNR and the error of the colour differences, means over pictures. Pictures
stored as gray are left out. The network's weights are the authors' own and no part of this package:
WEIGHTS/ffdnet/ffdnet_color.npz with arrays `w0, b0 ... w11, b11`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, pixel_shuffle, pixel_unshuffle

import priors
from operators import NoiseSource, RestoreError, Unavailable, image_id
from restore.metrics import evaluate, summarize

from ..sets.datasets import data_root, find

SETS = ("cbsd68", "set14")
SIGMAS = (15, 25, 50)
CONVENTIONS = {"psnr": "psnr[rgb,clip,peak=1]", "chroma": "chroma-rmse[bt601]"}

Denoiser = Callable[[Tensor, float], Tensor]


class FFDNet(nn.Module):
    """Twelve 3x3 convolutions on half-size pictures: 2x2 pixel-unshuffle, a channel that holds sigma, ReLU between."""

    def __init__(self, layers: Sequence[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(weight, requires_grad=False) for weight, _ in layers])
        self.biases = nn.ParameterList([nn.Parameter(bias, requires_grad=False) for _, bias in layers])

    @classmethod
    def load(cls, path: Path) -> FFDNet:
        """The network stored in an npz file; Unavailable where there is none."""
        if not path.is_file():
            raise Unavailable(
                f"{path} is not there", do="Give --weights, the folder that holds ffdnet/ffdnet_color.npz."
            )
        with np.load(path, allow_pickle=False) as stored:
            layers = [(torch.from_numpy(stored[f"w{i}"]), torch.from_numpy(stored[f"b{i}"])) for i in range(12)]
        return cls(layers)

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """The clean picture; x: B x 3 x H x W in [0, 1] plus noise of standard deviation sigma in the same units."""
        height, width = x.shape[-2:]
        even = pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        h = pixel_unshuffle(even, 2)
        h = torch.cat([h, torch.full_like(h[:, :1], sigma)], dim=1)
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = conv2d(h, weight, bias, padding=1)
            h = h if i == last else h.relu()
        return pixel_shuffle(h, 2)[..., :height, :width]


@dataclass(frozen=True)
class LevelScore:
    """One method on one set at one noise level; psnr and chroma are means over `images` pictures."""

    data_set: str
    sigma: int
    method: str
    psnr: float
    chroma: float
    images: int


def pictures(name: str, root: Path, *, every: int, limit: int | None) -> dict[str, Tensor]:
    """The colour pictures of a set by name, 1 x 3 x H x W in [0, 1]: every so many of the list, at most `limit`."""
    from PIL import Image

    truths = {}
    for path in find(name).paths(root)[::every][:limit]:
        with Image.open(path) as picture:
            if picture.mode != "RGB":
                continue
            codes = np.asarray(picture, dtype=np.float32)
        truths[path.stem] = torch.from_numpy(codes / 255).permute(2, 0, 1)[None]
    return truths


@torch.inference_mode()
def compare(
    methods: Mapping[str, Denoiser], truths: Sequence[Tensor], *, data_set: str, sigma: int, seed: int = 0
) -> Iterator[LevelScore]:
    """Each method on the same noisy pictures."""
    scores: dict[str, list[dict[str, float | None]]] = {name: [] for name in methods}
    for truth in truths:
        noise = NoiseSource(seed, [image_id(truth[0])]).normal("measurement", truth)
        noisy = truth + sigma / 255 * noise
        for name, denoise in methods.items():
            values = evaluate(denoise(noisy, sigma / 255).clamp(0, 1), truth, CONVENTIONS)
            scores[name].append({key: score.value for key, score in values.items()})
    for name, listed in scores.items():
        means = {key: summarize(score[key] for score in listed).mean for key in CONVENTIONS}
        if means["psnr"] is not None and means["chroma"] is not None:
            yield LevelScore(data_set, sigma, name, means["psnr"], means["chroma"], len(listed))


HEAD = "| set | images | sigma | method | PSNR (dB) | gain | chroma RMSE |\n|---|---|---|---|---|---|---|"


def rows(lines: Iterable[LevelScore]) -> Iterator[str]:
    """The lines as rows of a Markdown table under HEAD; the gain is over the first method of the same set and level."""
    first: dict[tuple[str, int], float] = {}
    for line in lines:
        gain = line.psnr - first.setdefault((line.data_set, line.sigma), line.psnr)
        yield (
            f"| {line.data_set} | {line.images} | {line.sigma} | {line.method} "
            f"| {line.psnr:.2f} | {gain:+.2f} | {line.chroma:.5f} |"
        )


def positive(text: str) -> int:
    """A whole number from 1, for the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """The comparison that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.ffdnet", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--data", type=Path, help="folder of the test sets (default: RESTORE_DATA)")
    parser.add_argument(
        "--weights", type=Path, help="folder that holds ffdnet/ffdnet_color.npz (default: RESTORE_WEIGHTS)"
    )
    parser.add_argument(
        "--prior", action="append", default=[], help="a prior's name or safetensors file; may be repeated"
    )
    parser.add_argument("--set", action="append", choices=SETS, help="only this set; may be repeated")
    parser.add_argument("--sigma", action="append", type=positive, help="only this level, of 255; may be repeated")
    parser.add_argument("--every", type=positive, default=1, help="take every so many pictures")
    parser.add_argument("--limit", type=positive, help="take at most so many pictures of each set")
    parser.add_argument("--each", action="store_true", help="a row for every picture instead of the means")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        root = data_root(options.data)
        weights = options.weights or Path(os.environ.get("RESTORE_WEIGHTS", ""))
        methods: dict[str, Denoiser] = {"ffdnet": FFDNet.load(weights / "ffdnet" / "ffdnet_color.npz").denoise}
        for name in options.prior:
            methods[name] = priors.load(name).denoise
        print(HEAD)
        for data_set in options.set or SETS:
            truths = pictures(data_set, root, every=options.every, limit=options.limit)
            groups = (
                {f"{data_set}/{k}": [v] for k, v in truths.items()} if options.each else {data_set: [*truths.values()]}
            )
            for sigma, (label, group) in itertools.product(options.sigma or SIGMAS, groups.items()):
                for row in rows(compare(methods, group, data_set=label, sigma=sigma, seed=options.seed)):
                    print(row, flush=True)
    except RestoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
