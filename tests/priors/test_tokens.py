"""The trained prior of tokens: its codes, its training, and that it knows more of a photograph than chance."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor

import priors
from operators import BadInput
from priors.discrete.network import TokenPrior
from priors.files.checkpoints import load_network
from priors.files.embedded import from_file
from priors.networks.tokens import TokenCoder, TokenNetwork, nearest_levels
from priors.training import recipe
from priors.training.loop import Trainer, TrainingSettings
from priors.training.muon import split_parameters
from priors.training.tokens import CoderObjective, TokensObjective, hide

SMALL = {"levels": (3, 2), "widths": (8, 8), "blocks": (1, 1), "extra": 0}
TINY = {"width": 16, "blocks": 1, "kernel": 3, "expansion": 2}


def photograph(side: int = 96) -> Tensor:
    pixels = torch.from_numpy(skimage.data.astronaut()[100 : 100 + side, 180 : 180 + side].copy())
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


# -- codes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [(4, 4, 4), (2,) * 5, (3, 2, 5)])
def test_the_nearest_code_is_the_nearest_of_all(levels: tuple[int, ...]) -> None:
    coder = TokenCoder(levels=levels)
    codes = coder.codes()
    assert codes.shape == (math.prod(levels), len(levels))
    grid = codes.T.reshape(1, len(levels), -1, 1)
    assert coder.tokens(grid).flatten().tolist() == list(range(len(codes)))
    values = 3 * torch.rand(2, len(levels), 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1.5
    distance = (values[:, None] - codes[None, :, :, None, None]).square().sum(2)
    assert torch.equal(coder.tokens(values), distance.argmin(1))
    torch.testing.assert_close(nearest_levels(values, levels), codes[coder.tokens(values)].movedim(-1, 1))


def test_two_levels_are_signs() -> None:
    values = torch.tensor([[-0.2, 0.7, -1.4]]).reshape(1, 3, 1, 1)
    assert nearest_levels(values, (2, 2, 2)).flatten().tolist() == [-1.0, 1.0, -1.0]
    assert TokenCoder(levels=(2, 2, 2)).tokens(values).item() == 0b010


def test_a_coder_of_one_level_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        TokenCoder(levels=(4, 1))


def test_gradients_pass_straight_through_the_codes() -> None:
    coder, x = TokenCoder(**SMALL), photograph(16).requires_grad_()
    coder(x).square().sum().backward()
    assert float(x.grad.abs().sum()) > 0
    assert torch.equal(coder(x), coder.render(coder.codes().float()[coder.tokens(coder.values(x))].movedim(-1, 1)))


# -- training ---------------------------------------------------------------------------------------------------------


def test_every_number_of_hidden_tokens_is_as_likely() -> None:
    tokens = torch.zeros(8, 4, 2)
    numbers = torch.stack([hide(tokens, torch.Generator().manual_seed(k)).flatten(1).sum(1) for k in range(500)])
    assert bool((numbers.sort(1).values == torch.arange(1, 9)).all())  # in a batch of 8, each of the 8 numbers once
    places = hide(torch.zeros(4000, 8), torch.Generator().manual_seed(0)).double().mean(0)
    assert float((places - 4.5 / 8).abs().max()) < 4 * 0.5 / 4000**0.5


def test_the_loss_is_the_mean_surprise_of_hidden_tokens() -> None:
    network = TokenNetwork(coder=SMALL, predictor=TINY)
    torch.nn.init.zeros_(network.predictor.leave.weight)
    with torch.no_grad():
        network.predictor.leave.bias.copy_(torch.tensor([1.0, 0, 0, 0, 0, 0]))
        x = photograph(16).repeat(4, 1, 1, 1) * torch.tensor([1.0, 0.5, -0.5, -1.0])[:, None, None, None]
        tokens = network.coder.tokens(network.coder.values(x))
        hidden = hide(tokens, torch.Generator().manual_seed(3))
        surprise = -torch.log_softmax(network.predictor.leave.bias, 0)[tokens]
        expected = torch.stack([s[h].mean() for s, h in zip(surprise, hidden, strict=True)]).mean()
        loss = TokensObjective().loss(network, x, torch.Generator().manual_seed(3))
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(BadInput, match="predicts no tokens"):
        TokensObjective().loss(torch.nn.Identity(), x, torch.Generator())


def test_the_coder_stays_as_it_is_while_its_tokens_are_learned(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = TokenNetwork(coder=SMALL, predictor=TINY)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    settings = TrainingSettings(steps=3, batch=2, warmup=1)
    trainer = Trainer(network, TokensObjective(), settings, checkpoint=tmp_path / "run.ckpt")
    trainer.run(lambda start: iter(lambda: photograph(16).repeat(2, 1, 1, 1), None), lambda _: None)
    for name, value in trainer.average.state_dict().items():
        moved = not torch.equal(value, before[name])
        assert moved != name.startswith("coder."), name
    matrices, rest = split_parameters(network)
    assert len(matrices) + len(rest) == len(list(network.predictor.parameters()))
    assert all(matrix.shape[1] > 1 for matrix in matrices)  # a depthwise kernel is no matrix


def test_a_coder_is_made_better_by_training(tmp_path: Path) -> None:
    torch.manual_seed(0)
    coder, x = TokenCoder(**SMALL), photograph(32)
    before = float(CoderObjective().loss(coder, x, torch.Generator()).detach())
    settings = TrainingSettings(steps=40, batch=1, warmup=1)
    trainer = Trainer(coder, CoderObjective(), settings, checkpoint=tmp_path / "run.ckpt")
    trainer.run(lambda start: iter(lambda: x, None), lambda _: None)
    assert float(CoderObjective().loss(coder, x, torch.Generator()).detach()) < 0.8 * before


def test_both_recipes_make_a_prior_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class One:
        def batches(self, count: int, *, seed: int, start: int = 0):
            return iter(lambda: photograph(16).repeat(2, 1, 1, 1), None)

    first = recipe.load("tokens-coder", steps=1, batch=2)
    path = recipe.train(first, One(), out=tmp_path)
    with pytest.raises(BadInput, match="holds a coder"):
        from_file(path, name="coder")
    second = recipe.load("tokens", steps=1, batch=2)
    prior = from_file(recipe.train(second, One(), out=tmp_path), name="mine")
    assert isinstance(prior, TokenPrior) and prior.vocabulary == 1024
    coder = load_network(path).network
    for name, value in coder.state_dict().items():
        assert torch.equal(prior.network.coder.state_dict()[name], value)
    notes = load_network(tmp_path / "tokens.safetensors").notes
    assert notes["coder"] == "tokens-coder" and notes["steps"] == 1


def test_a_file_that_is_no_coder_is_refused(tmp_path: Path) -> None:
    source = Path(priors.__file__).parent / "weights" / "regression-sr4x.safetensors"
    (tmp_path / "tokens-coder.safetensors").write_bytes(source.read_bytes())
    with pytest.raises(BadInput, match="holds no coder"):
        recipe.find_coder("tokens-coder", tmp_path)
    assert recipe.find_coder("tokens-coder", tmp_path / "empty").vocabulary == 1024  # the embedded one


# -- the embedded prior -----------------------------------------------------------------------------------------------


def test_it_codes_a_photograph_of_any_size_in_colour_and_gray() -> None:
    prior = priors.load("tokens").native
    x = photograph(97)[..., :90]
    for picture, least in ((x, 22.0), (x.mean(1, keepdim=True), 22.0)):
        tokens = prior.encode(picture)
        assert tokens.shape == (1, 25, 23) == (1, *prior.grid(picture.shape[1:]))
        again = prior.picture(prior.vectors(tokens), tuple(picture.shape[1:]))
        assert again.shape == picture.shape
        assert 10 * math.log10(4 / float((again - picture).square().mean())) > least


def test_it_knows_more_of_a_photograph_than_the_uniform_law() -> None:
    """Half of the tokens are hidden; their mean surprise is under ln 1024 by 1.5 nats at least."""
    prior = priors.load("tokens").native
    tokens = prior.encode(photograph(96))
    hidden = torch.from_numpy(np.random.default_rng(0).random(tuple(tokens.shape)) < 0.5)
    shares = prior.probabilities(torch.where(hidden, prior.mask, tokens))
    surprise = -shares.gather(1, tokens[:, None])[:, 0][hidden].log().mean()
    assert float(surprise) < math.log(prior.vocabulary) - 1.5
