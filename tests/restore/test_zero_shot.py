"""Methods that train on the one noisy picture: their constructions against recorded values, and what they take away."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

import restore
from operators import BadInput, Identity, NoiseSource
from operators.noise import Gaussian
from restore import solvers
from restore.problem import Problem
from restore.solvers.parts.small_networks import SmallNetworks
from restore.solvers.selfsupervised.mash import deviations, kept, masked_loss, ratio_for, shuffled
from restore.solvers.selfsupervised.pixel2pixel import another, bank_of, chosen, pixel_network
from restore.solvers.selfsupervised.zs_n2n import halves, pair_losses, small_network


@pytest.fixture
def recorded(reference) -> Mapping[str, Tensor]:
    wanted = ("zs_", "p2p_", "mash_")
    return {key: torch.from_numpy(value) for key, value in reference("noisy_data").items() if key.startswith(wanted)}


def near(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found.double(), wanted.double(), rtol=0, atol=1e-10)


# -- ZS-N2N -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["zs_in", "zs_odd_in"])
def test_the_halves_are_the_diagonals_of_every_cell(recorded, case: str) -> None:
    first, second = halves(recorded[case])
    near(first, recorded[case.replace("in", "d1")])
    near(second, recorded[case.replace("in", "d2")])


def test_the_halves_of_a_volume_have_the_same_centres_and_different_noise() -> None:
    volume = torch.rand(1, 1, 4, 6, 5, dtype=torch.float64)
    first, second = halves(volume)
    cell = volume[0, 0, :2, :2, :2]
    odd = [cell[z, y, x] for z in (0, 1) for y in (0, 1) for x in (0, 1) if (z + y + x) % 2]
    near(first[0, 0, 0, 0, 0], sum(odd) / 4)
    near((first + second)[0, 0, 0, 0, 0] / 2, cell.mean())
    plane = torch.stack(torch.meshgrid(*[torch.arange(4.0)] * 3, indexing="ij")).sum(0)[None, None]
    near(*halves(plane))  # whatever is linear is the same in both


def network_of(recorded: Mapping[str, Tensor]) -> torch.nn.Module:
    width, channels = recorded["zs_w1"].shape[:2]
    network = small_network(channels, width, axes=2).double()
    names = [f"zs_{part}{k}" for k in (1, 2, 3) for part in ("w", "b")]
    for parameter, name in zip(network.parameters(), names, strict=True):
        parameter.data = recorded[name].clone()
    return network


def test_loss_and_answer_of_zs_n2n_are_the_recorded_ones(recorded) -> None:
    network, y = network_of(recorded), recorded["zs_in"]
    residual, consistency = pair_losses(network, y)
    near(residual, recorded["zs_loss_res"])
    near(consistency, recorded["zs_loss_cons"])
    near(residual + consistency, recorded["zs_loss"])
    near(y - network(y), recorded["zs_out"])


def test_the_networks_have_the_published_numbers_of_weights() -> None:
    assert sum(p.numel() for p in small_network(3, 48, axes=2).parameters()) == 22_275
    assert sum(p.numel() for p in pixel_network(3, 64).parameters()) == 149_699


# -- Pixel2Pixel ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("distance", "wanted"), [("squared", "p2p_bank"), ("absolute", "p2p_bank_l1")])
def test_the_bank_is_the_recorded_one(recorded, distance: str, wanted: str) -> None:
    window, patch, count = (int(value) for value in recorded["p2p_window_patch_k"])
    bank, distances = bank_of(recorded["p2p_in"], window, patch, count, distance)
    near(bank.movedim(1, -1), recorded[wanted])
    if distance == "squared":
        near(distances, recorded["p2p_dist"])
    assert torch.equal(bank[0], recorded["p2p_in"])


def test_the_drawn_pair_is_the_recorded_one_and_never_twice_the_same(recorded) -> None:
    first, drawn, bank = recorded["p2p_index1"], recorded["p2p_index2_drawn"], recorded["p2p_bank"]
    second = another(first, drawn, len(bank))
    assert torch.equal(second, recorded["p2p_index2"]) and not bool((second == first).any())
    entries = bank.movedim(-1, 1)[:, None]
    for index, wanted in ((first, "p2p_pseudo1"), (second, "p2p_pseudo2")):
        near(chosen(entries, index[None, None])[0], recorded[wanted])


def test_the_bank_of_a_picture_smaller_than_its_window_is_whole() -> None:
    bank, _ = bank_of(torch.rand(1, 8, 9), 40, 7, 4)
    assert bank.shape == (4, 1, 8, 9) and bool(torch.isfinite(bank).all())


# -- MASH -------------------------------------------------------------------------------------------------------------


def test_mask_and_masked_loss_are_the_recorded_ones(recorded) -> None:
    mask = kept(recorded["mash_uniform"], float(recorded["mash_ratio"]))
    assert torch.equal(mask, recorded["mash_mask"].to(mask))
    near(masked_loss(recorded["mash_output"], recorded["mash_in"], mask), recorded["mash_loss"])
    residuals = [recorded[part] - recorded["mash_in"] for part in ("mash_estimate", "mash_output")]
    near(torch.stack([(255 * residual).std(correction=0) for residual in residuals]), recorded["mash_gap_std"])


def test_flat_tiles_are_shuffled_as_recorded_and_textured_ones_stay(recorded) -> None:
    estimate, y = recorded["mash_estimate"][None], recorded["mash_in"][None]
    spread = deviations(estimate)
    torch.testing.assert_close(spread[0, 0], recorded["mash_std_map"], rtol=0, atol=1e-6)
    assert torch.equal(spread[0, 0] >= 0.5 * spread.max(), recorded["mash_textured"].bool())
    tiles = recorded["mash_perm_uniform"]  # one row of 16 numbers for each tile, in raster order
    drawn = tiles.reshape(4, 4, 4, 4).movedim(1, 2).reshape(1, 1, 16, 16)
    near(shuffled(y, estimate, drawn, 0.5), recorded["mash_shuffled"][None])


# -- what they do -----------------------------------------------------------------------------------------------------


def noisy_ramp(sigma: float = 0.1, *, side: int = 32, channels: int = 1) -> tuple[Tensor, Problem]:
    line = torch.linspace(0.2, 0.8, side)
    clean = ((line[:, None] + line) / 2).expand(1, channels, side, side)
    y = clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return clean, Problem(y, Identity(tuple(y.shape[1:])), Gaussian(sigma=sigma))


def last(name: str, problem: Problem, **settings: object) -> Tensor:
    source = NoiseSource(0, problem.image_ids)
    return list(solvers.build(name, **settings).iterate(problem, None, source))[-1].estimate


@pytest.mark.parametrize(
    ("name", "settings", "share"),
    [
        ("zs-n2n", {"steps": 120, "width": 16, "rate": 5e-3}, 0.35),
        ("pixel2pixel", {"steps": 100, "width": 12, "window": 12, "rate": 5e-3, "picks": 12}, 0.35),
        ("mash", {"steps": 60, "trial_steps": 5, "width": 6, "rate": 1e-2, "ratio": 0.5}, 0.5),
    ],
)
def test_it_takes_away_noise_it_was_never_shown_without(name: str, settings: dict[str, object], share: float) -> None:
    clean, problem = noisy_ramp()
    error = float((last(name, problem, **settings) - clean).square().mean())
    assert error < share * float((problem.y - clean).square().mean())


@pytest.mark.parametrize("name", ["zs-n2n", "pixel2pixel", "mash"])
def test_stacks_and_volumes_are_taken_slice_by_slice(name: str) -> None:
    y = torch.rand(1, 6, 8, 10, generator=torch.Generator().manual_seed(0))
    quick = {"steps": 2} | ({"trial_steps": 1, "width": 4} if name == "mash" else {})
    stack = Problem(y, Identity((6, 8, 10)), Gaussian(sigma=0.1))
    volume = Problem(y[:, None], Identity((1, 6, 8, 10)), Gaussian(sigma=0.1), image_ids=stack.image_ids)
    one, other = last(name, stack, **quick), last(name, volume, **quick)
    assert one.shape == y.shape
    torch.testing.assert_close(other[:, 0], one)


def test_the_channels_of_a_volume_stay_apart() -> None:
    y = torch.rand(2, 3, 4, 8, 10, generator=torch.Generator().manual_seed(0))
    problem = Problem(y, Identity((3, 4, 8, 10)), Gaussian(sigma=0.1))
    estimate = last("zs-n2n", problem, steps=1, rate=1e-9)
    slices = torch.stack([y[:, :, k] for k in range(4)], dim=2)
    assert estimate.shape == y.shape
    assert float((estimate - slices).abs().mean()) < float((estimate - slices.flip(2)).abs().mean())


def test_a_volume_may_be_seen_whole_by_those_that_can() -> None:
    y = torch.rand(1, 6, 8, 10, generator=torch.Generator().manual_seed(0))
    problem = Problem(y, Identity((6, 8, 10)), Gaussian(sigma=0.1))
    assert last("zs-n2n", problem, steps=2, stack="volume").shape == y.shape
    with pytest.raises(BadInput, match="slices"):
        last("mash", problem, steps=2, stack="volume")


def test_the_gap_of_the_trials_chooses_the_ratio() -> None:
    assert [ratio_for(gap) for gap in (0.0, 0.99, 1.0, 2.0, 2.01)] == [0.1, 0.1, 0.5, 0.5, 0.9]


def test_too_small_and_complex_pictures_are_refused() -> None:
    for y, words in ((torch.rand(1, 1, 7, 20), "7 x 20"), (torch.rand(1, 1, 8, 8) + 0j, "complex")):
        problem = Problem(y, Identity(tuple(y.shape[1:]), complex_values=y.is_complex()), Gaussian(sigma=0.1))
        with pytest.raises(BadInput, match=words):
            last("zs-n2n", problem, steps=1)


def test_first_weights_are_orthogonal_or_within_the_bound_of_torch() -> None:
    like = torch.zeros(2, 1, 8, 8, dtype=torch.float64)

    def shape() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Conv2d(5, 3, 1))

    uniform = SmallNetworks(shape, NoiseSource(0, ["a", "b"]), like, stream="w").weights
    assert all(float(uniform[0][f"0.{part}"].detach().abs().max()) <= 27**-0.5 for part in ("weight", "bias"))
    assert not torch.equal(uniform[0]["0.weight"], uniform[1]["0.weight"])
    orthogonal = SmallNetworks(shape, NoiseSource(0, ["a", "b"]), like, stream="w", first="orthogonal").weights[0]
    weights = {name: value.detach() for name, value in orthogonal.items()}
    rows = weights["0.weight"].reshape(5, -1)
    near(rows @ rows.T, torch.eye(5))
    columns = weights["1.weight"].reshape(3, 5)
    near(columns @ columns.T, torch.eye(3))
    assert float(weights["0.bias"].abs().max()) == 0


def test_a_large_picture_learns_the_same_inside_the_driver() -> None:
    clean, problem = noisy_ramp(side=72)
    solver = solvers.build("zs-n2n", steps=100, width=8, rate=1e-2)
    (*_, state) = solver.iterate(problem, None, NoiseSource(0, problem.image_ids))
    result = restore.solve(problem, solver=solver)
    torch.testing.assert_close(result.estimate, state.estimate, rtol=1e-4, atol=1e-4)
    assert float((result.estimate - clean).square().mean()) < 0.7 * float((problem.y - clean).square().mean())
