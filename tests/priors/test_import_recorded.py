"""Recorded networks from file to prediction: what the import makes of them reads their recorded outputs rightly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from import_helpers import recorded_nets
from safetensors.torch import load_file
from torch import Tensor

import priors
from priors.files.importing.convert import import_checkpoint

State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_PRIORS", str(tmp_path / "priors"))
    return tmp_path / "priors"


def recorded(name: str) -> tuple[Path, State]:
    folder = recorded_nets()
    return folder / f"{name}.safetensors", load_file(folder / f"{name}.io.safetensors")


def imported(name: str, **options: Any) -> tuple[Any, State]:
    path, values = recorded(name)
    return priors.load(import_checkpoint(path, name="recorded", **options).name), values


def near(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)  # as the recordings ask


@pytest.mark.parametrize(("fixture", "format"), [("irsde_unet", "ir-sde"), ("refusion_nafnet", "refusion")])
def test_an_imported_mean_reverting_prior_gives_the_recorded_noise(fixture: str, format: str) -> None:
    prior, values = imported(fixture, format=format)
    for k, t in enumerate(values["in.time"].tolist()):
        known = prior.predict(values["in.xt"][k : k + 1], values["in.cond"][k : k + 1], t)
        near(known.eps, values["out.y"][k : k + 1])


def test_an_imported_rddm_prior_gives_the_recorded_residual_and_noise() -> None:
    prior, values = imported("rddm_two_unets", format="rddm", groups=8)
    for k, t in enumerate(values["in.time"].tolist()):
        state = values["in.x"][k : k + 1]
        known = prior.predict(state[:, :3], state[:, 3:], t)
        near(known.residual, values["out.y0"][k : k + 1].clamp(-1, 1))
        near(known.eps, values["out.y1"][k : k + 1])


def test_an_imported_resshift_prior_sees_its_state_divided_and_gives_the_recorded_picture() -> None:
    codec, _ = recorded("resshift_vqgan")
    prior, values = imported("resshift_swinunet", format="resshift", autoencoder=codec, settings={"steps": 15})
    for k, t in enumerate(values["in.timesteps"].tolist()):
        scale = (1 + prior.process.marginal(t).s ** 2) ** 0.5
        x, lq = scale * values["in.x"][k : k + 1], values["in.lq"][k : k + 1]
        near(prior.predict(x, x, t, condition=lq).x0, values["out.y"][k : k + 1])


def test_an_imported_resfusion_prior_reads_the_recorded_output_as_noise_and_residual() -> None:
    prior, values = imported("resfusion_unet", format="resfusion", groups=8)
    for k, t in enumerate(values["in.time"].tolist()):
        known = prior.predict(values["in.x"][k : k + 1], values["in.input_cond"][k : k + 1], t)
        mixed = known.eps + prior.process.residual_weight(t) * known.residual
        near(mixed, values["out.y"][k : k + 1])
