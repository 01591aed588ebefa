"""Groups of group norms, which no state dict carries: published for released networks, asked for everywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from import_helpers import CODEC, SWIN
from torch import Tensor, nn

import priors
from operators.common.errors import BadInput
from priors.files.checkpoints import ARCHITECTURES
from priors.files.importing.convert import Imported, import_checkpoint
from priors.files.importing.finding import Found, rebuilt
from priors.files.importing.layouts import AUTOENCODER, layout_named
from restore.cli import main

State = dict[str, Tensor]

RESFUSION: dict[str, Any] = {"channels": 3, "channels_in": 6, "widths": (8, 8, 16)}
RDDM: dict[str, Any] = {"encoder": "single", **RESFUSION}
DACLIP: dict[str, Any] = {"channels": 3, "channels_in": 3, "widths": (32,) * 5, "context_width": 8}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTORE_PRIORS", str(tmp_path / "priors"))


def drawn(architecture: str, settings: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = ARCHITECTURES.build(architecture, **settings)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network.eval()


def imported(folder: Path, tree: Any, format: str, **options: Any) -> Imported:
    path = folder / "net_s4.pth"
    torch.save(tree, path)
    return import_checkpoint(path, format=format, name="x", overwrite=True, **options)


def outputs(network: nn.Module) -> Tensor:
    torch.manual_seed(1)
    x, y = torch.randn(1, 3, 8, 8), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        out = network(x, torch.tensor([3.0]), y)
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize("format", ["rddm", "resfusion"])
def test_a_network_of_another_size_than_the_released_asks_for_its_groups(tmp_path: Path, format: str) -> None:
    state = drawn(format, RDDM if format == "rddm" else RESFUSION).state_dict()
    with pytest.raises(BadInput, match=r"no network of the released size; wanted .* default is 8.*--groups") as refusal:
        imported(tmp_path, state, format)
    assert str(refusal.value).count("\n") == 0 and not (tmp_path / "priors").exists()


@pytest.mark.parametrize(
    ("format", "architecture", "settings"),
    [
        ("rddm", "rddm", RDDM),
        ("rddm", "rddm", {**RDDM, "encoder": "two"}),
        ("rddm", "rddm", {**RDDM, "encoder": "shared"}),
        ("resfusion", "resfusion", RESFUSION),
        ("resshift", "resshift", SWIN),
        ("mrs", "daclip", DACLIP),
    ],
)
def test_the_groups_that_are_asked_for_are_those_the_network_computes_with(
    tmp_path: Path, format: str, architecture: str, settings: dict[str, Any]
) -> None:
    network = drawn(architecture, {**settings, "groups": 4})
    published = drawn(architecture, settings)
    more: dict[str, Any] = {"autoencoder": Path("none")} if format == "resshift" else {}
    made = imported(tmp_path, network.state_dict(), format, groups=4, **more)
    prior = priors.load("x").network
    assert {module.num_groups for module in prior.modules() if isinstance(module, nn.GroupNorm)} == {4}
    found, wanted = outputs(prior), outputs(network)
    assert float((found - wanted).norm() / wanted.norm()) < 5e-5  # another order of sums
    assert float((found - outputs(published)).norm() / wanted.norm()) > 1e-4
    assert not any("groups" in line for line in made.told)
    assert "- groups: 4" in made.card.read_text("utf-8")


def found_in(state: State) -> Found:
    return Found(state, "the file itself")


@pytest.mark.parametrize("encoder", ["single", "two", "shared"])
def test_a_released_rddm_keeps_the_published_eight_with_a_note(encoder: str) -> None:
    released = {"encoder": encoder, "channels": 3, "channels_in": 6, "widths": (64, 64, 128, 256, 512)}
    with torch.device("meta"):
        network: nn.Module = ARCHITECTURES.build("rddm", **released)
    state = {key: torch.zeros(()).expand(value.shape) for key, value in network.state_dict().items()}
    network, settings, assumed = rebuilt(layout_named("rddm"), found_in(state), Path("model-80.pt"), state)
    assert settings["groups"] == 8
    assert assumed == ["groups 8 (the file does not say; as published; --groups N for another)"]
    norms = [module.num_groups for module in network.modules() if isinstance(module, nn.GroupNorm)]
    assert norms and set(norms) == {8}


def test_code_that_fixes_the_groups_keeps_them_with_a_note(tmp_path: Path) -> None:
    codec = tmp_path / "vq.pth"
    torch.save(drawn("vqgan", CODEC).state_dict(), codec)
    made = imported(tmp_path, drawn("resshift", SWIN).state_dict(), "resshift", autoencoder=codec)
    assert any(line.startswith("groups 32 (") and "--groups N" in line for line in made.told)
    assert any(line.startswith("groups of the autoencoder 32 (") for line in made.told)
    assert all(line in made.card.read_text("utf-8") for line in made.told)
    made = imported(tmp_path, drawn("daclip", DACLIP).state_dict(), "mrs")
    assert any(line.startswith("groups 32 (") for line in made.told)


def test_hyper_parameters_say_the_groups_and_may_not_be_contradicted(tmp_path: Path) -> None:
    network = drawn("resfusion", {**RESFUSION, "groups": 2})
    tree = {"state_dict": network.state_dict(), "hyper_parameters": {"resnet_block_groups": 2, "T": 12}}
    made = imported(tmp_path, tree, "resfusion")
    assert made.told == ()
    torch.testing.assert_close(outputs(priors.load("x").network), outputs(network), atol=1e-5, rtol=1e-4)
    with pytest.raises(BadInput, match="says 2 groups and --groups says 8"):
        imported(tmp_path, tree, "resfusion", groups=8)


@pytest.mark.parametrize(("groups", "said"), [(3, "3 groups do not divide"), (0, "groups is 0"), (-8, "groups is -8")])
def test_groups_that_cannot_be_are_refused(tmp_path: Path, groups: int, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        imported(tmp_path, drawn("rddm", RDDM).state_dict(), "rddm", groups=groups)


def test_widths_that_the_fixed_groups_do_not_divide_ask_for_others(tmp_path: Path) -> None:
    state = drawn("resshift", {**SWIN, "width": 24, "groups": 8}).state_dict()
    with pytest.raises(BadInput, match=r"32 groups do not divide .* --groups N"):
        imported(tmp_path, state, "resshift", autoencoder=Path("none"))
    imported(tmp_path, state, "resshift", autoencoder=Path("none"), groups=8)
    state = {key: value[:24] if key == "encoder.conv_in.weight" else value for key, value in _codec_state().items()}
    with pytest.raises(BadInput, match=r"32 groups do not divide .* Another autoencoder"):
        rebuilt(AUTOENCODER, found_in(state), Path("vq.pth"), state)


def _codec_state() -> State:
    return drawn("vqgan", CODEC).state_dict()


@pytest.mark.parametrize("format", ["ir-sde", "refusion"])
def test_a_layout_without_group_norms_takes_no_groups(tmp_path: Path, format: str) -> None:
    settings: dict[str, Any] = {"channels": 3, "channels_in": 3, "widths": (8, 16)}
    if format == "refusion":
        settings = {**settings, "width": 8, "encoders": (1,), "middle": 1, "decoders": (1,)}
        del settings["widths"]
    with pytest.raises(BadInput, match=f"{format} has no group norms"):
        imported(tmp_path, drawn(format, settings).state_dict(), format, groups=8)


def test_the_command_asks_for_groups_and_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.pt"
    torch.save(drawn("rddm", RDDM).state_dict(), path)
    assert main(["import", str(path), "--format", "rddm"]) == 2
    assert "--groups" in capsys.readouterr().err
    assert main(["import", str(path), "--format", "rddm", "--groups", "8"]) == 0
    err = capsys.readouterr().err
    assert "assumed steps 1000" in err and "--set steps=VALUE" in err and "groups" not in err
