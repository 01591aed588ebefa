"""Noise2Score: closed forms, blind levels and the training loss, against recorded values and exact posteriors."""

from __future__ import annotations

import ast
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from operators import BadInput
from priors.networks.noise2noise import Noise2NoiseUNet
from priors.selfsupervised.families import (
    FAMILIES,
    BinomialFamily,
    GammaFamily,
    GaussianFamily,
    PoissonFamily,
    TweedieFamily,
    total_variation,
)
from priors.selfsupervised.levels import perturbed, search
from priors.selfsupervised.noise2score import annealed, ardae_loss

RECORDED = {"gaussian": "gauss", "poisson": "poisson", "gamma": "gamma"}


@pytest.fixture
def arrays(reference):
    return {
        key: torch.from_numpy(np.asarray(value)) for key, value in reference("noise2score").items() if _number(value)
    }


def near(found: Tensor, wanted: Tensor, *, atol: float) -> None:
    torch.testing.assert_close(found.double(), wanted.double(), rtol=0, atol=atol)


def _number(value: np.ndarray) -> bool:
    return value.dtype.kind in "fi"


# -- closed forms -----------------------------------------------------------------------------------------------------


def test_the_closed_forms_give_the_recorded_estimates(arrays) -> None:
    eta = float(arrays["poisson_eta"])
    gauss = GaussianFamily(level=math.sqrt(float(arrays["gauss_variance"])))
    near(gauss.denoise(arrays["gauss_y"], arrays["gauss_score"]), arrays["gauss_out"], atol=1e-6)
    counts = arrays["poisson_score_counts"]
    near(PoissonFamily(level=eta).denoise(arrays["poisson_y"], counts / eta), arrays["poisson_out"], atol=1e-6)
    gamma = GammaFamily(level=float(arrays["gamma_k"]))
    near(gamma.denoise(arrays["gamma_y"], arrays["gamma_score"]), arrays["gamma_out"], atol=1e-6)


def test_a_gaussian_picture_has_its_exact_posterior_mean() -> None:
    y, mean, tau, sigma = torch.linspace(-1, 2, 30, dtype=torch.float64), 0.4, 0.3, 0.2
    score = -(y - mean) / (tau**2 + sigma**2)
    exact = (tau**2 * y + sigma**2 * mean) / (tau**2 + sigma**2)
    torch.testing.assert_close(GaussianFamily(level=sigma).denoise(y, score), exact, rtol=0, atol=1e-12)


def test_a_mixture_of_two_constants_has_its_exact_posterior_mean() -> None:
    y, sigma = torch.linspace(-0.5, 1.5, 40, dtype=torch.float64), 0.3
    levels = torch.tensor([0.2, 0.9], dtype=torch.float64)
    shares = torch.softmax(-((y[:, None] - levels) ** 2) / (2 * sigma**2), dim=1)
    exact = (shares * levels).sum(1)
    score = (shares * (levels - y[:, None])).sum(1) / sigma**2
    torch.testing.assert_close(GaussianFamily(level=sigma).denoise(y, score), exact, rtol=0, atol=1e-12)


def test_a_constant_under_gamma_noise_comes_back_exactly() -> None:
    x0, k, y = 0.6, 20.0, torch.linspace(0.1, 2, 25, dtype=torch.float64)
    score = (k - 1) / y - k / x0  # of Gamma(k, x0 / k)
    torch.testing.assert_close(GammaFamily(level=k).denoise(y, score), torch.full_like(y, x0), rtol=1e-12, atol=0)


def test_a_constant_in_poisson_noise_comes_back_to_the_midpoint_rule() -> None:
    x0, zeta, counts = 0.5, 0.01, torch.arange(20, 90, dtype=torch.float64)
    score = (math.log(x0 / zeta) - torch.special.digamma(counts + 1)) / zeta  # of the continued Poisson law
    estimate = PoissonFamily(level=zeta).denoise(zeta * counts, score)
    torch.testing.assert_close(estimate, torch.full_like(counts, x0), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("power", "family", "level"), [(0.0, "gaussian", 0.04), (2.0, "gamma", 0.05)])
def test_the_tweedie_law_holds_the_others(power: float, family: str, level: float) -> None:
    y = torch.linspace(0.2, 1, 15, dtype=torch.float64)
    score = -(y - 0.5) / 0.3
    own = FAMILIES[family](level=math.sqrt(level) if family == "gaussian" else 1 / level)
    torch.testing.assert_close(TweedieFamily(level=level, power=power).denoise(y, score), own.denoise(y, score))


@pytest.mark.parametrize("power", [1.0, 1.5, 3.0])
def test_every_other_tweedie_law_follows_the_formula_of_the_paper(power: float) -> None:
    y, phi = torch.linspace(0.3, 1, 9, dtype=torch.float64), 0.02
    score = -(y - 0.5) / 0.3
    bracket = score + power / (2 * y)
    expected = (
        y * torch.exp(phi * bracket)
        if power == 1
        else (y ** (1 - power) + (1 - power) * phi * bracket) ** (1 / (1 - power))
    )
    torch.testing.assert_close(TweedieFamily(level=phi, power=power).denoise(y, score), expected)


def test_a_share_of_successes_is_inverted_by_the_same_rule() -> None:
    trials, p = 200.0, 0.3
    y = torch.linspace(0.2, 0.4, 9, dtype=torch.float64)
    hits = trials * y
    misses = trials - hits
    score = trials * (math.log(p / (1 - p)) - torch.special.digamma(hits + 1) + torch.special.digamma(misses + 1))
    torch.testing.assert_close(BinomialFamily(level=trials).denoise(y, score), torch.full_like(y, p), rtol=1e-3, atol=0)


def test_a_score_outside_the_legal_range_gives_finite_positive_estimates() -> None:
    y, score = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([1e4, -1e4, 0.0])
    for family in (GammaFamily(level=10.0), PoissonFamily(level=1e-3), TweedieFamily(level=0.1, power=3.0)):
        estimate = family.denoise(y, score)
        assert bool(torch.isfinite(estimate[1:]).all()) and bool((estimate >= 0).all())


def test_a_level_is_above_zero() -> None:
    with pytest.raises(BadInput, match="level"):
        GaussianFamily(level=0.0)


# -- unknown levels ---------------------------------------------------------------------------------------------------


def test_the_total_variation_is_the_recorded_one(arrays) -> None:
    near(total_variation(arrays["clean"].double()).mean(), arrays["tv_charbonnier_of_clean"], atol=1e-6)


@pytest.mark.parametrize("family", RECORDED)
def test_the_blind_search_tries_what_was_recorded_and_finds_the_same_level(arrays, family: str) -> None:
    name = RECORDED[family]
    y = arrays[f"{name}_y"].double().reshape(1, 2, 12, 10)  # one picture: the recorded criteria are means over both
    variance = arrays["blind_gauss_score_var" if family == "gaussian" else "blind_score_var"]
    score = -(y - arrays["blind_score_mean"]) / variance
    level, values = search(y, score, FAMILIES[family])
    recorded = arrays["blind_gauss_losses" if family == "gaussian" else f"blind_{name}_losses_4dp"]
    near(FAMILIES[family].levels(), arrays[f"blind_{name}_grid"], atol=6e-5)  # recorded with four digits
    near(values[:, 0], recorded, atol=5e-6 if family == "gaussian" else 1e-4)
    best = {"gaussian": 30 / 255, "poisson": arrays.get("blind_poisson_best"), "gamma": 41.0}[family]
    assert float(level[0]) == pytest.approx(float(best), abs=6e-5)
    estimate = FAMILIES[family](level=float(best)).denoise(y, score)
    near(estimate.reshape(2, 1, 12, 10), arrays[f"blind_{name}_out"].double(), atol=1e-4)


def test_each_picture_has_a_level_of_its_own_and_any_range_of_values_does() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = 40 * torch.ones(2, 1, 16, 16)
    y = clean + torch.tensor([8 / 255, 40 / 255]).reshape(2, 1, 1, 1) * torch.randn(clean.shape, generator=generator)
    score = torch.stack([-(y[k] - 40) / s**2 for k, s in enumerate((8 / 255, 40 / 255))])
    level, _ = search(y, score, GaussianFamily)
    assert level.tolist() == pytest.approx([8 / 255, 40 / 255])


SCORES = {
    "gaussian": lambda y: -(y - 0.4) / 0.03,
    "poisson": lambda y: (math.log(0.4) - torch.log(y + 0.025)) / 0.05,
    "gamma": lambda y: (49 - 50 * y / 0.4) / y,
}


@pytest.mark.parametrize("family", RECORDED)
def test_the_perturbation_rule_gives_the_recorded_level_which_is_not_the_noise_alone(arrays, family) -> None:
    name = RECORDED[family]
    y, score = arrays["adaptive_y"], SCORES[family]
    level = perturbed(y, arrays[f"adaptive_{name}_noise"], score, family)
    recorded = float(arrays[f"adaptive_{name}_level"])
    told = {"gaussian": 255 * level, "poisson": level, "gamma": 1 / level}[family]
    assert float(told[0]) == pytest.approx(recorded, rel=1e-3)
    rounded = {"gaussian": float(level[0]), "poisson": 0.05, "gamma": 50.0}[family]
    near(FAMILIES[family](level=rounded).denoise(y, score(y)), arrays[f"adaptive_{name}_out"], atol=1e-4)
    if family == "gaussian":  # -1 / s' = sigma^2 + tau^2, whatever part of it is noise
        assert float(level[0]) == pytest.approx(math.sqrt(0.03), rel=1e-6)


# -- training ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def network(reference) -> Noise2NoiseUNet:
    recorded = reference("noise2score")
    source = np.random.RandomState(int(recorded["unet_seed"]))
    weights: dict[str, Tensor] = {}
    for key, text in zip(recorded["unet_keys"], recorded["unet_shapes"], strict=True):
        shape = ast.literal_eval(str(text))
        drawn = source.standard_normal(shape)
        scale = 0.8 / np.sqrt(np.prod(shape[1:])) if str(key).endswith("weight") else 0.05
        weights[str(key)] = torch.from_numpy((drawn * scale).astype(np.float32))
    network = Noise2NoiseUNet()
    network.load_state_dict(weights)
    assert sum(p.numel() for p in network.parameters()) == int(recorded["unet_params"])
    return network.requires_grad_(False)


def test_the_released_weights_layout_computes_what_was_recorded(arrays, network) -> None:
    near(network(arrays["unet_in"]), arrays["unet_out_std0"], atol=1e-6)


@pytest.mark.parametrize("case", "abc")
def test_the_training_loss_is_the_recorded_one(arrays, network, case: str) -> None:
    sigma, normal = float(arrays[f"ardae_{case}_std"]), arrays[f"ardae_{case}_mu"]
    near(network(arrays["unet_in"] + sigma * normal), arrays[f"ardae_{case}_out"], atol=1e-5)
    loss = ardae_loss(network, arrays["unet_in"], normal, sigma)
    assert float(loss) == pytest.approx(float(arrays[f"ardae_{case}_loss"]), abs=1e-5)


def test_the_added_noise_falls_linearly_and_not_geometrically(arrays) -> None:
    for name, ends in (("gauss", (0.05, 0.001)), ("poisson", (1.0, 0.5))):
        levels = [annealed(int(step), 22_000, *ends) for step in arrays["sigma_schedule_iters"]]
        near(torch.tensor(levels, dtype=torch.float64), arrays[f"sigma_schedule_{name}"], atol=1e-12)


def test_the_loss_is_least_at_the_score_of_the_smoothed_law() -> None:
    class Line(torch.nn.Module):
        def __init__(self, slope: float) -> None:
            super().__init__()
            self.slope = slope

        def forward(self, y: Tensor) -> Tensor:
            return self.slope * y

    generator = torch.Generator().manual_seed(0)
    y, normal = (torch.randn(1, 1, 300, 300, generator=generator, dtype=torch.float64) for _ in range(2))
    sigma, best = 0.5, -1 / 1.25  # y + sigma u has variance 1.25
    losses = {slope: float(ardae_loss(Line(slope), y, normal, sigma)) for slope in (best - 0.1, best, best + 0.1)}
    assert min(losses, key=losses.__getitem__) == best


def test_it_takes_away_noise_it_was_never_shown_without() -> None:
    from operators import Identity, NoiseSource
    from operators.noise import Gaussian
    from priors.selfsupervised.noise2score import NoisyScore
    from restore.problem import Problem
    from restore.solvers.selfsupervised.noise2score import Noise2Score

    clean = torch.linspace(0.2, 0.8, 32).reshape(1, 1, 1, 32).expand(4, 1, 32, 32)
    y = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    problem = Problem(y, Identity((1, 32, 32)), Gaussian(sigma=0.1))
    prior = NoisyScore(steps=120, batch=4, crop=32, width=6, rate=1e-2, sigma_max=0.2, sigma_min=0.05)
    fitted = prior.fit(problem, NoiseSource(0, problem.image_ids), lambda *_: None)
    (state,) = Noise2Score(levels="known").iterate(problem, fitted, NoiseSource(0, problem.image_ids))
    assert float((state.estimate - clean).square().mean()) < 0.4 * float((y - clean).square().mean())
