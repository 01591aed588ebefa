"""Recorded values of an independent implementation: conformal bounds, ranks, spread, split, variances."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.core.base import LinearOperator
from restore.calibration import conformal, origin, ranks, spread, tweedie, unbiased
from restore.metrics.posterior import crps, energy_score

Arrays = Mapping[str, Any]
SAMPLERS = ("exact", "narrow", "shifted", "prior")


@pytest.fixture
def arrays(reference: Callable[[str], Mapping[str, np.ndarray]]) -> Arrays:
    return reference("calibration")


class Dense(LinearOperator):
    """A matrix (m x 16) on pictures of 4 x 4."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__((1, 4, 4), (len(matrix),))
        self.matrix = matrix

    def _forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.T

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.matrix).reshape(-1, 1, 4, 4)


def toy(arrays: Arrays, sampler: str) -> tuple[np.ndarray, np.ndarray]:
    """theta (n x 4) and the draws (n x L x 4) of one of the four samplers, as they are documented."""
    sigma, y, z = float(arrays["toy__sigma"]), arrays["toy__y"], arrays["toy__z"].astype(np.float64)
    c = 1 / (1 + sigma**2)
    tau = sigma * math.sqrt(c)
    draws = {
        "exact": c * y[:, None] + tau * z,
        "narrow": c * y[:, None] + 0.6 * tau * z,
        "shifted": c * y[:, None] + tau * z + np.array([float(arrays["toy__shift"]), 0, 0, 0]),
        "prior": z,
    }[sampler]
    return arrays["toy__theta"], draws


def test_conformal_ranks_bounds_and_realised_coverage(arrays: Arrays) -> None:
    scores = arrays["conf__scores"]
    for k, alpha in enumerate(arrays["conf__alpha"]):
        assert conformal.order(len(scores), float(alpha)) == arrays["conf__k"][k]
        assert conformal.upper_bound(scores, float(alpha)) == arrays["conf__qhat"][k]
        if math.isfinite(arrays["conf__qhat"][k]):
            low, high = conformal.realised(len(scores), float(alpha))
            assert (low, high) == pytest.approx((arrays["conf__cover_lo"][k], arrays["conf__cover_hi"][k]), abs=1e-9)


def test_risk_control(arrays: Arrays) -> None:
    losses, factors = arrays["risk__loss"], arrays["risk__lambda"]
    alpha, delta = float(arrays["risk__alpha"]), float(arrays["risk__delta"])
    assert conformal.risk_p_value(losses, alpha) == pytest.approx(arrays["risk__p_hb"], rel=1e-9, abs=1e-12)
    assert conformal.controlled_in_the_mean(losses, factors, alpha) == float(arrays["risk__lambda_crc"])
    assert conformal.controlled_surely(losses, factors, alpha, delta=delta) == float(arrays["risk__lambda_rcps_hb"])


def test_quality_bounds(arrays: Arrays) -> None:
    count, alpha = int(arrays["quality__ncal"]), float(arrays["quality__alpha"])
    features = conformal.quality_features(arrays["quality__predicted"], alpha)
    margin = conformal.quality_margin(features[:count], arrays["quality__true"][:count], alpha)
    assert margin == pytest.approx(float(arrays["quality__lambda"]), abs=1e-12)
    assert features[count:] - margin == pytest.approx(arrays["quality__bound"], abs=1e-12)
    blind = conformal.quality_margin(np.zeros(count), arrays["quality__true"][:count], alpha)
    assert -blind == pytest.approx(float(arrays["quality__lambda_nonadaptive"]), abs=1e-12)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_ranks_and_tarp(arrays: Arrays, sampler: str) -> None:
    theta, draws = toy(arrays, sampler)
    count = draws.shape[1]
    projected = ranks.ranks(theta @ arrays["toy__projections"].T, draws @ arrays["toy__projections"].T)
    assert (projected == arrays[f"toy__{sampler}__ranks"]).all()
    found = [ranks.uniformity(projected[:, k], count)[0] for k in range(3)]
    assert found == pytest.approx(arrays[f"toy__{sampler}__chi2"], abs=1e-9)
    for where in ("far", "near"):
        shares = ranks.tarp(theta, draws, arrays[f"toy__ref_{where}"])
        assert shares == pytest.approx(arrays[f"toy__{sampler}__tarp_{where}_f"], abs=1e-12)
        levels = ranks.expected_coverage(shares, np.linspace(0, 1, 21))
        assert levels == pytest.approx(arrays[f"toy__{sampler}__tarp_{where}_ecp"], abs=1e-12)
        distance = ranks.distance_to_uniform(shares, count)
        assert distance == pytest.approx(float(arrays[f"toy__{sampler}__tarp_{where}_ks"]), abs=1e-12)


def test_a_sampler_that_ignores_the_measurement_passes_far_references_and_fails_near_ones(arrays: Arrays) -> None:
    theta, draws = toy(arrays, "prior")
    bound = ranks.limit(len(theta))
    assert ranks.distance_to_uniform(ranks.tarp(theta, draws, arrays["toy__ref_far"]), draws.shape[1]) < bound
    assert ranks.distance_to_uniform(ranks.tarp(theta, draws, arrays["toy__ref_near"]), draws.shape[1]) > 5 * bound


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_scores_and_spread(arrays: Arrays, sampler: str) -> None:
    theta, draws = toy(arrays, sampler)
    as_pictures = torch.from_numpy(draws).permute(1, 0, 2)[..., None, None]
    truth = torch.from_numpy(theta)[..., None, None]
    each = [float(crps(as_pictures[:, :, k : k + 1], truth[:, k : k + 1]).mean()) for k in range(4)]
    assert each == pytest.approx(arrays[f"toy__{sampler}__crps_fair"].mean(0), abs=1e-9)
    energy = 2 * energy_score(as_pictures, truth).numpy()  # by root mean square of four numbers, and by their norm
    assert energy == pytest.approx(arrays[f"toy__{sampler}__energy_fair"], abs=1e-9)
    pairs = np.array([spread.moments(d, t) for d, t in zip(draws, theta, strict=True)])
    law = spread.spread_factor(pairs[:, 0], pairs[:, 1], draws.shape[1])
    ensemble = spread.spread_factor(pairs[:, 0], pairs[:, 1], draws.shape[1], ensemble=True)
    assert law.factor**2 == pytest.approx(float(arrays[f"toy__{sampler}__T2_law"]), abs=1e-9)
    assert ensemble.factor**2 == pytest.approx(float(arrays[f"toy__{sampler}__T2"]), abs=1e-9)
    assert 0 < law.error < 0.1 * law.factor and law.pictures == len(theta)


def test_stein_discrepancy(arrays: Arrays) -> None:
    x, score, c = arrays["ksd__x"], arrays["ksd__score"], float(arrays["ksd__c"])
    assert ranks.stein_matrix(x, score, c) == pytest.approx(arrays["ksd__u"], abs=1e-9)
    assert x.shape[1] * ranks.stein_discrepancy(x, score, c) == pytest.approx(float(arrays["ksd__u_stat"]), abs=1e-9)


def test_sure_of_a_linear_estimator(arrays: Arrays) -> None:
    matrix, sigma = torch.from_numpy(arrays["sure__W"]), float(arrays["sure__sigma"])
    y = torch.from_numpy(arrays["sure__y"])
    units = torch.eye(y.shape[1], dtype=torch.float64) * math.sqrt(y.shape[1])  # together they give the trace exactly
    probes = units[:, None].expand(-1, len(y), -1)
    score = unbiased.sure(lambda v: v @ matrix.T, y, sigma, probes)
    assert score.numpy() == pytest.approx(arrays["sure__score"], abs=1e-9)
    assert conformal.upper_bound(score.numpy(), 0.1) == pytest.approx(float(arrays["sure__q90"]), abs=1e-9)


def test_measured_and_filled_in(arrays: Arrays) -> None:
    matrix = torch.from_numpy(arrays["split__A"])
    operator = Dense(matrix)
    x = torch.from_numpy(arrays["split__x"]).reshape(1, 1, 4, 4)
    rho = float(arrays["split__rho"])
    parts = origin.split(operator, x, rho)
    assert parts.measured.flatten().numpy() == pytest.approx(arrays["split__range_wiener"], abs=1e-9)
    assert parts.filled_in.flatten().numpy() == pytest.approx(arrays["split__null_wiener"], abs=1e-9)
    assert [float(e) for e in parts.energies()] == pytest.approx(arrays["split__energy"][:3], abs=1e-9)
    share = origin.measured_share(operator, rho, stride=4)
    assert share.flatten().numpy() == pytest.approx(arrays["split__measured_fraction"], abs=1e-8)


def mixture(arrays: Arrays) -> Callable[[Tensor, float], Tensor]:
    """E[x0 | x] of the 25 components of unit covariance."""
    mu, log_w = torch.from_numpy(arrays["tweedie__mu"]), torch.from_numpy(np.log(arrays["tweedie__w"]))

    def denoise(x: Tensor, sigma: float) -> Tensor:
        v = 1 + sigma**2
        flat = x.reshape(len(x), -1)
        shares = torch.softmax(log_w - ((flat[:, None] - mu) ** 2).sum(-1) / (2 * v), dim=1)
        return ((flat + sigma**2 * shares @ mu) / v).reshape(x.shape)

    return denoise


def test_variances_of_a_mixture(arrays: Arrays) -> None:
    denoise = mixture(arrays)
    for k, sigma in enumerate(arrays["tweedie__sigma"]):
        x = torch.from_numpy(arrays["tweedie__x"][k]).reshape(1, 1, 1, 8)
        variance = tweedie.denoised_variance(denoise, x, float(sigma), stride=8)
        assert variance.values.flatten().numpy() == pytest.approx(arrays["tweedie__var"][k], rel=1e-5, abs=1e-7)
        jacobian = tweedie.differential(lambda point, s=float(sigma): denoise(point, s), x, float(sigma))
        probes = torch.from_numpy(arrays["tweedie__probes"][k]).reshape(16, 1, 1, 1, 8)
        estimate = float(sigma) ** 2 * tweedie.hutchinson(jacobian, probes)
        assert estimate.flatten().numpy() == pytest.approx(arrays["tweedie__var_hutchinson16"][k], rel=1e-5, abs=1e-7)
        assert tweedie.asymmetry(jacobian, x) < 1e-6


def test_what_cannot_be_calibrated_is_refused() -> None:
    with pytest.raises(BadInput, match="scores"):
        conformal.upper_bound([], 0.1)
    with pytest.raises(BadInput, match="alpha"):
        conformal.upper_bound([1.0], 1.5)
    with pytest.raises(BadInput, match="divides 64"):
        ranks.uniformity(np.zeros(5, dtype=int), 63, bins=15)
    with pytest.raises(BadInput, match="do not differ"):
        spread.spread_factor(np.ones(3), np.zeros(3), 4)
    assert conformal.upper_bound([1.0, 2.0], 0.1) == math.inf
    assert conformal.smallest_count(0.1) == 9 and conformal.smallest_count(0.05) == 19
