"""The autoencoder and the prior of its latents: sizes, grays, precision, how they are trained and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import operators
import priors
import restore
from operators import BadInput
from operators.common.space import Affine
from priors.files.checkpoints import load_network
from priors.files.embedded import from_file
from priors.latent.prior import latent_prior
from priors.networks.coder import Coder, LatentNetwork
from priors.training import recipe
from priors.training.latent import AutoencoderObjective, LatentObjective
from restore.driver import Settings

SMALL = {"latent": 8, "widths": (8, 12, 8, 12), "blocks": (1, 1, 1, 1)}
DENOISER = {"widths": (12, 16), "blocks": (1, 1), "embedding": 16}


def smooth(count: int, *size: int, seed: int = 0) -> Tensor:
    """Pictures of slow colour in [-1, 1]."""
    coarse = torch.rand(count, 3, 3, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True).clamp(-1, 1)


class Smooth:
    """Endless batches of them."""

    def batches(self, count: int, *, seed: int, start: int = 0):
        for index in itertools.count(start):
            yield smooth(count, 16, 16, seed=1000 * seed + index)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], recipe.TrainingRecipe]:
    """A shipped recipe with a small network and few steps."""

    def load(name: str, steps: int) -> recipe.TrainingRecipe:
        import dataclasses

        full = recipe.load(name, steps=steps, batch=4)
        return dataclasses.replace(full, network=DENOISER if full.coder else SMALL)

    return load


def network() -> LatentNetwork:
    torch.manual_seed(0)
    made = LatentNetwork(coder=SMALL, denoiser=DENOISER)
    for parameter in made.parameters():  # blocks that begin as the identity would hide mistakes
        parameter.data += 0.03 * torch.randn(parameter.shape)
    return made.eval()


# -- the coder --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_before_training_a_picture_comes_back_as_its_lowest_cosines() -> None:
    x = smooth(4, 32, 32)
    coder = Coder(**SMALL).eval()
    raw = coder.block_enter(x)
    coder.standard.running_mean.copy_(raw.mean((0, 2, 3)))
    coder.standard.running_var.copy_(torch.tensor([std**2 for std in (3.0, 0.5, 0.5, 1.2, 0.65, 0.3, 0.3, 0.3)]))
    miss = coder.decode(coder.encode(x)) - x
    shifted = miss - miss.mean((0, 2, 3), keepdim=True)  # the mean is the bias, which training moves
    assert float(shifted.square().mean().sqrt()) < 0.1 < 0.3 * float(x.std())


@pytest.mark.parametrize("size", [(16, 16), (13, 18), (5, 7), (1, 1)])
def test_any_size_has_latents_and_comes_back_at_its_size(size: tuple[int, int]) -> None:
    prior = latent_prior(network(), sigma_data=1.0)
    for channels in (3, 1):
        x = smooth(2, *size)[:, :channels] / 2 + 0.5
        space = prior.space.sized((channels, *size))
        z = space.back(x)
        assert z.shape == (2, 8, -(-size[0] // 4), -(-size[1] // 4)) == (2, *space.own_shape((channels, *size)))
        assert space.to(z).shape == x.shape
    gray = smooth(2, *size)[:, :1] / 2 + 0.5
    rgb = gray.expand(-1, 3, -1, -1)
    torch.testing.assert_close(prior.space.back(gray), prior.space.back(rgb))


def test_the_coder_treats_each_picture_for_itself_and_keeps_the_precision_of_what_it_is_given() -> None:
    space, x = latent_prior(network(), sigma_data=1.0).space, smooth(3, 16, 20)
    z = space.back(x)
    torch.testing.assert_close(space.back(x[1:2]), z[1:2], rtol=0, atol=1e-5)
    torch.testing.assert_close(space.to(z[1:2]), space.to(z)[1:2], rtol=0, atol=1e-5)
    double = space.back(x.double())
    assert double.dtype == torch.float64 and space.to(double).dtype == torch.float64
    torch.testing.assert_close(double.float(), z, rtol=0, atol=1e-5)


def test_gradients_pass_through_decoder_and_encoder() -> None:
    space, z = latent_prior(network(), sigma_data=1.0).space, torch.randn(1, 8, 4, 4)
    step = torch.randn(z.shape)

    def value(point: Tensor) -> Tensor:
        return space.back(space.to(point)).square().mean()

    point = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(value(point), point)
    with torch.no_grad():
        rise = (value(z + 1e-2 * step) - value(z - 1e-2 * step)) / 2e-2
    assert float((slope * step).sum()) == pytest.approx(float(rise), rel=0.05)


# -- training ---------------------------------------------------------------------------------------------------------


def test_the_two_recipes_make_a_prior_one_after_the_other(small: Callable, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="latent-coder"):
        from_file(recipe.train(small("latent-coder", 40), Smooth(), out=tmp_path), name="coder")
    coder = load_network(tmp_path / "latent-coder.safetensors").network
    z = coder.encode(smooth(64, 16, 16))
    assert 0.5 < float(z.std()) < 2.0  # standardised by what training measured
    path = recipe.train(small("latent", 8), Smooth(), out=tmp_path)
    saved = load_network(path)
    assert saved.notes["steps"] == 8 and saved.notes["coder"] == "latent-coder"
    for name, value in coder.state_dict().items():  # the coder is as it was
        assert torch.equal(saved.network.coder.state_dict()[name], value), name
    prior = from_file(path, name="latent")
    x = smooth(1, 16, 16)[0] / 2 + 0.5
    problem = restore.tasks.load("denoise").problem(x, seed=0)
    assert restore.solve(problem, prior, restore.solvers.build("psld", steps=3)).estimate.shape == (1, 3, 16, 16)


def test_the_coders_loss_falls_and_noise_on_latents_costs(small: Callable, tmp_path: Path) -> None:
    chosen = small("latent-coder", 60)
    held_out, fresh = smooth(8, 16, 16, seed=99), chosen.build_network().train()

    def loss(coder: torch.nn.Module, **settings: float) -> float:
        with torch.no_grad():
            objective = AutoencoderObjective(**settings)
            return float(objective.loss(coder, held_out, torch.Generator().manual_seed(0)))

    before = loss(fresh)
    recipe.train(chosen, Smooth(), out=tmp_path)
    trained = load_network(tmp_path / "latent-coder.safetensors").network
    assert loss(trained) < 0.9 * before
    assert loss(trained, latent_noise=0.0) < loss(trained, latent_noise=0.5)


def test_the_loss_of_the_coder_is_that_of_the_formula() -> None:
    coder, x = Coder(**SMALL).eval(), smooth(2, 8, 8)
    with torch.no_grad():
        miss = coder.decode(coder.encode(x)) - x
        told = AutoencoderObjective(edges=2.0, latent_noise=0.0).loss(coder, x, torch.Generator())
    across, down = miss[..., 1:] - miss[..., :-1], miss[..., 1:, :] - miss[..., :-1, :]
    expected = miss.abs().mean() + 2 * (across.abs().mean() + down.abs().mean())
    assert float(told) == pytest.approx(float(expected), rel=1e-5)


def test_the_loss_of_latents_is_edm_on_what_the_coder_gives_and_leaves_the_coder_alone() -> None:
    made, x = network().train(), smooth(2, 16, 16)
    objective = LatentObjective(sigma_data=1.0)
    told = objective.loss(made, x, torch.Generator().manual_seed(3))
    with torch.no_grad():
        z = made.coder.encode(x)
    expected = super(LatentObjective, objective).loss(made, z, torch.Generator().manual_seed(3))
    assert float(told.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    told.backward()
    assert all(p.grad is None for p in made.coder.parameters()) and not made.coder.training
    with pytest.raises(BadInput, match="no coder"):
        objective.loss(Coder(**SMALL), x, torch.Generator())


def test_latents_of_a_recipe_that_has_no_coder_yet_are_refused_by_name(tmp_path: Path) -> None:
    from priors.files.checkpoints import save_network
    from priors.networks.unet import UNet

    unet = UNet(widths=(8, 8), blocks=(1, 1), embedding=16)
    settings = {"widths": (8, 8), "blocks": (1, 1), "embedding": 16}
    save_network(
        tmp_path / "latent-coder.safetensors",
        unet,
        architecture="unet",
        settings=settings,
        preconditioning={},
        notes={},
    )
    with pytest.raises(BadInput, match="restore train latent-coder"):
        recipe.find_coder("latent-coder", tmp_path)


# -- the prior of pictures --------------------------------------------------------------------------------------------


def test_a_latent_prior_takes_no_adapter() -> None:
    prior = latent_prior(network(), sigma_data=1.0)
    prior.name = "latent"
    from priors.diffusion.adapters import adapt

    for word in ("bands", "slices", "magnitude-phase"):
        with pytest.raises(BadInput, match="works on latents"):
            adapt(prior, word)


def test_its_native_units_are_latents_and_its_pictures_are_in_0_to_1() -> None:
    prior = latent_prior(network(), sigma_data=1.0)
    assert prior.clip is None and prior.native.clip is None and prior.native.channels is None
    assert prior.channels == (1, 3) and prior.space.parts[0] == Affine(0.5, 0.5)
    z = torch.randn(2, 8, 5, 6)
    assert prior.native.denoise(z, 0.5).shape == z.shape
    assert prior.native.denoise(z.double(), torch.tensor([0.5, 2.0])).dtype == torch.float64


@pytest.mark.parametrize("solver", ["psld", "stsl", "dps", "red-diff"])
@pytest.mark.parametrize("shape", [(3, 18, 21), (1, 9, 16)])
def test_solvers_of_any_operator_take_it_at_odd_sizes_gray_and_in_batches(solver: str, shape: tuple[int, ...]) -> None:
    prior = latent_prior(network(), sigma_data=1.0)
    prior.name = "small"
    x = smooth(2, *shape[1:])[:, : shape[0]] / 2 + 0.5
    operator = (
        restore.operators.build("downsample", shape, factor=3) if shape[1] % 3 == 0 and shape[2] % 3 == 0 else None
    )
    operator = operator or restore.operators.Identity(shape)
    problem = restore.Problem(operator(x), operator, operators.noise.Gaussian(sigma=0.05))
    method = restore.solvers.build(solver, steps=2)
    both = restore.solve(problem, prior, method, samples=2)
    assert both.samples.shape == (2, 2, *shape)
    alone = restore.solve(problem, prior, method, settings=Settings(batch=1))
    torch.testing.assert_close(alone.estimate, both.samples[0], rtol=0, atol=2e-3)


def test_the_embedded_prior_is_of_the_size_and_quality_that_its_card_states() -> None:
    import skimage.data

    prior = priors.load("latent")
    face = torch.from_numpy(skimage.data.astronaut()[:128, 160:288].copy()).permute(2, 0, 1)[None].float() / 255
    z = prior.space.back(face)
    error = (prior.space.to(z).clamp(0, 1) - face).square().mean()
    assert float(-10 * torch.log10(error)) > 28.0
    assert 0.5 < float(z.std()) < 1.6
    noisy = z + 0.5 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    better = prior.native.denoise(noisy, 0.5)
    assert float((better - z).square().mean()) < 0.6 * float((noisy - z).square().mean())


def test_what_it_decodes_has_no_checkerboard() -> None:
    """Of a constant picture, no frequency of its 2 x 2 and 4 x 4 blocks comes back a grey level (of 255) strong."""
    prior = priors.load("latent")
    flat = torch.full((1, 3, 64, 64), 0.6)
    inside = prior.space.to(prior.space.back(flat))[..., 16:48, 16:48]
    spectrum = torch.fft.fft2(inside - inside.mean((-2, -1), keepdim=True)).abs() / 32**2
    blocks = spectrum[..., ::8, ::8]  # periods of 4, 2 and 4/3 pixels
    assert float(2 * blocks.max()) < 1 / 255
