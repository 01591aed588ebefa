"""Blind-spot networks: what they see, how pictures are shuffled for them, their losses, and released files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from import_helpers import recorded_nets
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import priors
from operators import BadInput, Identity, NoiseSource
from operators.common.randomness import Tape
from operators.noise import Gaussian
from priors.files.importing.convert import import_checkpoint
from priors.networks.blindspot import BlindSpotNetwork, offsets
from priors.networks.official.cbsn import recognise, translated
from priors.selfsupervised import shuffling
from priors.selfsupervised.blindspot import (
    ConditionalBlindSpot,
    ShuffledBlindSpot,
    SubSampledBlindSpot,
    conditional_losses,
    cyclic_loss,
    hidden_loss,
    hide,
    shuffled_loss,
    standardised,
)
from restore import solvers
from restore.problem import Problem


@pytest.fixture
def recorded(reference) -> Mapping[str, Tensor]:
    return {key: torch.from_numpy(value) for key, value in reference("blindspot").items()}


@pytest.fixture
def nets() -> Path:
    return recorded_nets()


@pytest.fixture
def network(nets: Path) -> BlindSpotNetwork:
    network = BlindSpotNetwork(channels=3, features=8, modules=2)
    network.load_state_dict(load_file(nets / "dbsnl_c8_m2.safetensors"))
    return network.requires_grad_(False)


@pytest.fixture
def conditional(nets: Path) -> BlindSpotNetwork:
    weights = translated(load_file(nets / "cbsn_c8_m2_tf.safetensors"))
    network = BlindSpotNetwork(**recognise({key: tuple(value.shape) for key, value in weights.items()}))
    network.load_state_dict(dict(weights))
    return network.requires_grad_(False)


def near(found: Tensor, wanted: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found.double(), wanted.double(), rtol=0, atol=atol)


# -- what the network sees --------------------------------------------------------------------------------------------


def slope_at_the_centre(network: nn.Module, side: int, masked: bool) -> Tensor:
    """|d answer at the centre / d input|, summed over channels (side x side), of a random picture."""
    x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).requires_grad_()
    answer = network(x, masked=masked)[0, :, side // 2, side // 2].sum()
    return torch.autograd.grad(answer, x)[0].abs().sum((0, 1))


@pytest.mark.parametrize(("modules", "rectified"), [(1, False), (2, False), (2, True), (4, False)])
def test_no_answer_sees_its_own_pixel_and_it_sees_all_that_was_predicted(modules: int, rectified: bool) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(modules)
        network = BlindSpotNetwork(channels=3, features=4, modules=modules, rectified=rectified)
    for weight in network.parameters():
        weight.data.abs_().add_(1e-3)  # positive weights: no path is cut by a rectifier or by cancellation
    reach = 2 + 3 * modules
    side = 2 * reach + 3
    slope = slope_at_the_centre(network, side, masked=True)
    predicted = torch.zeros(side, side, dtype=torch.bool)
    for dy, dx in offsets(modules):
        predicted[side // 2 + dy, side // 2 + dx] = True
    assert float(slope[side // 2, side // 2]) == 0.0
    assert torch.equal(slope > 0, predicted)
    assert float(slope_at_the_centre(network, side, masked=False)[side // 2, side // 2]) > 0


def test_the_predicted_support_is_the_recorded_one(recorded: Mapping[str, Tensor]) -> None:
    support = torch.zeros(33, 33, dtype=torch.bool)
    for dy, dx in offsets(2):
        support[16 + dy, 16 + dx] = True
    assert torch.equal(support, recorded["blind_support_m2"]) and len(offsets(2)) == 272


def test_the_centre_learns_from_seeing_passes_alone() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = BlindSpotNetwork(channels=1, features=16, modules=1)
    centre = network.branch1.body[0].weight
    x = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    for masked in (True, False):
        network.zero_grad()
        network(x, masked=masked).square().sum().backward()
        assert bool((centre.grad[..., 1, 1] == 0).all()) == masked


def test_the_published_width_has_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        network = BlindSpotNetwork()
    assert sum(p.numel() for p in network.parameters()) == 3_656_131


def test_the_prior_is_blind_at_full_resolution_and_on_mosaics() -> None:
    y = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    prior = ShuffledBlindSpot(steps=1, batch=1, crop=15, width=16, modules=1)
    problem = Problem(y, Identity((1, 16, 16)), Gaussian(sigma=0.1))
    fitted = prior.fit(problem, NoiseSource(0, problem.image_ids), lambda *_: None)
    moved = y.clone()
    moved[0, 0, 7, 8] += 0.3
    for answer in (fitted.predict, lambda x: fitted.predict_shuffled(x, factor=2, pad=2)):
        change = (answer(moved) - answer(y)).abs()[0, 0]
        assert float(change[7, 8]) == 0.0 and float(change.max()) > 0


# -- recorded networks, shuffles and losses ---------------------------------------------------------------------------


def test_the_network_computes_what_was_recorded(recorded, network) -> None:
    near(network(recorded["dbsnl_in"]), recorded["dbsnl_out"])


@pytest.mark.parametrize("case", "abcd")
def test_mosaics_are_the_recorded_ones_and_come_back(recorded, case: str) -> None:
    picture, factor, pad = (recorded[f"pd_{case}_{part}"] for part in ("in", "f", "pad"))
    shuffled = shuffling.mosaic(picture, int(factor), int(pad))
    assert torch.equal(shuffled, recorded[f"pd_{case}_down"])
    assert torch.equal(shuffling.unmosaic(shuffled, int(factor), int(pad)), picture)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_batches_of_sub_pictures_come_back(factor: int) -> None:
    x = torch.rand(2, 3, 4 * factor, 3 * factor)
    assert torch.equal(shuffling.from_batch(shuffling.to_batch(x, factor), factor), x)


def ap_prior(network: BlindSpotNetwork) -> ShuffledBlindSpot:
    return ShuffledBlindSpot().around(network, 3, 0.0, 1.0)


def test_ap_bsn_gives_the_recorded_answers_and_loss(recorded, network) -> None:
    prior, x = ap_prior(network), recorded["ap_in"]
    for factor in (5, 2):
        near(prior.predict_shuffled(x, factor=factor, pad=2), recorded[f"ap_forward_pd{factor}"])
    near(prior.predict_shuffled(x, factor=1, pad=2), recorded["ap_forward_pd1"])
    near(shuffled_loss(network, x, 5, 2), recorded["ap_self_l1"], 1e-6)


def refine(network: BlindSpotNetwork, y: Tensor, uniform: Tensor, **settings: object) -> Tensor:
    problem = Problem(y, Identity(tuple(y.shape[1:])), Gaussian(sigma=0.1))
    solver = solvers.build("ap-bsn", steps=4, **settings)
    return list(solver.iterate(problem, ap_prior(network), Tape(uniform)))[-1].estimate


def test_the_refinement_is_replayed(recorded, network) -> None:
    near(refine(network, recorded["ap_in"], recorded["ap_r3_uniform"]), recorded["ap_r3_out"])


def test_odd_sizes_are_cropped_where_the_released_code_forgets_to(recorded, network) -> None:
    y, larger = recorded["ap_odd_in"], recorded["ap_odd_r3_out"]
    refined = refine(network, y, recorded["ap_odd_r3_uniform"])
    assert refined.shape == y.shape and larger.shape[-2:] == (22, 32)
    near(refined, larger[..., :21, :31])
    near(refine(network, y, torch.zeros(0), refined=False), recorded["ap_odd_no_r3_out"])


def test_sub_samples_and_the_cyclic_loss_are_the_recorded_ones(recorded, network) -> None:
    x = recorded["sdap_in"]
    orders = recorded["sdap_perms"].long().reshape(2, 4, 5, 25).movedim(-1, 1)
    samples = torch.stack([shuffling.picked(x, orders[:, j], 5) for j in range(25)])
    assert torch.equal(samples, recorded["sdap_sub"])
    near(cyclic_loss(network, x, orders), recorded["sdap_cyclic_l1_sum"], 1e-4)


def test_a_random_order_visits_every_pixel_of_a_cell_once() -> None:
    orders = shuffling.permutations(2, 10, 15, 5, torch.Generator().manual_seed(0))
    assert torch.equal(orders.sort(1).values, torch.arange(25).reshape(1, 25, 1, 1).expand(2, 25, 2, 3))


def test_sdap_gives_the_recorded_answers(recorded, network) -> None:
    y = recorded["ap_in"]
    prior = SubSampledBlindSpot().around(network, 3, 0.0, 1.0)
    assert torch.equal(shuffling.to_batch(y, 2), recorded["sdap_unshuffle2"])
    problem = Problem(y, Identity(tuple(y.shape[1:])), Gaussian(sigma=0.1))
    for enhanced, wanted in ((False, "sdap_infer"), (True, "sdap_infer_enhanced")):
        (state,) = solvers.build("sdap", enhanced=enhanced).iterate(problem, prior, Tape([]))
        near(state.estimate, recorded[wanted])


def channels_first(x: Tensor) -> Tensor:
    return x.movedim(-1, 1)


def test_one_set_of_weights_is_blind_and_seeing_as_recorded(recorded, conditional) -> None:
    x = channels_first(recorded["cbsn_in"]).contiguous()
    near(conditional(x, masked=True), channels_first(recorded["cbsn_masked_full"]), 2e-6)
    near(conditional(x, masked=False), channels_first(recorded["cbsn_unmasked"]), 2e-6)
    batch = shuffling.to_batch(x, 5)
    assert torch.equal(batch, channels_first(recorded["cbsn_s2b5"]))
    near(shuffling.from_batch(conditional(batch), 5), channels_first(recorded["cbsn_masked_s2b"]), 2e-6)
    assert torch.equal(shuffling.mosaic(x, 5), channels_first(recorded["cbsn_pd5"]))


@pytest.mark.parametrize("masked", [True, False])
def test_the_recorded_gradients_at_the_centre_are_met(recorded, conditional, masked: bool) -> None:
    x = channels_first(recorded["cbsn_in"]).contiguous().requires_grad_()
    slope = torch.autograd.grad(conditional(x, masked=masked)[0, :, 10, 15].sum(), x)[0]
    found = slope.abs().sum(1)[0]
    near(found, recorded[f"cbsn_grad_centre_{'masked' if masked else 'unmasked'}"])
    assert (float(found[10, 15]) == 0.0) == masked


def test_the_three_losses_of_c_bsn_are_the_recorded_ones(recorded, conditional) -> None:
    x = channels_first(recorded["cbsn_in"]).contiguous()
    choice = recorded["cbsn_mask"].long().reshape(2, 10, 15)
    assert torch.equal(shuffling.picked(x, choice, 2), channels_first(recorded["cbsn_sub2"]))
    blind, tied, seeing = conditional_losses(conditional, x, choice)
    near(blind, recorded["cbsn_loss_masked_self"], 2e-6)
    near(tied, recorded["cbsn_loss_reg"], 2e-6)
    near(seeing, recorded["cbsn_loss_unmasked_self"], 2e-6)


def test_the_blind_answer_of_the_tie_gives_no_gradient() -> None:
    network = BlindSpotNetwork(channels=1, features=16, modules=1, rectified=True)
    x, choice = torch.rand(1, 1, 10, 10), torch.zeros(1, 5, 5, dtype=torch.long)
    _, tied, _ = conditional_losses(network, x, choice)
    tied.backward()
    fixed = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    answer = network(x, masked=False)
    target = network(shuffling.picked(x, choice, 2), masked=True).detach()
    (shuffling.picked(answer, choice, 2) - target).abs().mean().backward()
    assert all(torch.allclose(p.grad, g) for p, g in zip(network.parameters(), fixed, strict=True))


def test_pictures_are_standardised_and_a_flat_one_stays_finite() -> None:
    x = torch.rand(2, 3, 8, 9)
    z, mean, deviation = standardised(x)
    near(z.mean((-2, -1)), torch.zeros(2, 3))
    near(mean + deviation * z, x)
    assert bool(torch.isfinite(standardised(torch.ones(1, 1, 4, 4))[0]).all())


# -- hidden pixels ----------------------------------------------------------------------------------------------------


def test_one_pixel_in_each_square_is_replaced_by_one_nearby() -> None:
    x = torch.arange(40 * 33, dtype=torch.float32).reshape(1, 1, 40, 33).repeat(2, 2, 1, 1)
    seen, hidden = hide(x, torch.Generator().manual_seed(0), side=8, radius=2)
    where = hidden.bool().expand_as(x)
    assert torch.equal(seen[~where], x[~where])
    assert float(hidden[:, :, :40, :32].reshape(2, 5, 8, 4, 8).sum((2, 4)).max()) == 1.0
    rows, columns = (seen[where] // 33 - x[where] // 33, seen[where] % 33 - x[where] % 33)
    assert int(rows.abs().max()) <= 2 and int(columns.abs().max()) <= 2
    assert torch.equal(seen[:, 0], seen[:, 1])  # all channels from the same place


def test_only_hidden_pixels_cost_anything() -> None:
    noisy, answer = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    hidden = torch.zeros(1, 1, 4, 4)
    hidden[0, 0, 1, 1] = 1
    answer[:, :, 1, 1] = 3.0
    assert float(hidden_loss(answer, noisy, hidden, "squared")) == 9.0
    assert float(hidden_loss(answer, noisy, hidden, "absolute")) == 3.0
    assert float(hidden_loss(answer, noisy, torch.zeros_like(hidden), "squared")) == 0.0


# -- released files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_PRIORS", str(tmp_path / "priors"))
    return tmp_path


def test_a_released_ap_bsn_works_on_grey_levels(nets, folder, recorded) -> None:
    weights = load_file(nets / "dbsnl_c8_m2.safetensors")
    file = folder / "APBSN_SIDD.pth"
    torch.save({"epoch": 20, "model_weight": {"denoiser": {f"bsn.{k}": v for k, v in weights.items()}}}, file)
    prior = priors.load(import_checkpoint(file, format="ap-bsn", name="released").name)
    assert isinstance(prior, ShuffledBlindSpot) and prior.fit_key is None
    near(prior.predict(recorded["dbsnl_in"] / 255), recorded["dbsnl_out"] / 255)
    assert "ap-bsn" in (folder / "priors" / "released.md").read_text("utf-8")


def test_a_released_sdap_and_c_bsn_come_in(nets, folder, recorded) -> None:
    prior = priors.load(import_checkpoint(nets / "dbsnl_c8_m2.safetensors", format="sdap", name="s").name)
    assert isinstance(prior, SubSampledBlindSpot)
    near(prior.predict(recorded["dbsnl_in"]), recorded["dbsnl_out"])
    prior = priors.load(import_checkpoint(nets / "cbsn_c8_m2_tf.safetensors", format="c-bsn", name="c").name)
    assert isinstance(prior, ConditionalBlindSpot)
    x = standardised(channels_first(recorded["cbsn_in"]).contiguous())[0]
    near(prior.predict(x, margin=0), prior.network(x, masked=False), 1e-4)


def test_a_file_of_another_network_is_refused_by_the_keys_it_lacks(nets, folder) -> None:
    weights = load_file(nets / "dbsnl_c8_m2.safetensors")
    del weights["tail.4.bias"]
    save_file(weights, folder / "broken.safetensors")
    with pytest.raises(BadInput, match=r"tail\.4\.bias"):
        import_checkpoint(folder / "broken.safetensors", format="ap-bsn", name="x")
    with pytest.raises(BadInput, match="no network of format 'c-bsn'"):
        import_checkpoint(folder / "broken.safetensors", format="c-bsn", name="x")
