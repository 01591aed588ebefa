"""Networks that are blind to a pixel's own noise, learned from noisy pictures: four ways to train one.

Noise2Void: A. Krull, T.-O. Buchholz, F. Jug 2019, arXiv 1811.10980. AP-BSN: W. Lee, S. Son, K. M. Lee 2022, arXiv
2203.11799. C-BSN: Y. Jang et al. 2023, arXiv 2304.09507. SDAP: Y. Pan et al. 2023, arXiv 2307.16825.

Noise2Void hides pixels in the input of an ordinary network. The others have a network that cannot see the pixel
(`priors.networks.blindspot`) and differ in how they break the correlation of camera noise.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from operators.common.settings import Count, Natural, Positive, Range

from .prior import SelfSupervisedPrior
from .shuffling import (
    filled,
    from_batch,
    mosaic,
    permutations,
    picked,
    reflected,
    to_batch,
    trimmed,
    unmosaic,
    without_margin,
)
from .training import Training

Steps = Annotated[Count, "of the optimiser"]
Batch = Annotated[Count, "crops of a step"]
Crop = Annotated[Count, "side of a crop in pixels"]
Rate = Annotated[Positive, "of Adam at the start"]
Width = Annotated[Count, "features of the network; 128 as published"]
Modules = Annotated[Count, "dilated modules of each branch; 9 as published"]
CELL = 5  # side of the cells in which the correlation of camera noise is broken


class HiddenPixels(SelfSupervisedPrior):
    """Noise2Void: pixels replaced by a neighbour, and predicted.

    share: of pixels, one in each square of 1 / share pixels. window: side of the square from which the neighbour is
    drawn, the pixel itself included. As in the authors' package (uniform, with the centre).
    """

    method = "noise2void"
    architecture = "noise2noise"

    def __init__(
        self,
        *,
        steps: Steps = 1200,
        batch: Batch = 8,
        crop: Crop = 64,
        width: Annotated[Count, "features of the network"] = 32,
        rate: Rate = 2e-3,
        share: Annotated[float, Range(above=0, high=0.25), "of the pixels that are hidden"] = 0.015,
        window: Annotated[int, Range(3), "side of the square of neighbours in pixels, odd"] = 11,
        error: Annotated[Literal["absolute", "squared"], "that is made small"] = "squared",
    ) -> None:
        super().__init__(
            settings={
                "steps": steps,
                "batch": batch,
                "crop": crop,
                "width": width,
                "rate": rate,
                "share": share,
                "window": window,
                "error": error,
            }
        )

    def network_settings(self, channels: int) -> dict[str, Any]:
        return {"channels": channels, "width": self.settings["width"]}

    def plan(self) -> Training:
        own = self.settings
        return Training(own["steps"], own["batch"], own["crop"], multiple=32, rate=own["rate"], clip=1.0)

    def loss(self, network: nn.Module, noisy: Tensor, generator: torch.Generator, step: int) -> Tensor:
        own = self.settings
        side = max(round(own["share"] ** -0.5), 2)
        seen, hidden = hide(noisy, generator, side=side, radius=own["window"] // 2)
        return hidden_loss(network(seen).float(), noisy, hidden, own["error"])


def hide(noisy: Tensor, generator: torch.Generator, *, side: int, radius: int) -> tuple[Tensor, Tensor]:
    """(pictures with one pixel in each square of `side` replaced, where: B x 1 x H x W of 0 and 1).

    The pixel comes from at most `radius` rows and columns away, itself included; all channels together.
    """
    batch, _, height, width = noisy.shape
    squares = (batch, -(-height // side), -(-width // side))

    def below(bound: int) -> Tensor:
        return torch.randint(bound, squares, generator=generator)

    rows = torch.arange(0, height, side)[:, None] + below(side)
    columns = torch.arange(0, width, side) + below(side)
    other_rows = (rows + below(2 * radius + 1) - radius).clamp(0, height - 1)
    other_columns = (columns + below(2 * radius + 1) - radius).clamp(0, width - 1)
    inside = (rows < height) & (columns < width)
    entry = torch.arange(batch)[:, None, None].expand(squares)[inside]
    seen, hidden = noisy.clone(), torch.zeros_like(noisy[:, :1])
    seen[entry, :, rows[inside], columns[inside]] = noisy[entry, :, other_rows[inside], other_columns[inside]]
    hidden[entry, 0, rows[inside], columns[inside]] = 1.0
    return seen, hidden


def hidden_loss(answer: Tensor, noisy: Tensor, hidden: Tensor, error: str) -> Tensor:
    """Mean error over the hidden pixels alone."""
    difference = answer - noisy
    each = difference.square() if error == "squared" else difference.abs()
    return (each * hidden).sum() / (hidden.sum() * noisy.shape[1]).clamp(min=1)


class BlindSpotPrior(SelfSupervisedPrior):
    """Base of those with the dilated blind-spot network. `predict` is blind at full resolution.

    Defaults of every method are for one picture on a processor; the published widths are told in the cards.
    """

    architecture = "blind-spot"
    calls = ("predict", "predict_shuffled")
    rectified: ClassVar[bool] = False
    multiple: ClassVar[int] = CELL

    @property
    def zero(self) -> float:
        """The value of a picture that is 0 to the network: what frames are filled with."""
        return float(self.about[1])

    def predict_shuffled(self, y: Tensor, *, factor: int, pad: int) -> Tensor:
        """The blind answer on the mosaic of every `factor`-th pixel (Lee et al. 2022), shuffled back; any size."""

        def call(network: nn.Module, z: Tensor) -> Tensor:
            whole = filled(z, factor, 0.0)
            answer = unmosaic(network(mosaic(whole, factor, pad)), factor, pad)
            return answer[..., : z.shape[-2], : z.shape[-1]]

        return self.through(y, call)

    def begin(self, network: nn.Module) -> None:
        """Weights normal with variance 2 / inputs and biases of 0 (He et al. 2015), 1 / inputs in the last layer.

        Torch's own shrink the signal by sqrt(3) in each of these many layers, which costs 3 dB after 300 steps.
        """
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear" if layer is layers[-1] else "relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def network_settings(self, channels: int) -> dict[str, Any]:
        own, more = self.settings, {"rectified": True} if self.rectified else {}
        return {"channels": channels, "features": own["width"], "modules": own["modules"], **more}

    def plan(self) -> Training:
        own = self.settings
        return Training(own["steps"], own["batch"], own["crop"], multiple=self.multiple, rate=own["rate"], clip=1.0)


class ShuffledBlindSpot(BlindSpotPrior):
    """AP-BSN: mean |f(PD_stride(y)) - y|, PD the pixel-shuffle mosaic whose neighbours were `stride` apart."""

    method = "ap-bsn"

    def __init__(
        self,
        *,
        steps: Steps = 1200,
        batch: Batch = 4,
        crop: Crop = 80,
        width: Width = 32,
        modules: Modules = 4,
        rate: Rate = 1e-3,
        stride: Annotated[Count, "of the mosaic in training; 1 for noise that is independent from pixel to pixel"] = 5,
        pad: Annotated[Natural, "zeros around each sub-picture of the mosaic"] = 2,
    ) -> None:
        own = {"steps": steps, "batch": batch, "crop": crop, "width": width, "modules": modules, "rate": rate}
        super().__init__(settings={**own, "stride": stride, "pad": pad})

    def loss(self, network: nn.Module, noisy: Tensor, generator: torch.Generator, step: int) -> Tensor:
        return shuffled_loss(network, noisy, self.settings["stride"], self.settings["pad"])


def shuffled_loss(network: nn.Module, noisy: Tensor, stride: int, pad: int) -> Tensor:
    """mean |f(PD(y)) - y| of the part whose sides the stride divides (eq. 4)."""
    whole = trimmed(noisy, stride)
    answer: Tensor = network(mosaic(whole, stride, pad)).float()
    return (unmosaic(answer, stride, pad) - whole).abs().mean()


class ConditionalBlindSpot(BlindSpotPrior):
    """C-BSN: one set of weights, used blind and seeing; at test one seeing pass at full resolution.

    Every picture is standardised by its own mean and deviation, channel by channel, in training and at test.
    ramp: steps over which the weight of the seeing losses grows to 1.
    """

    method = "c-bsn"
    rectified = True
    multiple = 2 * CELL

    def __init__(
        self,
        *,
        steps: Steps = 1200,
        batch: Batch = 4,
        crop: Crop = 80,
        width: Width = 32,
        modules: Modules = 4,
        rate: Rate = 1e-3,
        ramp: Annotated[Count, "steps until the seeing losses count fully; 200 000 as published"] = 600,
        weight: Annotated[Positive, "lambda, of the loss that ties the seeing to the blind answer"] = 2.0,
    ) -> None:
        own = {"steps": steps, "batch": batch, "crop": crop, "width": width, "modules": modules, "rate": rate}
        super().__init__(settings={**own, "ramp": ramp, "weight": weight})

    def predict(self, y: Tensor, *, masked: bool = False, margin: int = 32) -> Tensor:
        """The answer at full resolution, seeing the pixel itself or (masked) blind to it; `margin` pixels reflected."""

        def call(network: nn.Module, z: Tensor) -> Tensor:
            standard, mean, deviation = standardised(z)
            answer = network(reflected(standard, margin), masked=masked)
            return mean + deviation * without_margin(answer, margin, z)

        return self.through(y, call)

    def units(self, pictures: Tensor) -> tuple[float, float]:
        return 0.0, 1.0

    def prepared(self, pictures: Tensor) -> Tensor:
        return standardised(pictures)[0]

    def loss(self, network: nn.Module, noisy: Tensor, generator: torch.Generator, step: int) -> Tensor:
        half = trimmed(noisy, 2)
        choice = torch.randint(4, (len(half), half.shape[-2] // 2, half.shape[-1] // 2), generator=generator)
        blind, tied, seeing = conditional_losses(network, noisy, choice.to(noisy.device))
        share = min(step / self.settings["ramp"], 1.0)
        return blind + share * (seeing + self.settings["weight"] * tied)


def conditional_losses(network: nn.Module, noisy: Tensor, choice: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(blind, tied, seeing) of the paper's section 3.3, each a mean absolute error.

    choice: B x H/2 x W/2, which pixel of each 2 x 2 cell the random sub-sampler takes.
    """
    whole, half = trimmed(noisy, CELL), trimmed(noisy, 2)
    blind = (from_batch(network(to_batch(whole, CELL), masked=True).float(), CELL) - whole).abs().mean()
    seen = network(half, masked=False).float()
    fixed = network(picked(half, choice, 2), masked=True).float().detach()
    tied = (picked(seen, choice, 2) - fixed).abs().mean()
    return blind, tied, (seen - half).abs().mean()


def standardised(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """((y - mean) / deviation, mean, deviation) of every picture and channel; deviation at least 1 / sqrt(pixels)."""
    mean = y.mean((-2, -1), keepdim=True)
    least = (y.shape[-2] * y.shape[-1]) ** -0.5
    deviation = y.std((-2, -1), keepdim=True, correction=0).clamp(min=least)
    return (y - mean) / deviation, mean, deviation


class SubSampledBlindSpot(BlindSpotPrior):
    """SDAP: 25 random sub-samples of every 5 x 5 cell, each predicted from the one before.

    At least as many steps of one sub-sample each: `pairs` of the 25 are drawn at random (25: all, as published).
    """

    method = "sdap"

    def __init__(
        self,
        *,
        steps: Steps = 1200,
        batch: Batch = 4,
        crop: Crop = 80,
        width: Width = 32,
        modules: Modules = 4,
        rate: Rate = 1e-3,
        pairs: Annotated[int, Range(1, CELL**2), "of the 25 cyclic pairs in a step"] = 5,
    ) -> None:
        own = {"steps": steps, "batch": batch, "crop": crop, "width": width, "modules": modules, "rate": rate}
        super().__init__(settings={**own, "pairs": pairs})

    def loss(self, network: nn.Module, noisy: Tensor, generator: torch.Generator, step: int) -> Tensor:
        whole = trimmed(noisy, CELL)
        orders = permutations(len(whole), whole.shape[-2], whole.shape[-1], CELL, generator).to(whole.device)
        return cyclic_loss(network, whole, orders, self.settings["pairs"]) / self.settings["pairs"]


def cyclic_loss(network: nn.Module, noisy: Tensor, orders: Tensor, pairs: int = CELL**2) -> Tensor:
    """Sum over the first `pairs` j of mean |f(sub_j) - sub_(j+1 mod 25)| (section 3.3).

    orders: B x 25 x H/5 x W/5, a permutation of the pixels of each cell; sub_j takes the j-th.
    """
    samples = [picked(noisy, orders[:, j % CELL**2], CELL) for j in range(pairs + 1)]
    answers: Tensor = network(torch.cat(samples[:-1])).float()
    return pairs * (answers - torch.cat(samples[1:])).abs().mean()
