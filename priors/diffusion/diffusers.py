"""A UNet of the diffusers library with its noise schedule as a prior; the library is needed for its files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from operators.common.errors import BadInput, import_extra

from ..base import DiffusionPrior
from ..schedules import x0_from_eps, x0_from_vp_velocity


class SchedulerPrior(DiffusionPrior):
    """E[z0 | z0 + sigma n = z] of a UNet that was trained on x_t = alpha_t z0 + sigma_t n, alpha_t^2 + sigma_t^2 = 1.

    unet: (x_t, times) -> what the scheduler's `prediction_type` says ("epsilon", "v_prediction" or "sample"), bare or
    as `.sample`; a second half of its channels (a learned variance) is not used. scheduler: anything with
    `alphas_cumprod`. A level lies between two times of the table, by its logarithm; levels beyond its ends are taken
    for them. Native units are those of the training, [-1, 1].
    """

    def __init__(self, unet: nn.Module, scheduler: Any, *, name: str = "") -> None:
        table = getattr(scheduler, "alphas_cumprod", None)
        if table is None:
            raise BadInput(
                f"scheduler {type(scheduler).__name__} has no alphas_cumprod",
                wanted="a variance-preserving one, such as DDPMScheduler or DDIMScheduler",
            )
        count = getattr(getattr(unet, "config", None), "in_channels", None)
        super().__init__(
            shift=0.5, scale=0.5, native_clip=(-1.0, 1.0), channels=None if count is None else (int(count),)
        )
        kept = np.asarray(torch.as_tensor(table).detach().cpu(), dtype=np.float64)
        self.log_levels = np.log((1 - kept) / kept) / 2
        self.predicts = str(getattr(getattr(scheduler, "config", None), "prediction_type", "epsilon"))
        if self.predicts not in ("epsilon", "v_prediction", "sample"):
            raise BadInput(f"prediction_type is {self.predicts!r}", wanted="epsilon, v_prediction or sample")
        self.unet = unet
        self.name = name or type(unet).__name__

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        precision = next((w.dtype for w in self.unet.parameters()), z.dtype)
        logs = np.clip(np.log(sigma.detach().cpu().double().numpy()), self.log_levels[0], self.log_levels[-1])
        place = np.interp(logs, self.log_levels, np.arange(len(self.log_levels)))
        level = torch.from_numpy(np.exp(logs)).to(device=z.device, dtype=torch.float64).reshape(-1, *[1] * (z.ndim - 1))
        alpha = 1 / (1 + level**2).sqrt()
        x_t = (alpha.to(z.dtype) * z).to(precision)
        answer = self.unet(x_t, torch.from_numpy(place).to(device=z.device, dtype=precision))
        answer = getattr(answer, "sample", answer)[:, : z.shape[1]].to(z.dtype)
        a, s = alpha.to(z.dtype), (alpha * level).to(z.dtype)
        if self.predicts == "sample":
            return answer
        x_t = x_t.to(z.dtype)
        return x0_from_eps(x_t, answer, a, s) if self.predicts == "epsilon" else x0_from_vp_velocity(x_t, answer, a, s)


def from_folder(path: Path) -> Any:
    """The pipeline of a folder that diffusers wrote; nothing is downloaded. MissingExtra where it is not installed."""
    if not (path / "model_index.json").is_file():
        raise BadInput(f"{path} holds no model_index.json", wanted="the folder of a diffusers pipeline")
    library = import_extra("diffusers", do='pip install "restore[diffusers]"')
    return library.DiffusionPipeline.from_pretrained(path, local_files_only=True, use_safetensors=True)
