"""What is found in pictures whose noise is known: level, correlation, gain, lines, storage, advice."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d

import operators
import restore
from operators import BadInput
from restore import tasks
from restore.noise_doctor.advice import advice, assumptions
from restore.noise_doctor.colour import colour_correlation, colour_covariance, impulse_share
from restore.noise_doctor.correlation import correlation_kernel, residual_correlation
from restore.noise_doctor.dark import dark_noise
from restore.noise_doctor.examination import examine
from restore.noise_doctor.flat import flat_patches
from restore.noise_doctor.level import noise_level
from restore.noise_doctor.lines import line_noise, row_deviation
from restore.noise_doctor.page import scatter_svg
from restore.noise_doctor.scatter import scatter
from restore.noise_doctor.storage import block_grid, quantisation_step, storage
from restore.noise_doctor.white import haar_variances, parseval_level, white_level

Arrays = Callable[[str], Mapping[str, np.ndarray]]
BILINEAR = torch.outer(torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])).double() / 6  # unit energy
NARROW = torch.tensor([[0.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 0.0]]).double() / math.sqrt(13)


def source(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scene(side: int = 256, channels: int = 3, contrast: float = 0.4) -> Tensor:
    """A smooth picture, 1 x C x side x side, float64, of many brightnesses."""
    ramp = torch.linspace(0, 1, side, dtype=torch.float64)
    grey = 0.5 + contrast * torch.sin(3 * ramp[:, None]) * torch.cos(5 * ramp)
    return grey.expand(1, channels, side, side)


def white(sigma: float, like: Tensor, seed: int = 0) -> Tensor:
    return sigma * torch.randn(like.shape, generator=source(seed), dtype=torch.float64)


def correlated(sigma: float, kernel: Tensor, like: Tensor, seed: int = 0) -> Tensor:
    batch, channels, height, width = like.shape
    spare_rows, spare_columns = (n - 1 for n in kernel.shape)
    shape = (batch * channels, 1, height + spare_rows, width + spare_columns)
    drawn = torch.randn(shape, generator=source(seed), dtype=torch.float64)
    return sigma * conv2d(drawn, kernel[None, None]).reshape(like.shape)


def autocorrelation(kernel: Tensor, reach: int) -> Tensor:
    """r of white noise seen through a kernel, by its definition."""
    full = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    rows, columns = kernel.shape
    for i in range(rows):
        for j in range(columns):
            for k in range(rows):
                for m in range(columns):
                    if max(abs(k - i), abs(m - j)) <= reach:
                        full[reach + k - i, reach + m - j] += kernel[i, j] * kernel[k, m]
    return full / full[reach, reach]


# -- level ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [10 / 255, 25 / 255, 50 / 255])
def test_white_noise_is_told_as_such_within_five_percent(sigma: float) -> None:
    y = scene() + white(sigma, scene())
    found = noise_level(y)
    assert found.kind == "white" and found.sigma == found.level == pytest.approx(sigma, rel=0.05)
    assert abs(found.correlation) < 0.08 and found.sigma == white_level(y)


@pytest.mark.parametrize("kernel", [BILINEAR, NARROW], ids=["bilinear", "narrow"])
def test_the_level_of_correlated_noise_is_found_within_five_percent(kernel: Tensor) -> None:
    y = scene() + correlated(0.06, kernel, scene())
    found = noise_level(y)
    assert found.kind == "correlated" and found.sigma == pytest.approx(0.06, rel=0.05)
    assert found.white < 0.05  # what the usual estimate sees
    total = float(autocorrelation(kernel, 1).sum())
    assert 0.75 * 0.06 * math.sqrt(total) < found.level < 1.05 * 0.06 * math.sqrt(total)


def test_the_bands_of_one_haar_step_follow_the_autocorrelation(reference: Arrays) -> None:
    arrays = reference("noisy_data")
    for name in ("bilinear", "long", "aniso"):
        noise = torch.from_numpy(arrays[f"co_{name}_noise"].astype(np.float64))[None, None]
        expected = float(arrays[f"co_{name}_haar_var"][:3].sum()) * 0.01
        assert haar_variances(noise, 1)[0] == pytest.approx(expected, rel=0.12), name


def test_recorded_correlated_noise_on_a_smooth_picture_gets_its_level(reference: Arrays) -> None:
    """The level lies between .75 and .95 of sigma sqrt(S), S the 3 x 3 sum of the recorded correlation."""
    arrays = reference("noisy_data")
    noise = torch.from_numpy(arrays["co_bilinear_noise"].astype(np.float64))
    rho = arrays["co_bilinear_rho"]
    ideal = float(noise.std()) * math.sqrt(float(rho[7:10, 7:10].sum()))
    found = noise_level(scene(128, 1, 0.1) + noise)
    assert found.kind == "correlated" and 0.75 * ideal < found.level < 0.95 * ideal


def test_parseval_of_white_noise_is_its_level() -> None:
    sigma = parseval_level(haar_variances(white(0.1, scene(512, 1))))
    assert sigma == pytest.approx(0.1, rel=0.02)


def test_flat_patches_do_not_see_planes_and_clipped_parts() -> None:
    ramp = torch.linspace(0.1, 0.9, 64, dtype=torch.float64)
    assert flat_patches((ramp[:, None] + 0 * ramp)[None, None], 8).sigma < 1e-12
    y = scene(128, 1, 0.1) + white(0.03, scene(128, 1))
    y[..., :64] = 0.0
    assert flat_patches(y, 8).sigma == pytest.approx(0.03, rel=0.2)


@pytest.mark.parametrize("shape", [(1, 3, 15, 40), (1, 1, 17, 33), (2, 3, 37, 53), (1, 5, 24, 24)])
def test_odd_small_and_many_channelled_pictures_have_a_level(shape: tuple[int, ...]) -> None:
    y = 0.5 + 0.05 * torch.randn(shape, generator=source(3))
    found = noise_level(y)
    assert math.isfinite(found.sigma) and 0.03 < found.sigma < 0.07


def test_pictures_of_a_batch_have_the_mean_of_their_levels() -> None:
    quiet, loud = (scene() + white(sigma, scene(), 4) for sigma in (0.03, 0.09))
    both = noise_level(torch.cat([quiet, loud]))
    assert both.sigma == pytest.approx((noise_level(quiet).sigma + noise_level(loud).sigma) / 2, rel=1e-12)


def test_a_constant_picture_has_no_noise() -> None:
    found = noise_level(torch.full((1, 3, 64, 64), 0.5))
    assert found.sigma == found.level < 1e-12 and found.total == 1.0


# -- correlation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [BILINEAR, NARROW], ids=["bilinear", "narrow"])
def test_the_correlation_kernel_is_found_within_ten_percent(kernel: Tensor) -> None:
    found = correlation_kernel(scene() + correlated(0.05, kernel, scene(), 5))
    truth = autocorrelation(kernel, 4)
    assert float((found - truth).norm() / truth.norm()) < 0.1 and float((found - truth).abs().max()) < 0.05


def test_planes_taken_out_of_patches_do_not_bias_the_correlation(reference: Arrays) -> None:
    arrays = reference("noisy_data")
    kernel = torch.from_numpy(arrays["co_long_kernel"].astype(np.float64))
    truth = torch.from_numpy(arrays["co_long_rho"].astype(np.float64))[4:13, 4:13]
    found = correlation_kernel(0.5 + correlated(0.05, kernel, scene(), 6))
    assert float((found - truth).norm() / truth.norm()) < 0.06


def test_the_correlation_of_a_residual_is_the_recorded_one(reference: Arrays) -> None:
    arrays = reference("noisy_data")
    for name in ("bilinear", "long", "aniso"):
        found = residual_correlation(torch.from_numpy(arrays[f"co_{name}_noise"]).double(), 8)
        assert np.abs(found[8:].numpy() - arrays[f"co_{name}_rho_hat"]).max() < 1e-8


def test_white_noise_and_no_noise_have_no_correlation() -> None:
    delta = torch.zeros(9, 9, dtype=torch.float64)
    delta[4, 4] = 1
    assert float((correlation_kernel(scene() + white(0.05, scene())) - delta).abs().max()) < 0.03
    assert torch.equal(correlation_kernel(torch.full((1, 1, 32, 32), 0.4)), delta)


# -- gain, lines, colours ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gain", "read"), [(0.002, 0.01), (0.005, 0.005), (0.0005, 0.004)])
def test_gain_is_found_within_five_percent(gain: float, read: float) -> None:
    clean = scene(384)
    y = torch.poisson(clean / gain, generator=source(7)) * gain + white(read, clean, 8)
    found = scatter(y)
    assert found.reliable and found.dependent and found.gain == pytest.approx(gain, rel=0.05)
    assert abs(found.gain - gain) < 4 * found.gain_error
    assert found.sigma(0.5) == pytest.approx(math.sqrt(gain / 2 + read**2), rel=0.03)


def test_recorded_scenes_have_their_deviation_at_mid_grey(reference: Arrays) -> None:
    arrays = reference("noisy_data")
    for k, (gain, read) in enumerate(arrays["pg_gain_var"]):
        for name in ("steps", "smooth"):
            found = scatter(torch.from_numpy(arrays[f"pg_{name}_{k}"]).double()[None, None], ends=None)
            assert found.reliable and found.sigma(0.5) == pytest.approx(math.sqrt(gain / 2 + read), rel=0.15)
        texture = scatter(torch.from_numpy(arrays[f"pg_texture_{k}"]).double()[None, None], ends=None)
        assert not texture.reliable and texture.reason


def test_white_noise_does_not_depend_on_the_signal_and_one_brightness_tells_no_line() -> None:
    assert not scatter(scene() + white(0.04, scene())).dependent
    flat = scatter(0.5 + white(0.04, scene()))
    assert not flat.reliable and "brightnesses" in flat.reason
    assert not scatter(torch.zeros(1, 3, 32, 32)).reliable


def test_clipped_pixels_do_not_bend_the_line() -> None:
    clean = scene(384) * 1.3 - 0.15  # from below black to above white
    found = scatter((clean + white(0.05, clean)).clamp(0, 1))
    assert found.reliable and not found.dependent and found.sigma(0.5) == pytest.approx(0.05, rel=0.05)


def test_row_and_column_noise_are_found_and_not_invented(reference: Arrays) -> None:
    y = scene(512) + white(0.05, scene(512))
    assert line_noise(y) == line_noise(y.flip(-1)) and line_noise(y).rows == line_noise(y).columns == 0.0
    rows = 0.02 * torch.randn(1, 1, 512, 1, generator=source(9), dtype=torch.float64)
    found = line_noise(y + rows)
    assert found.rows == pytest.approx(0.02, rel=0.15) and found.columns == 0.0
    assert line_noise((y + rows).transpose(-1, -2)).columns == found.rows
    arrays = reference("noisy_data")
    assert row_deviation(torch.from_numpy(arrays["row_noise"])) == pytest.approx(
        float(arrays["row_estimate"]), rel=1e-10
    )


def test_the_noise_of_channels_correlates_as_it_was_drawn() -> None:
    shared, own = white(0.04, scene(256, 1), 10), white(0.03, scene(), 11)
    covariance = colour_covariance(scene() + shared + own)
    assert colour_correlation(covariance) == pytest.approx(16 / 25, abs=0.05)
    assert colour_correlation(colour_covariance(scene() + own)) == pytest.approx(0.0, abs=0.05)


def test_salt_and_pepper_is_told_from_strong_noise() -> None:
    y = scene()
    hit = torch.rand(y.shape, generator=source(12)) < 0.02
    assert impulse_share(torch.where(hit, torch.ones_like(y), y)) == pytest.approx(0.02, rel=0.35)
    assert impulse_share((y + white(0.15, y)).clamp(0, 1), 0.15) < 1e-3


# -- storage and darks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [1, 4, 8, 10, 12, 16])
def test_the_step_of_stored_numbers_is_found(bits: int, dtype: torch.dtype) -> None:
    levels = 2**bits - 1
    y = ((scene(128, 1) + white(0.05, scene(128, 1))).clamp(0, 1) * levels).round() / levels
    assert quantisation_step(y.to(dtype)) == pytest.approx(1 / levels, rel=1e-6)


def test_steps_of_no_depth_are_found_and_floats_have_none() -> None:
    y = scene(128, 1) + white(0.05, scene(128, 1))
    assert quantisation_step((y / 0.007).round() * 0.007 + 0.001) == pytest.approx(0.007, rel=1e-6)
    assert quantisation_step(y) == quantisation_step(y.float()) == 0.0
    assert quantisation_step(torch.full((1, 1, 8, 8), 0.3)) == 0.0


def test_clipping_is_the_share_at_the_ends() -> None:
    y = torch.linspace(-0.1, 1.3, 1401).clamp(0, 1).expand(1, 1, 8, 1401)
    found = storage(y)
    assert found.clipped and found.low == pytest.approx(101 / 1401, abs=2e-3) and found.high > 0.2


@pytest.mark.parametrize(("quality", "seen"), [(100, False), (60, True), (30, True)])
def test_jpeg_blocks_are_found_where_they_lie(quality: int, seen: bool) -> None:
    y = (scene() + white(0.06, scene())).clamp(0, 1)[0]
    buffer = io.BytesIO()
    Image.fromarray((y.permute(1, 2, 0).numpy() * 255).round().astype("uint8")).save(buffer, "JPEG", quality=quality)
    stored = torch.from_numpy(np.asarray(Image.open(buffer)).copy()).permute(2, 0, 1)[None] / 255
    found = storage(stored[:, :, 3:, 6:])
    assert found.blocks == seen and (not seen or found.offset == (5, 2))
    assert block_grid(y[None])[0] < 1.15


def test_dark_frames_tell_read_noise_rows_and_pattern() -> None:
    like = torch.zeros(1, 1, 200, 240)
    pattern = white(0.01, like, 20)[0]
    rows = [0.006 * torch.randn(1, 200, 1, generator=source(30 + k), dtype=torch.float64) for k in range(6)]
    frames = [0.1 + pattern + rows[k] + white(0.02, like, 40 + k)[0] for k in range(6)]
    found = dark_noise(frames)
    assert found.read == pytest.approx(0.02, rel=0.05) and found.rows == pytest.approx(0.006, rel=0.1)
    assert found.fixed == pytest.approx(0.01, rel=0.1) and found.pedestal[0] == pytest.approx(0.1, abs=1e-3)
    assert abs(found.tails) < 0.1 and dark_noise(frames[:1]).fixed is None
    with pytest.raises(BadInput, match="shapes"):
        dark_noise([frames[0], frames[1][:, :100]])


# -- what is said -----------------------------------------------------------------------------------------------------


def held(y: Tensor) -> dict[str, bool | None]:
    return {line.name: line.holds for line in assumptions(examine(y[0]))}


def test_each_fault_of_the_noise_breaks_its_own_assumption() -> None:
    y = scene() * 0.9 + 0.05
    plain = held(y + white(0.03, y))
    assert all(plain.values())
    assert held(y + correlated(0.03, BILINEAR, y))["uncorrelated between pixels"] is False
    photons = torch.poisson(y / 0.004, generator=source(1)) * 0.004
    assert held(photons)["independent of the signal"] is False
    assert held(y + white(0.03, y[:, :1]))["uncorrelated between colours"] is False
    rows = 0.02 * torch.randn(1, 1, 256, 1, generator=source(9), dtype=torch.float64)
    assert held(y + rows + white(0.03, y))["free of row and column noise"] is False
    coarse = ((y + white(0.03, y)).clamp(0, 1) * 15).round() / 15
    assert held(coarse)["rounding finer than the noise"] is False


def test_advice_is_a_command_that_fits() -> None:
    y = scene() * 0.9 + 0.05
    told = advice(examine((y + white(0.03, y))[0]), "a picture.png")
    assert told.command == "restore run --task denoise --input 'a picture.png' --measured --sigma estimate"
    as_read = advice(examine((y + white(0.03, y))[0]), "y.tif", {"white": 4095.0, "index": 2})
    assert as_read.command is not None and as_read.command.endswith("--sigma estimate --white 4095.0 --index 2")
    photons = advice(examine((torch.poisson(y / 0.004, generator=source(1)) * 0.004)[0]), "y.npy")
    assert photons.task == "denoise-poisson" and photons.command is not None
    assert 1 / float(photons.command.split()[-1]) == pytest.approx(0.004, rel=0.05)
    hit = torch.rand(y.shape, generator=source(12)) < 0.02
    speckled = torch.where(hit, torch.ones_like(y), y + white(0.01, y))
    assert advice(examine(speckled[0]), "y.npy").solver == "median"


@pytest.mark.parametrize("kind", ["constant", "smooth", "rounded"])
def test_a_picture_without_noise_is_left_alone(kind: str) -> None:
    y = {"constant": torch.full((1, 3, 64, 64), 0.5), "smooth": scene(), "rounded": (scene() * 255).round() / 255}[kind]
    found = examine(y[0])
    told = advice(found, "y.png")
    assert found.clean and told.command is None and "lone" in " ".join(told.reasons)


def test_a_photograph_without_noise_is_left_alone() -> None:
    import skimage.data

    # Film has grain: means of 4 x 4 pixels hardly any.
    picture = torch.from_numpy(skimage.data.astronaut().copy()).permute(2, 0, 1)[None] / 255
    reduced = (torch.nn.functional.avg_pool2d(picture, 4) * 255).round() / 255
    assert advice(examine(reduced[0]), "y.png").command is None
    noisy = reduced + white(0.08, reduced).float()
    assert advice(examine(noisy[0]), "y.png").command is not None


@pytest.mark.filterwarnings("error")
def test_constant_channels_have_no_noise_and_spoil_no_others() -> None:
    y = (scene(64) + white(0.05, scene(64))).float()
    y[:, 1] = 1.0
    assert white_level(y) == pytest.approx((white_level(y[:, :1]) + white_level(y[:, 2:])) / 3, rel=1e-12)
    assert white_level(torch.zeros(1, 3, 64, 64)) == 0.0
    assert math.isfinite(tasks.load("denoise").measured(y, sigma="estimate").sigma)


def test_whatever_is_examined_is_plain_json() -> None:
    numbers = torch.rand(3, 48, 64, generator=source(5))
    for picture in (
        torch.zeros(3, 64, 64),
        torch.ones(1, 16, 16),
        (numbers > 0.5).float(),
        -numbers,
        1e6 * numbers,
        numbers[:1, :17],
        torch.rand(31, 32, 33, generator=source(6)).double(),
    ):
        found = examine(picture)
        json.dumps(found.plain(), allow_nan=False)
        assert assumptions(found) and advice(found, "x").reasons and "<svg" in scatter_svg(found)


def test_what_cannot_be_examined_is_refused() -> None:
    for bad in (torch.zeros(3, 8, 40), torch.zeros(2, 3, 40, 40), torch.full((1, 20, 20), math.nan)):
        with pytest.raises(BadInput):
            examine(bad)


def test_a_dim_picture_is_judged_as_the_same_picture_brightened() -> None:
    """12 bits in a file of 16: nothing is said of a range that the picture does not use."""
    clean = scene(384) * 0.9
    y = torch.poisson(clean / 0.003, generator=source(2)) * 0.003 + white(0.01, clean)
    bright, dim = examine(y[0]), examine((y[0] * 3000).round() / 65535)
    assert not dim.clean and dim.level.sigma * 65535 / 3000 == pytest.approx(bright.level.sigma, rel=0.02)
    assert dim.scatter.dependent and dim.scatter.gain * 65535 / 3000 == pytest.approx(0.003, rel=0.05)
    assert advice(dim, "y.tif").task == advice(bright, "y.tif").task == "denoise-poisson"


# -- the level reaches the prior ---------------------------------------------------------------------------------------


def test_the_estimated_level_of_correlated_noise_reaches_the_prior_and_sigma_the_rest() -> None:
    y = (scene(96) + correlated(0.06, BILINEAR, scene(96))).float()
    problem = tasks.load("denoise").measured(y, sigma="estimate")
    found = noise_level(y)
    assert problem.sigma == pytest.approx(found.sigma) and problem.prior_level == found.level > problem.sigma
    assert problem.recipe is not None and problem.recipe.plain()["prior_level"] == found.level
    note = next(note for note in problem.notes if note.startswith("noise sigma"))
    assert f"{found.sigma:.4g}" in note and f"{found.level:.4g}" in note
    again = tasks.rebuild(problem.recipe.plain(), y, {})
    assert again.prior_level == found.level and again.sigma == problem.sigma
    assert problem.posed(0.5, 0.5).prior_level == pytest.approx(2 * found.level)
    assert problem.for_prior().sigma == found.level and problem.for_prior().for_prior().sigma == found.level

    told: list[float] = []

    def denoiser(x: Tensor, sigma: float) -> Tensor:
        told.append(float(sigma))
        return x * 0.5

    result = restore.solve(problem, prior=denoiser)
    assert max(told) == pytest.approx(found.level, rel=1e-5)
    assert result.provenance["noise_level_of_prior"] == found.level and f"{problem.sigma}" in result.provenance["noise"]
    assert result.problem.sigma == problem.sigma
    plain = restore.solve(problem, solver="tv")
    assert plain.provenance["noise_level_of_prior"] is None


def test_white_noise_and_other_operators_have_one_level() -> None:
    y = (scene(96) + white(0.05, scene(96))).float()
    assert tasks.load("denoise").measured(y, sigma="estimate").prior_level is None
    blurred = (scene(96) + correlated(0.03, BILINEAR, scene(96))).float()
    problem = tasks.load("deblur-gaussian").measured(blurred, sigma="estimate")
    assert problem.prior_level is None and problem.sigma == pytest.approx(white_level(blurred), rel=0.01)


def test_a_prior_level_is_of_the_problem_alone() -> None:
    y = torch.rand(1, 1, 8, 8)
    law = operators.noise.Gaussian(sigma=0.1)
    problem = restore.Problem(y, operators.build("identity", (1, 8, 8)), law, prior_level=0.2)
    assert problem.repeated(2).prior_level == problem.part(range(1)).prior_level == 0.2
    assert problem.chi2(torch.zeros_like(y)) == pytest.approx(float(y.square().mean()) / 0.01, rel=1e-5)
