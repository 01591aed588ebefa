"""Further metrics against other implementations and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from operators import BadInput
from restore import metrics
from restore.metrics import distribution
from restore.metrics.medical import log_filter


def pair(shape: tuple[int, ...] = (3, 192, 208), sigma: float = 0.1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A smooth picture in [0, 1] and a noisy copy of it, 1 x C x H x W."""
    source = np.random.default_rng(seed)
    coarse = torch.from_numpy(source.random((1, shape[0], 12, 13)))
    truth = torch.nn.functional.interpolate(coarse, size=shape[1:], mode="bicubic", align_corners=False).clamp(0, 1)
    noisy = (truth + sigma * torch.from_numpy(source.standard_normal(truth.shape))).clamp(0, 1)
    return noisy, truth


def value(name: str, estimate: Tensor, truth: Tensor, **more: object) -> float:
    return float(metrics.parse(name)(estimate, truth, **more))  # type: ignore[arg-type]


def test_ms_ssim_is_that_of_piq_where_every_scale_halves_evenly() -> None:
    import piq

    estimate, truth = pair((3, 192, 208))
    expected = float(piq.multi_scale_ssim(estimate, truth, data_range=1.0))
    # piq's window is float32
    assert value("ms-ssim", estimate, truth) == pytest.approx(expected, abs=1e-6)


def test_fsim_and_vif_are_those_of_piq() -> None:
    import piq

    estimate, truth = pair((3, 96, 100))
    assert value("fsim", estimate, truth) == pytest.approx(float(piq.fsim(estimate, truth)), abs=1e-9)
    assert value("fsim[gray]", estimate, truth) == pytest.approx(
        float(piq.fsim(estimate, truth, chromatic=False)), abs=1e-9
    )
    assert value("vif", estimate, truth) == pytest.approx(float(piq.vif_p(estimate, truth)), abs=1e-9)


def test_spectral_angle_and_ergas_are_those_of_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    estimate, truth = pair((28, 40, 44))
    angle = math.degrees(float(functional.spectral_angle_mapper(estimate, truth)))
    assert value("sam", estimate, truth) == pytest.approx(angle, rel=1e-6)
    assert value("sam[radians]", estimate, truth) == pytest.approx(math.radians(angle), rel=1e-6)
    ergas = float(functional.error_relative_global_dimensionless_synthesis(estimate, truth, ratio=4))
    # torchmetrics divides by the ratio of the sides, 4, and we multiply by the ratio of the pixels, 1 / 4
    assert value("ergas[ratio=0.25]", estimate, truth) == pytest.approx(ergas, rel=1e-6)


def test_the_spectral_angle_of_known_spectra_is_known() -> None:
    truth = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
    for degrees in (1e-5, 30.0, 90.0):
        turned = torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], dtype=torch.float64)
        estimate = 3 * turned.reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
        assert value("sam", estimate.clone(), truth.double(), data_range=None) == pytest.approx(degrees, rel=1e-9)


def test_hfen_is_the_ratio_of_filtered_norms() -> None:
    from scipy.ndimage import correlate

    estimate, truth = pair((1, 60, 50))
    offsets = np.arange(15) - 7.0
    squares = offsets[:, None] ** 2 + offsets[None] ** 2
    gauss = np.exp(-squares / (2 * 1.5**2))
    kernel = gauss * (squares - 2 * 1.5**2) / (1.5**4 * gauss.sum())  # fspecial("log", 15, 1.5)
    kernel -= kernel.mean()

    def filtered(x: Tensor) -> np.ndarray:
        return np.asarray(correlate(x[0, 0].numpy(), kernel)[7:-7, 7:-7])

    expected = np.linalg.norm(filtered(estimate) - filtered(truth)) / np.linalg.norm(filtered(truth))
    assert value("hfen", estimate, truth) == pytest.approx(float(expected), rel=1e-9)


def test_the_filter_of_hfen_does_not_see_planes() -> None:
    row, column = torch.meshgrid(torch.arange(40.0).double(), torch.arange(30.0).double(), indexing="ij")
    assert float(log_filter((2 + 3 * row - column)[None]).abs().max()) < 1e-9


def test_nmse_of_a_scaled_picture_is_known() -> None:
    _, truth = pair((1, 20, 20))
    assert value("nmse", 0.9 * truth, truth) == pytest.approx(0.01, rel=1e-9)
    turned = truth * torch.exp(torch.tensor(0.7j))
    assert value("nmse[magnitude]", turned, truth.to(turned.dtype), data_range=None) == pytest.approx(0, abs=1e-12)


def test_rmse_in_hounsfield_units_counts_the_body_alone_where_asked() -> None:
    truth = torch.full((1, 1, 10, 10), 40.0)
    truth[..., :5] = -1000.0
    estimate = truth.clone()
    estimate[..., 5:] += 10
    span = (-1024.0, 3071.0)
    assert value("rmse-hu", estimate, truth, data_range=span) == pytest.approx(10 / math.sqrt(2))
    assert value("rmse-hu[body]", estimate, truth, data_range=span) == pytest.approx(10)
    with pytest.raises(BadInput, match="Hounsfield"):
        value("rmse-hu", estimate / 4000 + 0.5, truth / 4000 + 0.5)


def test_dists_without_its_weights_is_null_with_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    from restore.metrics import features

    def refuse(*_: object, **__: object) -> None:
        from operators import Unavailable

        raise Unavailable("no network in this test")

    monkeypatch.delenv("RESTORE_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(features, "download", refuse)
    monkeypatch.setattr(features, "_failed", {})
    score = metrics.evaluate(*pair((3, 64, 64)), ["dists"])["dists"]
    assert score.value is None and "vgg16" in str(score.reason)


@pytest.mark.parametrize("name", ["ms-ssim", "fsim", "vif", "sam", "ergas", "hfen", "nmse"])
def test_equal_pictures_have_the_best_score_and_a_batch_scores_each_as_if_alone(name: str) -> None:
    estimate, truth = pair((3, 176, 176))
    best = 1.0 if type(metrics.parse(name)).HIGHER_IS_BETTER else 0.0
    assert value(name, truth, truth) == pytest.approx(best, abs=1e-8)  # piq's vif adds 1e-8 to both variances
    other, third = pair((3, 176, 176), seed=1)
    together = metrics.parse(name)(torch.cat([estimate, other]), torch.cat([truth, third]))
    assert together.tolist() == [value(name, estimate, truth), value(name, other, third)]


def test_fid_and_kid_are_those_of_piq() -> None:
    import piq
    import scipy.linalg

    generator = torch.Generator().manual_seed(0)
    one = torch.randn(80, 16, generator=generator, dtype=torch.float64)
    other = 1.3 * torch.randn(90, 16, generator=generator, dtype=torch.float64) + 0.2
    root = scipy.linalg.sqrtm(np.cov(one.numpy().T) @ np.cov(other.numpy().T)).real
    traces = torch.cov(one.T).trace() + torch.cov(other.T).trace() - 2 * np.trace(root)
    expected = float((one.mean(0) - other.mean(0)).square().sum() + traces)
    assert distribution.fid(one, other) == pytest.approx(expected, rel=1e-9)
    # piq takes the root by an iteration that stops early
    assert distribution.fid(one, other) == pytest.approx(float(piq.FID().compute_metric(one, other)), rel=1e-4)
    whole = piq.KID(degree=3, coef0=1, subset_size=80, n_subsets=1)
    expected = float(whole.compute_metric(one, other[:80]))
    assert distribution.kid(one, other[:80]) == pytest.approx(expected, rel=1e-5)


def test_fid_of_two_gaussians_is_known() -> None:
    """Features with exact sample moments: means differ by (3, 0), covariances are I and 4 I."""
    generator = torch.Generator().manual_seed(1)
    raw = torch.randn(500, 2, generator=generator, dtype=torch.float64)
    raw = raw - raw.mean(0)
    white = raw @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(raw.T))).T
    assert distribution.fid(white, 2 * white + torch.tensor([3.0, 0.0])) == pytest.approx(9 + 2, rel=1e-9)


def test_fid_of_too_few_pictures_is_refused() -> None:
    with pytest.raises(BadInput, match="more than 16"):
        distribution.fid(torch.randn(16, 16), torch.randn(40, 16))
    with pytest.raises(BadInput, match="at least 50"):
        distribution.kid(torch.randn(16, 16), torch.randn(40, 16))


@pytest.mark.parametrize("name", list(metrics.REGISTRY))
def test_the_name_of_every_metric_builds_it_again(name: str) -> None:
    assert metrics.parse(metrics.parse(name).name) == metrics.parse(name)
    assert "[" in metrics.canonical(name) or name == "chi2"  # it has no options
