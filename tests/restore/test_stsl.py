"""STSL's second-order term, gradient and inversion against closed forms; what it and PSLD do on latents."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

import operators
import restore
from operators import BadInput, NoiseSource
from operators.common.randomness import Tape
from operators.common.space import Affine, Latent
from operators.core.operator import Operator
from priors.analytic.gaussian import GaussianPrior
from priors.analytic.gaussian_mixture import GaussianMixture
from restore.problem import Problem
from restore.solvers.diffusion.dps import steer
from restore.solvers.diffusion.psld import PSLD
from restore.solvers.diffusion.stsl import STSL, inverted, mean_curvature
from restore.solvers.parts.latents import glued, of_pictures, slope_squared, start_latent

SHAPE = (1, 4, 4)
T = 300
EARLY = 100  # where a mixture has two modes still


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian() -> GaussianPrior:
    factor = drawn(16, 16, seed=3) / 8
    return GaussianPrior(
        torch.full(SHAPE, 0.2, dtype=torch.float64), covariance=factor @ factor.T + 0.05 * torch.eye(16)
    )


def mixture() -> GaussianMixture:
    means = torch.stack([torch.full(SHAPE, level, dtype=torch.float64) for level in (-0.8, 0.6)])
    return GaussianMixture(means, torch.tensor([0.3, 0.7]), std=0.2)


def half() -> operators.LinearOperator:
    return operators.from_matrix(torch.eye(16, dtype=torch.float64)[::2], input_shape=SHAPE, output_shape=(8,))


def measured(sigma: float = 0.05, count: int = 2) -> Problem:
    source = NoiseSource(1, [str(k) for k in range(count)])
    x = mixture().sample(count, source)
    y = half()(x)
    return Problem(y + sigma * source.normal("noise", y), half(), operators.noise.Gaussian(sigma=sigma))


# -- the second-order term --------------------------------------------------------------------------------------------


def test_under_an_isotropic_gaussian_the_estimate_is_the_squared_probe_over_the_variance() -> None:
    std, prior = 0.3, GaussianPrior(torch.zeros(SHAPE, dtype=torch.float64), std=0.3)
    z, n = drawn(2, *SHAPE), drawn(2, *SHAPE, seed=1)
    variance = (prior.alpha(T) * std) ** 2 + prior.sigma(T) ** 2
    expected = -n.square().flatten(1).mean(1) / variance
    torch.testing.assert_close(mean_curvature(prior, z, prior.x0(z, T), T, n), expected, rtol=1e-10, atol=0)


def test_under_any_gaussian_its_mean_is_the_trace_of_the_hessian_of_the_log_density() -> None:
    prior = gaussian()
    covariance = prior.alpha(T) ** 2 * prior.covariance + prior.sigma(T) ** 2 * torch.eye(16, dtype=torch.float64)
    z, n = drawn(1, *SHAPE).expand(40_000, *SHAPE), drawn(40_000, *SHAPE, seed=1)
    values = mean_curvature(prior, z, prior.x0(z, T), T, n)
    expected = -float(torch.linalg.inv(covariance).trace()) / 16
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - expected) < 4 * error < 0.02 * abs(expected)


def test_under_a_mixture_its_mean_is_the_trace_averaged_over_a_unit_gaussian() -> None:
    prior = GaussianMixture(torch.tensor([-0.8, 0.6]).reshape(2, 1, 1, 1), torch.tensor([0.3, 0.7]), std=0.2)
    place = torch.full((1, 1, 1, 1), 0.1, dtype=torch.float64)

    def slope(x: Tensor) -> Tensor:
        """s'(x), by the derivative of the closed-form score."""
        point = x.requires_grad_()
        score = (prior.alpha(EARLY) * prior.x0(point, EARLY) - point) / prior.sigma(EARLY) ** 2
        return torch.autograd.grad(score.sum(), point)[0]

    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    expected = float(
        (slope(place + torch.as_tensor(nodes).reshape(-1, 1, 1, 1)).flatten() * torch.as_tensor(weights)).sum()
    ) / math.sqrt(2 * math.pi)
    n = drawn(100_000, 1, 1, 1)
    z = place.detach().expand_as(n)
    values = mean_curvature(prior, z, prior.x0(z, EARLY), EARLY, n)
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - expected) < 4 * error < 0.05 * abs(expected)
    # It is not the curvature at the place itself, which a small finite difference would give.
    assert abs(float(slope(place.detach())) - expected) > 20 * error


def test_without_a_measurement_the_gradient_is_that_of_the_second_order_term() -> None:
    prior, problem, z = mixture(), measured(), drawn(2, *SHAPE)
    n, solver = drawn(2, *SHAPE, seed=4), STSL(lambda_=0.0, eta=0.5)
    found = solver.gradient(problem, prior, z, T, Tape([n]))

    def value(z: Tensor) -> Tensor:
        return 0.5 * mean_curvature(prior, z, prior.x0(z, T), T, n).sum()

    step = drawn(2, *SHAPE, seed=5)
    rise = (value(z + 1e-5 * step) - value(z - 1e-5 * step)) / 2e-5
    assert float((found * step).sum()) == pytest.approx(float(rise), rel=1e-6)
    assert float(found.abs().max()) > 1e-3


def test_under_a_gaussian_the_second_order_changes_nothing() -> None:
    problem, prior = measured(), gaussian()
    first, second = (
        list(STSL(steps=5, inner=2, eta=eta).iterate(problem, prior, NoiseSource(0, problem.image_ids)))[-1].estimate
        for eta in (0.0, 5.0)
    )
    torch.testing.assert_close(first, second, rtol=0, atol=1e-8)


# -- the measurement and the order of things --------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "power"), [("square", 0), ("norm", 1)])
def test_a_first_order_step_is_that_of_dps_before_the_transition(rule: str, power: int) -> None:
    problem, prior, z = measured(), mixture(), drawn(2, *SHAPE)
    found = STSL(eta=0.0, lambda_=0.4, rule=rule).gradient(problem, prior, z, T, Tape([]))
    _, slope, distance = steer(problem, prior, z, T)  # the gradient of |r|^2 / 2, and |r|
    expected = 0.8 * slope if power == 0 else 0.4 * slope / distance
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_rule_variance_takes_the_whole_step_where_everything_is_open_and_the_noise_is_small() -> None:
    """Under a wide Gaussian E[x0 | x_t] is x_t / alpha: one inner step brings x0 to the posterior mean given r_t."""
    prior = GaussianPrior(torch.zeros(SHAPE, dtype=torch.float64), std=1e4)
    problem, z = measured(sigma=0.3), drawn(2, *SHAPE)
    moved = z - STSL(eta=0.0).gradient(problem, prior, z, T, Tape([]), 1.0)
    level = prior.sigma(T) / prior.alpha(T)
    x0, share = prior.x0(z, T), level**2 / (level**2 + problem.sigma**2)
    expected = x0 + share * problem.linear.adjoint(problem.residual(x0))
    torch.testing.assert_close(prior.x0(moved, T), expected, rtol=0, atol=1e-6)


def test_a_network_that_is_too_steep_is_followed_no_further_than_the_measurement_asks() -> None:
    prior, problem, z = mixture(), measured(), drawn(2, *SHAPE)
    steep = GaussianPrior(torch.zeros(SHAPE, dtype=torch.float64), std=1e4)
    gain = 7.0
    steep.denoise_native = lambda x, sigma: gain * x  # type: ignore[method-assign]
    solver = STSL(eta=0.0)
    for count, picture in enumerate((z, 3 * z)):
        step = solver.gradient(problem, steep, picture, T, Tape([]), 1.0)
        before, after = (problem.residual(steep.x0(x, T)) for x in (picture, picture - step))
        assert float(after.norm()) < 1e-9 * float(before.norm()), count  # twice Polyak's step ends at the measurement
    free = solver.gradient(problem, prior, z, T, Tape([]), 1.0)
    assert bool((free.flatten(1).norm(dim=1) > 0).all())


def test_the_slope_of_an_operator_is_its_norm_and_of_a_decoder_the_steepest_derivative() -> None:
    linear, z = measured(), drawn(2, *SHAPE)
    torch.testing.assert_close(slope_squared(linear, z), torch.ones(2, dtype=torch.float64))
    problem = wide().posed(Affine(0.5, 0.5) @ Codec.space())
    jacobian = torch.autograd.functional.jacobian(lambda p: problem.operator(p[None]).flatten(), z[0]).reshape(-1, 16)
    expected = float(torch.linalg.matrix_norm(jacobian, 2)) ** 2
    assert float(slope_squared(problem, z)[0]) == pytest.approx(expected, rel=0.15)


def test_one_time_is_gradient_steps_and_then_the_denoised_latent() -> None:
    problem, prior = measured(), mixture()
    solver = STSL(steps=1, inner=2, eta=0.3, lambda_=0.1, rule="square", begin="forward", first_time=200)
    start, probes = drawn(2, *SHAPE), [drawn(2, *SHAPE, seed=k) for k in (1, 2)]
    (state,) = solver.iterate(problem, prior, Tape([start, *probes]))
    z = start_latent(problem, "estimate") * prior.alpha(200 - 200) + prior.sigma(0) * start
    assert solver.times() == [0]
    for n in probes:
        z = z - solver.gradient(problem, prior, z, 0, Tape([n]))
    torch.testing.assert_close(state.estimate, prior.x0(z, 0), rtol=0, atol=1e-12)


def test_inversion_leads_back_to_where_it_began_the_nearer_the_more_times() -> None:
    prior, clean = gaussian(), gaussian().sample(2, NoiseSource(0, ["a", "b"]))

    def miss(steps: int) -> float:
        solver = STSL(steps=steps, inner=0, first_time=999)
        times = solver.times()
        z = inverted(prior, clean, times)
        problem = Problem(half()(clean), half(), operators.noise.Gaussian(sigma=0.1))
        there = dataclasses.replace(solver, begin="noise")
        back = list(there.iterate(problem, prior, Tape([z])))[-1].estimate
        return float((back - clean).square().mean().sqrt() / clean.std())

    few, many = miss(50), miss(200)
    assert many < 0.45 * few < 0.2  # first order in the spacing of the times


def test_inverted_latents_have_the_distribution_of_the_highest_time() -> None:
    """z_T of a sample is as an N(0, I) number to whoever looks at it: mean and variance within sampling error."""
    prior, clean = gaussian(), gaussian().sample(400, NoiseSource(0, [str(k) for k in range(400)]))
    z = inverted(prior, clean, STSL(steps=200, first_time=999).times())
    assert abs(float(z.mean())) < 0.05 and float(z.std()) == pytest.approx(1.0, abs=0.05)


def test_calls_are_counted_as_documented() -> None:
    problem, prior = measured(count=1), mixture()
    for inner, eta, calls in ((3, 0.02, 6), (3, 0.0, 3)):
        result = restore.solve(problem, prior, STSL(steps=4, inner=inner, eta=eta))
        assert result.nfe == 4 * (calls + 2)
        assert result.provenance["backward_passes"] == 4 * calls
    assert restore.solve(problem, prior, STSL(steps=4, inner=1, eta=0.0, begin="forward")).nfe == 4 * 2
    assert STSL.presets["paper"]["steps"] * (2 * STSL.presets["paper"]["inner"] + 2) == 600


# -- latents ----------------------------------------------------------------------------------------------------------


class Codec:
    """D(z) = tanh of nearest enlargement of z by 2, and its exact inverse on what it gives."""

    @staticmethod
    def encode(x: Tensor) -> Tensor:
        return torch.atanh(torch.nn.functional.avg_pool2d(x, 2).clamp(-0.999, 0.999))

    @staticmethod
    def decode(z: Tensor) -> Tensor:
        return torch.tanh(z).repeat_interleave(2, -1).repeat_interleave(2, -2)

    @classmethod
    def space(cls) -> Latent:
        return Latent(cls.encode, cls.decode, lambda shape: (shape[0], *(-(-side // 2) for side in shape[1:])))


def wide() -> Problem:
    """Half of the pixels of a picture of 8 x 8, in [0, 1]."""
    keep = operators.from_matrix(torch.eye(64, dtype=torch.float64)[::2], input_shape=(1, 8, 8), output_shape=(32,))
    x = 0.5 + 0.5 * Codec.decode(mixture().sample(2, NoiseSource(0, ["a", "b"])))
    return Problem(keep(x), keep, operators.noise.Gaussian(sigma=0.01), truth=x)


def test_the_problem_of_the_pictures_behind_a_latent_problem_is_found_again() -> None:
    problem, affine = wide(), Affine(0.5, 0.5)
    pictures, space = of_pictures(problem.posed(affine @ Codec.space()))
    expected = problem.posed(affine)
    assert pictures.operator is expected.operator and torch.equal(pictures.y, expected.y)
    z = drawn(2, *SHAPE)
    assert torch.equal(space.to(z), Codec.decode(z))
    assert of_pictures(problem) == (problem, Affine())


def test_a_glued_latent_explains_what_the_codec_can() -> None:
    problem = wide().posed(Affine(0.5, 0.5) @ Codec.space())
    truth = mixture().sample(2, NoiseSource(0, ["a", "b"]))
    torch.testing.assert_close(glued(problem, truth), truth, rtol=0, atol=1e-9)
    z = truth + 0.1 * drawn(2, *SHAPE)
    assert float((glued(problem, z) - truth).abs().max()) < 0.6 * float((z - truth).abs().max())


def test_glue_through_a_linear_decoder_with_an_offset_is_that_of_the_pictures() -> None:
    matrix = torch.linalg.qr(drawn(64, 16))[0]
    decode = operators.from_matrix(matrix, input_shape=SHAPE, output_shape=(1, 8, 8))
    offset = drawn(1, 8, 8, seed=2)
    space = Latent(decode.adjoint, decode, SHAPE, offset=offset)
    problem, z = wide(), drawn(2, *SHAPE)
    x = space.to(z)
    expected = space.back(x + problem.linear.pinv(problem.residual(x)))
    torch.testing.assert_close(glued(problem.posed(space), z), expected, rtol=0, atol=1e-9)


def test_glue_by_the_adjoint_is_a_step_down_the_distance_to_the_measurement() -> None:
    scaled = operators.from_matrix(0.5 * torch.eye(16, dtype=torch.float64), input_shape=SHAPE, output_shape=(16,))
    z = drawn(2, *SHAPE)
    problem = Problem(scaled(drawn(2, *SHAPE, seed=9)), scaled, operators.noise.Gaussian(sigma=0.1))
    expected = z + 0.5 * problem.residual(z).reshape(z.shape)
    torch.testing.assert_close(glued(problem, z, "adjoint"), expected)
    torch.testing.assert_close(glued(problem, z), z + 2 * problem.residual(z).reshape(z.shape), rtol=1e-6, atol=1e-6)


def test_without_an_encoder_there_is_no_glue_and_the_chain_begins_from_noise() -> None:
    space = Latent(None, Codec.decode, SHAPE)
    problem, prior = wide().posed(space), mixture()
    source = NoiseSource(0, problem.image_ids)
    with pytest.raises(BadInput, match="no encoder to glue by"):
        next(PSLD(steps=2).iterate(problem, prior, source))
    assert next(PSLD(steps=2, gamma=0.0).iterate(problem, prior, source)).x0.shape == (2, *SHAPE)
    with pytest.raises(BadInput, match="no encoder"):
        next(STSL(steps=2).iterate(problem, prior, source))
    assert next(STSL(steps=2, begin="noise").iterate(problem, prior, source)).x0.shape == (2, *SHAPE)


class Cubed(Operator):
    """x + x^3 / 20."""

    def __init__(self) -> None:
        super().__init__(SHAPE, SHAPE)

    def _forward(self, x: Tensor) -> Tensor:
        return x + x**3 / 20


def test_an_operator_that_is_not_linear_is_inverted_without_glue() -> None:
    prior = gaussian()
    x = prior.sample(2, NoiseSource(0, ["a", "b"]))
    problem = Problem(Cubed()(x), Cubed(), operators.noise.Gaussian(sigma=0.02), truth=x)
    with pytest.raises(BadInput, match="pseudo-inverse to glue by"):
        restore.solve(problem, prior, "psld")
    for solver in (PSLD(gamma=0.0), STSL(lambda_=0.3)):
        estimate = restore.solve(problem, prior, solver).estimate
        assert float((estimate - x).square().mean()) < 0.25 * float((x - prior.mean).square().mean())


@pytest.mark.parametrize("solver", [PSLD(steps=100), STSL(steps=10, rule="norm", lambda_=0.3)])
@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
def test_pictures_of_any_size_come_back_through_a_latent_prior(
    solver: restore.solvers.Solver, size: tuple[int, int]
) -> None:
    rows, columns = (-(-side // 2) for side in size)
    latents = GaussianPrior(torch.full((1, rows, columns), 0.1, dtype=torch.float64), std=0.5)
    padded = Latent(lambda x: Codec.encode(_even(x)), Codec.decode, lambda s: (s[0], *(-(-n // 2) for n in s[1:])))
    prior = latents.within(padded)
    x = Codec.decode(latents.sample(2, NoiseSource(0, ["a", "b"])))[..., : size[0], : size[1]]
    problem = Problem(x, operators.Identity((1, *size)), operators.noise.Gaussian(sigma=0.05), truth=x)
    estimate = restore.solve(problem, prior, solver, samples=2).estimate
    assert estimate.shape == x.shape
    assert float((estimate - x).square().mean().sqrt()) < 0.5 * float(x.std())


def _even(x: Tensor) -> Tensor:
    return torch.nn.functional.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), mode="replicate")
