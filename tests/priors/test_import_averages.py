"""Averaged weights in a checkpoint: taken under every name that trainers write, or the file is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from import_helpers import SWIN
from torch import Tensor, nn

from operators.common.errors import BadInput
from priors.files.checkpoints import ARCHITECTURES, load_network
from priors.files.importing import places
from priors.files.importing.convert import Imported, import_checkpoint
from restore.cli import main

State = dict[str, Tensor]
Tree = Callable[[State, State], Any]

TINY: dict[str, Any] = {"channels": 3, "channels_in": 3, "widths": (4, 8)}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTORE_PRIORS", str(tmp_path / "priors"))


def states(architecture: str = "ir-sde", settings: dict[str, Any] = TINY) -> tuple[State, State]:
    """(raw, averaged): the second differs in every parameter."""
    network: nn.Module = ARCHITECTURES.build(architecture, **settings)
    trained = {key for key, _ in network.named_parameters()}
    raw = {key: value.detach().clone() for key, value in network.state_dict().items()}
    return raw, {key: value * 0.5 + 0.01 if key in trained else value for key, value in raw.items()}


def under(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


def squeezed(prefix: str, state: State, dot: str = "") -> State:
    return {prefix + key.replace(".", dot): value for key, value in state.items()}


def imported(folder: Path, tree: Any, *, format: str = "ir-sde", **options: Any) -> tuple[State, Imported]:
    path = folder / "model.pt"
    torch.save(tree, path)
    made = import_checkpoint(path, format=format, name="x", overwrite=True, **options)
    return load_network(made.path).network.state_dict(), made


def same(found: State, wanted: State) -> bool:
    return set(found) == set(wanted) and all(torch.equal(found[key], value) for key, value in wanted.items())


def numbered(state: State) -> list[Tensor]:
    return list(state.values())


def nested(state: State) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in state.items():
        *names, last = key.split(".")
        inner = tree
        for name in names:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return tree


LIT = {"model_ema.decay": torch.tensor(0.9), "model_ema.num_updates": torch.tensor(5)}
TORCH_SWA = {"n_averaged": torch.tensor(3)}

WRITTEN: dict[str, Tree] = {
    # prefixes in one dictionary
    "ema_model.": lambda raw, avg: {**under("model.", raw), **under("ema_model.", avg)},
    "ema.": lambda raw, avg: {**under("model.", raw), **under("ema.", avg)},
    "ema. beside bare keys": lambda raw, avg: {**raw, **under("ema.", avg)},
    "model_ema.": lambda raw, avg: {**under("model.", raw), **under("model_ema.", avg)},
    "model_ema.module.": lambda raw, avg: {**under("model.", raw), **under("model_ema.module.", avg)},
    "module.model_ema.": lambda raw, avg: {**under("module.model.", raw), **under("module.model_ema.", avg)},
    "ema_denoise_fn.": lambda raw, avg: {**under("denoise_fn.", raw), **under("ema_denoise_fn.", avg)},
    "generator_ema.": lambda raw, avg: {"state_dict": {**under("generator.", raw), **under("generator_ema.", avg)}},
    "ema.ema_model.": lambda raw, avg: {
        **under("net.", raw),
        **under("ema.online_model.", raw),
        **under("ema.ema_model.", avg),
    },
    "ema_KEY": lambda raw, avg: {**raw, **under("ema_", avg)},
    "KEY_ema": lambda raw, avg: {**raw, **{key + "_ema": value for key, value in avg.items()}},
    "LitEma": lambda raw, avg: {
        "state_dict": {
            **under("model.diffusion_model.", raw),
            **LIT,
            **squeezed("model_ema.", under("diffusion_model.", avg)),
        }
    },
    "LitEma of the network": lambda raw, avg: {
        "state_dict": {**under("model.", raw), **LIT, **squeezed("model_ema.", avg)}
    },
    # dictionaries
    "ema": lambda raw, avg: {"model": raw, "ema": avg},
    "params_ema": lambda raw, avg: {"params": raw, "params_ema": avg},
    "ema_state_dict": lambda raw, avg: {"state_dict": raw, "ema_state_dict": avg},
    "state_dict_ema": lambda raw, avg: {"state_dict": raw, "state_dict_ema": avg},
    "model_ema": lambda raw, avg: {"model": raw, "model_ema": {"state_dict": under("module.", avg), "decay": 0.9}},
    "model_non_ema": lambda raw, avg: {"model_non_ema": raw, "model_ema": avg},
    "shadow": lambda raw, avg: {"model": raw, "shadow": avg},
    "ema_shadow": lambda raw, avg: {"state_dict": raw, "ema_shadow": avg},
    "ema/shadow": lambda raw, avg: {"model": raw, "ema": {"shadow": avg, "backup": raw, "decay": 0.9}},
    "ema_helper": lambda raw, avg: {"state_dict": under("module.", raw), "ema_helper": avg},
    "netG_EMA": lambda raw, avg: {"netG": raw, "netG_EMA": avg},
    "modelema": lambda raw, avg: {"model": raw, "modelema": avg},
    "extra_state/ema": lambda raw, avg: {"model": raw, "extra_state": {"ema": avg}},
    "ema/0.9999": lambda raw, avg: {"model": raw, "ema": {"0.9999": avg}},
    "ema_0.9999": lambda raw, avg: {"model": raw, "ema_0.9999": avg},
    "ema by modules": lambda raw, avg: {"model": raw, "ema": nested(avg)},
    "averaged_model": lambda raw, avg: {"model": raw, "averaged_model": {**TORCH_SWA, **under("module.", avg)}},
    "AveragedModel under any name": lambda raw, avg: {"model": raw, "other": {**TORCH_SWA, **under("module.", avg)}},
    "StochasticWeightAveraging": lambda raw, avg: {
        "state_dict": under("net.", raw),
        "callbacks": {"StochasticWeightAveraging": {"n_averaged": 3, "average_model_state": under("net.", avg)}},
    },
    "EMA callback": lambda raw, avg: {
        "state_dict": under("net.", raw),
        "callbacks": {"EMACallback": {"ema_state_dict": under("net.", avg)}},
    },
    # the average under the usual name
    "WeightAveraging": lambda raw, avg: {
        "state_dict": under("net.", avg),
        "current_model_state": under("net.", raw),
        "averaging_state": {"n_averaged": torch.tensor(3)},
    },
    "MMEngine": lambda raw, avg: {
        "meta": {"mmengine_version": "0.10"},
        "state_dict": avg,
        "ema_state_dict": {**under("module.", raw), "steps": torch.tensor(4)},
    },
    # lists in the order of the parameters
    "torch_ema": lambda raw, avg: {
        "model": under("module.", raw),
        "ema": {"num_updates": 5, "shadow_params": numbered(avg), "collected_params": numbered(raw)},
    },
    "diffusers": lambda raw, avg: {
        "state_dict": raw,
        "ema": {"decay": 0.9, "optimization_step": 5, "shadow_params": numbered(avg)},
    },
    "list of a whole module": lambda raw, avg: {
        "state_dict": {"first.weight": torch.ones(2), **under("model.", raw), "last.weight": torch.ones(3)},
        "ema": [torch.ones(2), *avg.values(), torch.ones(3)],
    },
    "parameter list": lambda raw, avg: {
        **under("model.", raw),
        **{f"ema.shadow_params.{index}": value for index, value in enumerate(avg.values())},
    },
    "list in the optimizer": lambda raw, avg: {
        "state_dict": raw,
        "optimizer_states": [{"opt": {"state": {0: {"exp_avg": torch.ones(3)}}}, "ema": tuple(avg.values())}],
    },
    "ema of each parameter in the optimizer": lambda raw, avg: {
        "model": raw,
        "optimizer": {"state": {i: {"exp_avg": 2 * v, "ema": v} for i, v in enumerate(avg.values())}},
    },
}


@pytest.mark.parametrize("name", WRITTEN)
def test_averaged_weights_are_preferred_under_every_name_and_the_choice_is_said(tmp_path: Path, name: str) -> None:
    raw, avg = states()
    tree = WRITTEN[name](raw, avg)
    found, made = imported(tmp_path, tree)
    assert same(found, avg)
    assert len(made.chosen) == 1 and made.chosen[0].startswith("averaged weights of ")
    assert "--weights raw" in made.chosen[0] and made.chosen[0] in made.card.read_text("utf-8")
    found, made = imported(tmp_path, tree, weights="raw")
    assert same(found, raw) and made.chosen[0].startswith("raw weights of ")


def whole_but(avg: State, count: int) -> State:
    return dict(list(avg.items())[count:])


REFUSED: dict[str, tuple[str, Tree]] = {
    "lacks keys": (r"lacks 3 of \d+ parameters \(init_conv", lambda raw, avg: {"model": raw, "ema": whole_but(avg, 3)}),
    "lacks most keys": (r"lacks", lambda raw, avg: {"model": raw, "ema": dict(list(avg.items())[-1:])}),
    "LitEma that lacks one": (
        r"lacks 1 of",
        lambda raw, avg: {**under("model.", raw), **squeezed("model_ema.", whole_but(avg, 1))},
    ),
    "other shapes": (
        r"1 of its tensors have other shapes .* \(init_conv",
        lambda raw, avg: {"model": raw, "ema": {**avg, "init_conv.weight": torch.ones(2, 2)}},
    ),
    "prefixes mixed": (
        r"different prefixes \(none, module\.\)",
        lambda raw, avg: {"model": raw, "ema": {("module." if i % 2 else "") + k: avg[k] for i, k in enumerate(avg)}},
    ),
    "list without names": (
        r"is an average of \d+ tensors without names: it needs the state_dict",
        lambda raw, avg: {"ema": {"shadow_params": numbered(avg)}},
    ),
    "list too short": (
        r"list of \d+ tensors without names and the network has",
        lambda raw, avg: {"model": raw, "ema": {"shadow_params": numbered(avg)[:-1]}},
    ),
    "list in another order": (
        r"number 0 of its list is",
        lambda raw, avg: {"model": raw, "ema": {"shadow_params": numbered(avg)[::-1]}},
    ),
    "unknown names": (
        r"its names, such as p0, are not the network's",
        lambda raw, avg: {"model": raw, "ema": {f"p{i}": value for i, value in enumerate(avg.values())}},
    ),
    "unknown marks": (
        r"cannot be used",
        lambda raw, avg: {**raw, **{key + ".ema": value for key, value in avg.items()}},
    ),
    "two averages": (r"several averages that differ", lambda raw, avg: {"model": raw, "ema_a": avg, "ema_b": raw}),
    "two decays": (
        r"several networks \(0\.99\., 0\.9999\.\)",
        lambda raw, avg: {"model": raw, "ema": {"0.99": raw, "0.9999": avg}},
    ),
    "two in a module list": (
        r"several networks \(0\., 1\.\)",
        lambda raw, avg: {**under("model.", raw), **under("ema_models.0.", avg), **under("ema_models.1.", raw)},
    ),
    "two without a word": (r"several networks that differ", lambda raw, avg: [raw, {"state": {}}, 7, avg]),
    "a copy under an unknown name": (
        r"holds the network twice, in model and in slow_copy_of",
        lambda raw, avg: {**under("model.", raw), **under("slow_copy_of.", avg)},
    ),
    "teacher and student": (
        r"several networks that differ: student and teacher",
        lambda raw, avg: {"student": raw, "teacher": avg},
    ),
    "AveragedModel before its first": (
        r"never updated \(n_averaged is 0\)",
        lambda raw, avg: {"model": raw, "swa": {"n_averaged": torch.tensor(0), **under("module.", avg)}},
    ),
    "torch_ema before its first": (
        r"never updated \(num_updates is 0\)",
        lambda raw, avg: {"model": raw, "ema": {"num_updates": 0, "shadow_params": numbered(avg)}},
    ),
    "WeightAveraging before its first": (
        r"never updated \(n_averaged is 0\)",
        lambda raw, avg: {
            "state_dict": avg,
            "current_model_state": raw,
            "averaging_state": {"n_averaged": torch.tensor(0)},
        },
    ),
    "LitEma before its first": (
        r"never updated \(model_ema\.num_updates is 0\)",
        lambda raw, avg: {
            **under("model.", raw),
            **squeezed("model_ema.", avg),
            "model_ema.num_updates": torch.tensor(0),
        },
    ),
    "MMCV": (r"MMCV, which swaps", lambda raw, avg: {"state_dict": {**raw, **squeezed("ema_", avg, "_")}}),
    "not finite": (
        r"not finite",
        lambda raw, avg: {"model": raw, "ema": {key: value * float("nan") for key, value in avg.items()}},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_average_that_cannot_be_used_refuses_the_file_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    why, tree = REFUSED[name]
    with pytest.raises(BadInput, match=why):
        imported(tmp_path, tree(*states()))
    assert not (tmp_path / "priors").exists()


def test_a_faulty_average_beside_a_whole_one_is_said(tmp_path: Path) -> None:
    raw, avg = states()
    found, made = imported(tmp_path, {"model": raw, "ema": avg, "ema_old": whole_but(raw, 3)})
    assert same(found, avg) and "ema_old holds an average that cannot be used" in made.chosen[0]


def test_a_copy_under_an_unknown_name_is_left_where_the_raw_weights_are_asked_for(tmp_path: Path) -> None:
    raw, avg = states()
    tree = {**under("model.", raw), **under("slow_copy_of.", avg)}
    assert same(imported(tmp_path, tree, weights="raw")[0], raw)
    assert same(imported(tmp_path, {**under("model.", raw), **under("slow_copy_of.", raw)})[0], raw)


def test_weights_are_chosen_by_name_only_where_the_file_has_them(tmp_path: Path) -> None:
    raw, avg = states()
    with pytest.raises(BadInput, match="no name in .* says averaged"):
        imported(tmp_path, raw, weights="averaged")
    with pytest.raises(BadInput, match="holds averaged weights only"):
        imported(tmp_path, {"ema": avg}, weights="raw")
    with pytest.raises(BadInput, match="wanted averaged or raw"):
        imported(tmp_path, raw, weights="mean")
    found, made = imported(tmp_path, {"ema": avg}, weights="averaged")
    assert same(found, avg) and made.chosen == ()
    _, made = imported(tmp_path, {"model": raw})
    assert made.chosen == () and "- weights: the only ones" in made.card.read_text("utf-8")


def test_the_moments_of_an_optimizer_are_no_average(tmp_path: Path) -> None:
    raw, avg = states()
    moments = {i: {"exp_avg": v, "exp_avg_sq": v} for i, v in enumerate(avg.values())}
    found, made = imported(tmp_path, {"model": raw, "optimizer": {"state": moments}, "optim_avg": numbered(avg)})
    assert same(found, raw) and made.chosen == ()


def test_other_things_that_are_averaged_do_not_matter(tmp_path: Path) -> None:
    raw, _ = states()
    rest = {
        "ema_losses": [torch.tensor(1.0), torch.tensor(2.0)],
        "avg_meter": {"loss": torch.tensor(1.0)},
        "callbacks": {"Best{'monitor': 'ema_psnr'}": {"best_model_score": torch.tensor(30.0)}},
        "n_averaged": 4,
        "ema_codebook": {"vectors": torch.ones(7, 3)},
    }
    found, made = imported(tmp_path, {"model": raw, **rest})
    assert same(found, raw) and made.chosen == ()


def test_averages_of_an_autoencoder_are_taken_and_said(tmp_path: Path) -> None:
    codec = {
        "channels": 3,
        "width": 32,
        "multipliers": (1, 2),
        "blocks": (1, 1),
        "latent": 3,
        "embedding": 3,
        "codes": 8,
    }
    raw, avg = states("vqgan", codec)
    file, net = tmp_path / "vq.pth", tmp_path / "net_s4.pth"
    torch.save({"state_dict": {**under("first_stage_model.", raw), **under("model_ema.first_stage_model.", avg)}}, file)
    torch.save(states("resshift", SWIN)[0], net)
    made = import_checkpoint(net, format="resshift", autoencoder=file, name="x")
    stored = load_network(made.path).network.state_dict()
    assert same({k.removeprefix("autoencoder."): v for k, v in stored.items() if k.startswith("auto")}, avg)
    assert made.chosen[0].startswith("autoencoder: averaged weights of state_dict model_ema")
    made = import_checkpoint(net, format="resshift", autoencoder=file, name="x", overwrite=True, weights="raw")
    stored = load_network(made.path).network.state_dict()
    assert same({k.removeprefix("autoencoder."): v for k, v in stored.items() if k.startswith("auto")}, raw)


@pytest.mark.parametrize(
    "write",
    [
        lambda avg: squeezed("model_ema.", avg),
        lambda avg: {f"ema.shadow_params.{i}": value for i, value in enumerate(avg.values())},
        lambda avg: under("ema.", avg),
    ],
)
def test_buffers_that_an_average_leaves_out_come_from_the_raw_weights(
    tmp_path: Path, write: Callable[[State], State]
) -> None:
    raw, avg = states("resshift", SWIN)
    buffers = {"attn_mask", "relative_position_index"}
    trained = {key: value for key, value in avg.items() if key.rpartition(".")[2] not in buffers}
    assert len(trained) < len(avg)
    tree = {"state_dict": {**under("model.", raw), **write(trained)}}
    path = tmp_path / "net_s4.pth"
    torch.save(tree, path)
    made = import_checkpoint(path, format="resshift", autoencoder=Path("none"), name="x")
    assert same(load_network(made.path).network.state_dict(), avg)
    assert "the buffers are the raw ones" in made.chosen[0]


def test_containers_that_hold_each_other_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, avg = states()
    tree: dict[str, Any] = {"model": raw, "ema": avg}
    tree["self"] = tree
    found, _ = imported(tmp_path, tree)
    assert same(found, avg)
    monkeypatch.setattr(places, "MOST", 500)
    wide: list[Any] = []
    for _ in range(7):
        wide = [wide] * 9
    with pytest.raises(BadInput, match="more than 500 dictionaries and lists"):
        imported(tmp_path, {"model": raw, "rest": wide})


def test_the_command_says_which_weights_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, avg = states()
    path = tmp_path / "model.pt"
    torch.save({"params": raw, "params_ema": avg}, path)
    assert main(["import", str(path), "--format", "ir-sde"]) == 0
    assert "took averaged weights of params_ema; params holds the raw ones (--weights raw)" in capsys.readouterr().err
    assert main(["import", str(path), "--format", "ir-sde", "--name", "r", "--weights", "raw"]) == 0
    assert "took raw weights of params, as asked; params_ema holds averaged ones" in capsys.readouterr().err
