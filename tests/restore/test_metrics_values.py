"""PSNR, SSIM and the colour scores against other libraries, hand computation and published conventions."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from restore import metrics


def pair(
    *, sigma: float = 0.1, batch: int = 1, size: tuple[int, int] = (48, 61), channels: int = 3
) -> tuple[Tensor, Tensor]:
    """A clipped noisy picture and its truth, smooth enough that structure matters."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[: size[0], : size[1]]
    waves = [0.5 + 0.4 * np.sin(rows / (3 + c) + columns / (5 + b)) for b in range(batch) for c in range(channels)]
    truth = torch.from_numpy(np.stack(waves).reshape(batch, channels, *size))
    noise = torch.from_numpy(rng.standard_normal(truth.shape))
    return (truth + sigma * noise).clamp(0, 1), truth


def one(name: str, estimate: Tensor, truth: Tensor, **settings: object) -> float:
    return float(metrics.parse(name)(estimate, truth, **settings))  # type: ignore[arg-type]


def numpy(x: Tensor) -> np.ndarray:
    return x[0].permute(1, 2, 0).numpy()


def test_psnr_agrees_with_scikit_image_and_piq() -> None:
    import piq
    from skimage.metrics import peak_signal_noise_ratio

    estimate, truth = pair()
    ours = one("psnr[rgb,clip,peak=1]", estimate, truth)
    assert ours == pytest.approx(peak_signal_noise_ratio(numpy(truth), numpy(estimate), data_range=1), abs=1e-10)
    # piq adds 1e-8 to the mean squared error
    assert ours == pytest.approx(float(piq.psnr(estimate, truth, data_range=1.0)), abs=1e-4)


@pytest.mark.parametrize("size", [(48, 61), (11, 11), (11, 40)])
def test_ssim_agrees_with_scikit_image_in_the_settings_of_wang(size: tuple[int, int]) -> None:
    from skimage.metrics import structural_similarity

    estimate, truth = pair(size=size)
    theirs = structural_similarity(
        numpy(truth),
        numpy(estimate),
        data_range=1,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert one("ssim[gauss1.5,rgb]", estimate, truth) == pytest.approx(theirs, abs=1e-10)


def test_ssim_agrees_with_piq_without_its_downsampling() -> None:
    import piq

    estimate, truth = pair()
    theirs = float(piq.ssim(estimate, truth, kernel_size=11, kernel_sigma=1.5, data_range=1.0, downsample=False))
    # piq builds its window in float32
    assert one("ssim[gauss1.5,rgb]", estimate, truth) == pytest.approx(theirs, abs=1e-6)


@cache
def astronaut() -> tuple[Tensor, Tensor]:
    """The astronaut and the same with float noise of sigma 0.1, drawn channel by channel, not clipped."""
    from skimage import data

    truth = torch.from_numpy(data.astronaut().astype(np.float64) / 255).permute(2, 0, 1)[None]
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 512, 512)))
    return truth + 0.1 * noise, truth


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    # The same numbers for another draw of the noise differ by this much.
    [
        ("psnr[rgb,unclipped,peak=1]", 20.00, 0.015),
        ("psnr[rgb,clip,peak=1]", 20.70, 0.015),
        ("psnr[y601]", 25.34, 0.03),
        ("ssim[gauss1.5,rgb]", 0.329, 0.0012),
    ],
)
def test_one_pair_has_as_many_scores_as_conventions(name: str, value: float, tolerance: float) -> None:
    assert one(name, *astronaut()) == pytest.approx(value, abs=tolerance)


def test_luma_of_one_pixel_by_hand() -> None:
    # Y(1, 0.5, 0) = 16 + 65.481 + 64.2765 = 145.7575; Y(0, 0, 0) = 16; the difference is 129.7575 of 255 codes
    truth = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    estimate = torch.zeros_like(truth)
    assert one("psnr[y601]", estimate, truth) == pytest.approx(20 * math.log10(255 / 129.7575), abs=1e-9)
    assert one("mae[y601]", estimate, truth) == pytest.approx(129.7575 / 255, abs=1e-12)


def test_luma_and_chroma_agree_with_scikit_image() -> None:
    from skimage.color import rgb2ycbcr

    estimate, truth = pair()
    mine, theirs = rgb2ycbcr(numpy(estimate)), rgb2ycbcr(numpy(truth))
    error = (mine - theirs)[..., 0] / 255
    assert one("rmse[y601]", estimate, truth) == pytest.approx(math.sqrt(np.mean(error**2)), rel=1e-6)
    # Studio-range chroma spans 224 codes where full range spans 1.
    chroma = (mine - theirs)[..., 1:] / 224
    assert one("chroma-rmse[bt601]", estimate, truth) == pytest.approx(math.sqrt(np.mean(chroma**2)), rel=1e-4)


def test_chroma_error_is_blind_to_brightness_and_sees_a_washed_out_colour() -> None:
    _, truth = pair()
    truth = 0.2 + 0.5 * truth
    gray = truth.mean(1, keepdim=True).expand_as(truth)
    assert one("chroma-rmse[bt601]", truth + 0.1, truth) < 1e-12
    assert one("chroma-rmse[bt601]", gray, truth) > 0.01


def test_chroma_error_of_one_pixel_by_hand() -> None:
    # Pure red against black: Y = 0.299, Cb = -0.299 / 1.772, Cr = 0.701 / 1.402 = 0.5
    truth = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    expected = math.sqrt(((0.299 / 1.772) ** 2 + 0.25) / 2)
    assert one("chroma-rmse[bt601]", torch.zeros_like(truth), truth) == pytest.approx(expected, abs=1e-12)


def test_crop_removes_the_border_on_each_side() -> None:
    estimate, truth = pair()
    spoiled = estimate.clone()
    spoiled[..., :4, :] = spoiled[..., -4:, :] = spoiled[..., :, :4] = spoiled[..., :, -4:] = 0
    for name in ("psnr[y601,crop=4]", "ssim[y601,crop=4]", "mae[rgb,crop=4]", "chroma-rmse[bt601,crop=4]"):
        assert one(name, spoiled, truth) == one(name, estimate, truth)
        assert one(name.replace("crop=4", "crop=3"), spoiled, truth) != one(
            name.replace("crop=4", "crop=3"), estimate, truth
        )


def test_gray_pictures_are_scored_as_they_are_under_luma() -> None:
    estimate, truth = pair(channels=1)
    assert one("psnr[y601]", estimate, truth) == one("psnr[rgb,clip,peak=1]", estimate, truth)
    assert one("ssim[y601]", estimate, truth) == one("ssim[rgb]", estimate, truth)


def test_round8_scores_what_an_eight_bit_file_holds() -> None:
    truth = torch.full((1, 1, 2, 2), 100 / 255, dtype=torch.float64)
    assert one("psnr[rgb,round8]", truth + 0.4 / 255, truth) == math.inf
    assert one("mae[rgb,round8]", truth + 0.6 / 255, truth) == pytest.approx(1 / 255, abs=1e-12)


def test_volume_max_takes_its_peak_from_the_whole_volume() -> None:
    truth = torch.linspace(0, 5, 2 * 4 * 8 * 8, dtype=torch.float64).reshape(1, 1, 8, 8, 8)
    value = one("psnr[volume-max]", truth + 0.1, truth, data_range=None)
    assert value == pytest.approx(20 * math.log10(5 / 0.1), abs=1e-9)


def test_magnitude_scores_ignore_the_phase_of_complex_pictures() -> None:
    magnitude = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turned = torch.polar(magnitude, torch.full_like(magnitude, 0.7))
    assert one("mae[magnitude]", turned, magnitude.to(torch.complex128)) < 1e-15


def test_scores_do_not_depend_on_the_units_of_the_declared_range() -> None:
    estimate, truth = pair()
    for name in ("psnr[rgb,clip]", "psnr[y601,crop=4]", "ssim[rgb]", "chroma-rmse[bt601]"):
        scaled = one(name, 200 * estimate - 50, 200 * truth - 50, data_range=(-50, 150))
        assert scaled == pytest.approx(one(name, estimate, truth), rel=1e-9)


@pytest.mark.parametrize("name", ["psnr[y601,crop=4]", "ssim[rgb]", "chroma-rmse[bt601]", "mae[any]", "rmse[any]"])
def test_a_batch_scores_each_picture_bitwise_as_if_alone(name: str) -> None:
    estimate, truth = pair(batch=3)
    together = metrics.parse(name)(estimate, truth)
    alone = torch.cat([metrics.parse(name)(e[None], t[None]) for e, t in zip(estimate, truth, strict=True)])
    assert together.dtype == torch.float64
    assert torch.equal(together, alone)


def test_an_empty_batch_gives_no_scores() -> None:
    empty = torch.zeros(0, 3, 16, 16)
    assert metrics.parse("ssim")(empty, empty).shape == (0,)


def test_memory_layout_precision_and_gradients_do_not_matter() -> None:
    estimate, truth = (x.float() for x in pair())
    value = one("psnr[any]", estimate, truth)
    assert one("psnr[any]", estimate.to(memory_format=torch.channels_last), truth) == value
    assert one("psnr[any]", estimate.double().requires_grad_(), truth) == value
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert one("psnr[any]", estimate, truth) == value


def test_negative_ssim_of_an_inverted_picture_is_kept() -> None:
    _, truth = pair()
    assert one("ssim[rgb]", 1 - truth, truth) < -0.5


@pytest.mark.parametrize(
    "name", ["psnr[rgb,clip,peak=1,flip]", "ssim[gauss1.5,rgb,flip]", "ms-ssim[gauss1.5,rgb,flip]"]
)
def test_a_half_turn_is_forgiven_where_the_name_says_so_and_for_each_picture_alone(name: str) -> None:
    estimate, truth = pair(batch=2, size=(170, 163))
    half = torch.stack([estimate[0], estimate[1].flip((-2, -1))])
    plain = name.replace(",flip", "")
    assert torch.equal(metrics.parse(name)(half, truth), metrics.parse(plain)(estimate, truth))
    assert float(metrics.parse(plain)(half, truth)[1]) < float(metrics.parse(name)(half, truth)[1])


def test_one_decision_by_squared_error_serves_every_score_of_a_picture() -> None:
    # Light falls the right way and the texture is turned: squared error wants it as it is, SSIM would rather turn it.
    texture = torch.randn(1, 1, 48, 61, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    light = torch.linspace(-0.2, 0.2, 48, dtype=torch.float64)[:, None]
    truth, estimate = 0.5 + light + 0.03 * texture, 0.5 + light + 0.03 * texture.flip((-2, -1))
    as_it_is = one("ssim[gauss1.5,rgb,unclipped]", estimate, truth)
    assert as_it_is < one("ssim[gauss1.5,rgb,unclipped]", estimate.flip((-2, -1)), truth)
    assert one("ssim[gauss1.5,rgb,unclipped,flip]", estimate, truth) == as_it_is


def test_of_complex_pictures_the_turned_copy_is_the_conjugate() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(1, 1, 16, 17, generator=generator, dtype=torch.complex128)
    name = "psnr[magnitude,volume-max,flip]"
    assert one(name, truth.flip((-2, -1)).conj(), truth, data_range=None) == math.inf
    assert one(name, 1j * truth, truth, data_range=None) > 200  # a phase common to all pixels does not decide
