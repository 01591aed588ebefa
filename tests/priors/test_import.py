"""Import of released checkpoints: tiny files in every layout become priors; unsafe and unfitting ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from import_helpers import CODEC
from import_helpers import SWIN as ONE_LEVEL
from safetensors.torch import save_file
from torch import Tensor, nn

import priors
from operators.common.errors import BadInput
from priors.files import store
from priors.files.checkpoints import ARCHITECTURES, load_network
from priors.files.importing.convert import import_checkpoint
from priors.files.importing.prior import marked
from priors.residual.process import Prediction

State = dict[str, Tensor]

TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "rddm": ("rddm", {"encoder": "two", "channels": 3, "channels_in": 6, "widths": (8, 8, 16)}),
    "resfusion": ("resfusion", {"channels": 3, "channels_in": 6, "widths": (8, 8, 16)}),
    "ir-sde": ("ir-sde", {"channels": 3, "channels_in": 3, "widths": (8, 16, 32)}),
    "refusion": (
        "refusion",
        {"channels": 3, "channels_in": 3, "width": 8, "encoders": (1, 2), "middle": 1, "decoders": (1, 1)},
    ),
    "mrs": ("daclip", {"channels": 3, "channels_in": 3, "widths": (32,) * 5, "context_width": 8}),
}

SWIN: dict[str, Any] = {**ONE_LEVEL, "multipliers": (1, 2), "blocks": (1, 1), "swin": (True, True)}


def state_of(architecture: str, settings: dict[str, Any]) -> State:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network: nn.Module = ARCHITECTURES.build(architecture, **settings)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.05)
    return {key: value.detach() for key, value in network.state_dict().items()}


def prefixed(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_PRIORS", str(tmp_path / "priors"))
    return tmp_path / "priors"


def saved(folder: Path, tree: Any, name: str = "model.pt", **options: Any) -> Path:
    path = folder / name
    torch.save(tree, path, **options)
    return path


def rddm_file(folder: Path, *, sum_scale: float = 1.0, steps: int = 1000, betas: str = "increased") -> Path:
    """As RDDM saves: the averaged model with its schedule under `ema`, training state beside it."""
    from priors.residual.rddm import RDDMProcess

    process = RDDMProcess(steps=steps, sum_scale=sum_scale, betas=betas)  # type: ignore[arg-type]
    state = state_of(*TINY["rddm"])
    ema = {
        **prefixed("online_model.model.", {k: torch.zeros_like(v) for k, v in state.items()}),
        **prefixed("ema_model.model.", state),
        "ema_model.alphas_cumsum": torch.as_tensor(process.alpha_sums).float(),
        "ema_model.betas2_cumsum": torch.as_tensor(process.beta_sums).float(),
        "step": torch.tensor([7]),
    }
    running = prefixed("model.", {k: torch.ones_like(v) for k, v in state.items()})
    tree = {"step": 7, "model": running, "opt": {"state": {}}, "ema": ema, "scaler": None}
    return saved(folder, tree, "model-7.pt")


# -- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", TINY)
def test_a_file_of_each_layout_becomes_a_prior_that_predicts(tmp_path: Path, format: str) -> None:
    path = saved(tmp_path, prefixed("module.", state_of(*TINY[format])), f"{format}.pth")
    made = import_checkpoint(path, format=format, groups=8 if format in ("rddm", "resfusion") else None)
    prior = priors.load(made.name)
    assert prior.name == made.name and prior.kind == {"rddm": "rddm", "resfusion": "resfusion"}.get(format, "ir-sde")
    x, y = torch.randn(2, 3, 11, 14), torch.randn(2, 3, 11, 14)
    known = prior.predict(x, y, float(prior.process.times(2)[1]))
    assert isinstance(known, Prediction) and known.x0.shape == x.shape
    assert made.card.read_text("utf-8").startswith(f"# {made.name}\n")


def test_the_stored_weights_are_those_of_the_file_to_the_last_bit(tmp_path: Path) -> None:
    state = state_of(*TINY["ir-sde"])
    made = import_checkpoint(saved(tmp_path, state), format="ir-sde")
    stored = load_network(made.path).network.state_dict()
    assert all(torch.equal(stored[key], value) for key, value in state.items())


def test_a_safetensors_file_is_taken_too(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file(state_of(*TINY["refusion"]), path)
    assert import_checkpoint(path, format="refusion", name="mine").name == "mine"


def test_the_averaged_weights_of_rddm_and_the_constants_in_its_buffers_are_used(tmp_path: Path) -> None:
    made = import_checkpoint(rddm_file(tmp_path, sum_scale=1.0), format="rddm", groups=8)
    prior = priors.load(made.name)
    assert (prior.process.steps, prior.process.sum_scale, prior.process.objective) == (1000, 1.0, "res_noise")
    weight = prior.network.state_dict()["unet0.init_conv.weight"]
    assert torch.equal(weight, state_of(*TINY["rddm"])["unet0.init_conv.weight"])


def test_the_predicted_noise_and_residual_of_rddm_are_its_heads(tmp_path: Path) -> None:
    prior = priors.load(import_checkpoint(rddm_file(tmp_path), format="rddm", groups=8).name)
    x, y = torch.randn(1, 3, 8, 8), torch.randn(1, 3, 8, 8).clamp(-1, 1)
    residual, noise = prior.network(x, torch.tensor([399.0]), y)
    known = prior.predict(x, y, 399)
    torch.testing.assert_close(known.residual, residual.clamp(-1, 1))
    torch.testing.assert_close(known.eps, noise)


def test_a_lightning_file_of_resfusion_says_its_length(tmp_path: Path) -> None:
    state = prefixed("denoising_module.", state_of(*TINY["resfusion"]))
    tree = {"state_dict": state, "hyper_parameters": {"T": 20}, "pytorch-lightning_version": "2.1"}
    made = import_checkpoint(saved(tmp_path, tree, "last.ckpt"), format="resfusion", groups=8)
    assert priors.load(made.name).process.schedule_steps == 20
    assert not any("schedule_steps" in line for line in made.told)


@pytest.mark.parametrize(
    ("name", "steps", "level"), [("resshift_x4_s15_v1.pth", 15, 0.04), ("resshift_s4.pth", 4, 0.2)]
)
def test_the_name_of_a_released_resshift_file_says_its_steps(
    tmp_path: Path, name: str, steps: int, level: float
) -> None:
    path = saved(tmp_path, {"state_dict": prefixed("module._orig_mod.", state_of("resshift", SWIN))}, name)
    codec = saved(tmp_path, state_of("vqgan", CODEC), "vq.pth")
    process = priors.load(import_checkpoint(path, format="resshift", autoencoder=codec).name).process
    assert (process.steps, process.min_noise_level, process.input_scaling) == (steps, level, "latent")


def test_resshift_works_in_the_latents_of_its_autoencoder_at_any_size(tmp_path: Path) -> None:
    path = saved(tmp_path, state_of("resshift", SWIN), "net_s4.pth")
    codec = saved(tmp_path, state_of("vqgan", CODEC), "vq.pth")
    prior = priors.load(import_checkpoint(path, format="resshift", autoencoder=codec).name)
    y, y_up = torch.randn(1, 3, 7, 5), torch.randn(1, 3, 28, 20)
    latent, seen = prior.encode(y_up), prior.condition(y, y_up)
    assert latent.shape == (1, 3, 7, 5) and torch.equal(seen, y)
    known = prior.predict(latent, latent, 3, condition=seen)
    assert prior.decode(known.x0).shape == y_up.shape


def test_a_measurement_of_another_factor_is_refused_by_resshift(tmp_path: Path) -> None:
    path = saved(tmp_path, state_of("resshift", SWIN), "net_s4.pth")
    codec = saved(tmp_path, state_of("vqgan", CODEC), "vq.pth")
    prior = priors.load(import_checkpoint(path, format="resshift", autoencoder=codec).name)
    with pytest.raises(BadInput, match="4 times smaller"):
        prior.condition(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 32, 32))


def test_the_mask_of_an_inpainting_network_marks_missing_pixels() -> None:
    observed = torch.tensor([[[True, False]]])
    one = marked(torch.zeros(1, 3, 1, 2), observed, 1)
    two = marked(torch.zeros(1, 3, 1, 2), observed, 2)
    assert one.flatten().tolist() == [-1, 1]
    assert two[0, 0].flatten().tolist() == [1, -1] and two[0, 1].flatten().tolist() == [-1, 1]
    assert marked(torch.zeros(1, 3, 1, 2), None, 3).shape == (1, 3, 1, 2)


def test_what_the_file_does_not_say_is_told_as_assumed(tmp_path: Path) -> None:
    made = import_checkpoint(saved(tmp_path, state_of(*TINY["ir-sde"])), format="ir-sde")
    assert any("max_sigma 30" in line for line in made.told)
    assert "max_sigma 30" in made.card.read_text("utf-8")
    asked = import_checkpoint(
        saved(tmp_path, state_of(*TINY["ir-sde"])), format="ir-sde", name="rain", settings={"max_sigma": 10.0}
    )
    assert priors.load("rain").process.max_sigma == 10.0
    assert not any("max_sigma" in line for line in asked.told)


def test_an_imported_prior_stands_in_the_table_of_priors(tmp_path: Path) -> None:
    import_checkpoint(saved(tmp_path, state_of(*TINY["ir-sde"])), format="ir-sde", name="rain")
    assert "rain" in priors.REGISTRY and list(priors.REGISTRY)[-1] == "rain"
    assert priors.REGISTRY.describe("rain")["summary"]
    with pytest.raises(BadInput, match="Did you mean 'rain'"):
        priors.load("rian")


# -- what is refused --------------------------------------------------------------------------------------------------


def test_missing_and_unexpected_keys_are_named(tmp_path: Path, own_folder: Path) -> None:
    state = state_of(*TINY["ir-sde"])
    del state["mid_attn.fn.norm.g"]
    state["extra.weight"] = torch.zeros(1)
    with pytest.raises(BadInput, match=r"missing: mid_attn\.fn\.norm\.g; unexpected: extra\.weight"):
        import_checkpoint(saved(tmp_path, state), format="ir-sde")
    assert not own_folder.exists()


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    state = state_of(*TINY["refusion"])
    state["middle_blks.0.beta"] = torch.zeros(1, 5, 1, 1)
    with pytest.raises(BadInput, match=r"of another shape: middle_blks\.0\.beta \(1, 5, 1, 1\) for \(1, 32, 1, 1\)"):
        import_checkpoint(saved(tmp_path, state), format="refusion")


@pytest.mark.parametrize(("right", "wrong"), [("rddm", "resfusion"), ("resfusion", "ir-sde"), ("mrs", "ir-sde")])
def test_a_file_of_another_format_is_refused_with_the_one_it_fits(tmp_path: Path, right: str, wrong: str) -> None:
    with pytest.raises(BadInput, match=f"It fits --format {right}"):
        import_checkpoint(saved(tmp_path, state_of(*TINY[right])), format=wrong)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = state_of(*TINY["ir-sde"])
    state["final_conv.bias"][0] = float("nan")
    with pytest.raises(BadInput, match=r"final_conv\.bias holds values that are not finite"):
        import_checkpoint(saved(tmp_path, state), format="ir-sde")


def test_constants_that_contradict_the_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"says sum_scale 1\.0 and --set says 0\.01"):
        import_checkpoint(rddm_file(tmp_path), format="rddm", groups=8, settings={"sum_scale": 0.01})
    path = saved(tmp_path, state_of("resshift", SWIN), "net_s15_v1.pth")
    codec = saved(tmp_path, state_of("vqgan", CODEC), "vq.pth")
    with pytest.raises(BadInput, match="says steps 15 and --set says 4"):
        import_checkpoint(path, format="resshift", autoencoder=codec, settings={"steps": 4})


def test_a_schedule_that_no_known_constants_give_is_refused(tmp_path: Path) -> None:
    path = rddm_file(tmp_path)
    tree = torch.load(path, weights_only=True)
    tree["ema"]["ema_model.alphas_cumsum"] = torch.linspace(0, 1, 1000) ** 3
    torch.save(tree, path)
    with pytest.raises(BadInput, match="fit no schedule"):
        import_checkpoint(path, format="rddm", groups=8)


def test_an_objective_of_another_number_of_heads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="2 heads"):
        import_checkpoint(rddm_file(tmp_path), format="rddm", groups=8, settings={"objective": "res"})


def test_a_network_that_sees_no_measurement_is_refused(tmp_path: Path) -> None:
    state = state_of("resfusion", {**TINY["resfusion"][1], "channels_in": 3})
    with pytest.raises(BadInput, match="it generates pictures"):
        import_checkpoint(saved(tmp_path, state), format="resfusion", groups=8)


def test_resshift_asks_for_its_autoencoder_and_for_the_right_one(tmp_path: Path) -> None:
    path = saved(tmp_path, state_of("resshift", SWIN), "net_s4.pth")
    with pytest.raises(BadInput, match="--autoencoder FILE"):
        import_checkpoint(path, format="resshift")
    with pytest.raises(BadInput, match="latents of 3 channels, the autoencoder's have 4"):
        codec = saved(tmp_path, state_of("vqgan", {**CODEC, "embedding": 4}), "vq.pth")
        import_checkpoint(path, format="resshift", autoencoder=codec)


def test_an_unknown_format_or_constant_gets_a_suggestion(tmp_path: Path) -> None:
    path = saved(tmp_path, state_of(*TINY["ir-sde"]))
    with pytest.raises(BadInput, match="Did you mean 'ir-sde'"):
        import_checkpoint(path, format="irsde")
    with pytest.raises(BadInput, match="Did you mean 'max_sigma'"):
        import_checkpoint(path, format="ir-sde", settings={"maxsigma": 10})


def test_names_are_checked_and_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    path = saved(tmp_path, state_of(*TINY["ir-sde"]))
    with pytest.raises(BadInput, match="letters, digits"):
        import_checkpoint(path, format="ir-sde", name="../up")
    with pytest.raises(BadInput, match="a prior that ships"):
        import_checkpoint(path, format="ir-sde", name="natural")
    import_checkpoint(path, format="ir-sde", name="mine")
    with pytest.raises(BadInput, match="--overwrite"):
        import_checkpoint(path, format="ir-sde", name="mine")
    assert import_checkpoint(path, format="ir-sde", name="mine", overwrite=True).name == "mine"


def test_the_folder_of_priors_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert store.folder() == tmp_path / "priors"
    monkeypatch.delenv("RESTORE_PRIORS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert store.folder() == tmp_path / "data" / "restore" / "priors"
    assert store.stored() == {}


# -- in use -----------------------------------------------------------------------------------------------------------


def test_a_network_in_bfloat16_stays_near_itself(tmp_path: Path) -> None:
    prior = priors.load(import_checkpoint(saved(tmp_path, state_of(*TINY["ir-sde"])), format="ir-sde").name)
    x, y = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        exact = prior.network(x, torch.tensor([50.0]), y)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = prior.network(x, torch.tensor([50.0]), y).float()
    # bfloat16 keeps 8 bits; a dozen layers leave a few hundredths
    assert float((rounded - exact).norm() / exact.norm()) < 0.05


def test_a_problem_in_float64_is_answered_in_float64(tmp_path: Path) -> None:
    prior = priors.load(import_checkpoint(saved(tmp_path, state_of(*TINY["refusion"])), format="refusion").name)
    y = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    assert prior.predict(y, y, 100).x0.dtype == torch.float64


def test_an_imported_prior_restores_pictures_with_its_solver(tmp_path: Path) -> None:
    import restore

    picture = torch.rand(3, 22, 16)
    import_checkpoint(rddm_file(tmp_path), format="rddm", groups=8, name="drops")
    problem = restore.tasks.load("denoise").problem(picture, seed=0)
    result = restore.solve(problem, prior="drops", solver="rddm", seed=0)
    assert result.estimate.shape == (1, 3, 22, 16) and bool(torch.isfinite(result.estimate).all())
    assert result.nfe == 5


def test_a_latent_prior_restores_pictures_whose_sides_fit_no_latent(tmp_path: Path) -> None:
    import restore
    from restore.problem import Problem

    full = saved(tmp_path, state_of("resshift", {**SWIN, "lq_stages": 2}), "full_s4.pth")
    codec = saved(tmp_path, state_of("vqgan", CODEC), "vq.pth")
    import_checkpoint(full, format="resshift", autoencoder=codec, name="faces")
    problem = restore.tasks.load("denoise").problem(torch.rand(3, 21, 18), seed=0)
    assert isinstance(problem, Problem)
    result = restore.solve(problem, prior="faces", solver="resshift", seed=0)
    assert result.estimate.shape == (1, 3, 21, 18) and result.nfe == 4


def test_a_network_that_takes_a_mask_is_told_what_is_missing(tmp_path: Path) -> None:
    settings = {**TINY["resfusion"][1], "channels_in": 8}
    prior = priors.load(
        import_checkpoint(saved(tmp_path, state_of("resfusion", settings)), format="resfusion", groups=8).name
    )
    y, observed = torch.rand(1, 3, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool)
    observed[..., :4] = False
    seen = prior.condition(y, y, observed)
    assert seen.shape == (1, 5, 8, 8) and seen[0, 4, 0].tolist() == [1.0] * 4 + [-1.0] * 4
    assert prior.predict(y, y, 2, condition=seen).x0.shape == y.shape


@pytest.mark.parametrize("stages", [0, 2])
def test_a_latent_prior_runs_in_tiles_that_agree_where_the_network_sees_no_border(tmp_path: Path, stages: int) -> None:
    from priors.tiling import tiled

    net = saved(tmp_path, state_of("resshift", {**SWIN, "lq_stages": stages}), "net_s4.pth")
    codec = saved(tmp_path, state_of("vqgan", CODEC), "vq.pth")
    prior = priors.load(import_checkpoint(net, format="resshift", autoencoder=codec).name)
    y_up = torch.rand(1, 3, 128, 96)
    seen = prior.condition(y_up[..., ::4, ::4], y_up)
    latent = torch.randn(1, 3, 32, 24)
    whole = prior.predict(latent, latent, 2, condition=seen).x0
    parts = tiled(prior, tile=16, overlap=8).predict(latent, latent, 2, condition=seen).x0
    assert parts.shape == whole.shape and bool(torch.isfinite(parts).all())
    # group norms see a tile's own mean and variance, so tiles agree in kind and not to the digit
    assert float(torch.corrcoef(torch.stack([parts.flatten(), whole.flatten()]))[0, 1]) > 0.9
