"""Spectral responses, band masks and the pansharpening pair against dense algebra and counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators import BadInput, BadType, BandMask, Downsample, Pansharpen, SpectralResponse


def close(got, wanted, tolerance=1e-12):
    return float((got - torch.as_tensor(wanted)).abs().max()) <= tolerance


def dense_checks(laws, a):
    matrix = laws.dense(a)
    x, y = laws.picture(a), laws.measurement(a)
    normal = matrix.T @ matrix + 0.3 * torch.eye(matrix.shape[1], dtype=torch.float64)
    assert close(a.solve(x, 0.3).flatten(1), torch.linalg.solve(normal, x.flatten(1).T).T)
    # Singular values of these matrices are 0 or far above 1e-6 of the largest.
    wanted = y.flatten(1) @ torch.linalg.pinv(matrix, rtol=1e-6).T
    assert close(a.pinv(y, rtol=1e-6).flatten(1), wanted, 1e-9)
    assert a.norm() == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-12)
    laws.svd_rebuilds_the_operator(a)


@pytest.mark.parametrize("settings", [{}, {"kind": "average", "bands": 2}, {"kind": "pick", "bands": [4, 0]}], ids=str)
def test_response_equals_dense_algebra(laws, settings):
    dense_checks(laws, SpectralResponse((5, 2, 3), **settings))


def test_response_of_more_bands_than_there_are_equals_dense_algebra(laws):
    dense_checks(laws, SpectralResponse((2, 3), matrix=np.arange(8.0).reshape(4, 2)))


def test_response_mixes_bands_at_each_pixel(laws):
    matrix = np.random.default_rng(0).random((3, 7))
    a = SpectralResponse((7, 4, 5), matrix=matrix)
    x = laws.picture(a)
    assert close(a(x), np.einsum("bc,nchw->nbhw", matrix, x.numpy()))


def test_responses_are_means():
    for kind, bands in (("gaussian", 4), ("average", 3), ("pick", [2])):
        rows = SpectralResponse((10, 2, 2), kind=kind, bands=bands).matrix
        assert close(rows.sum(1), torch.ones(len(rows)))
    averages = SpectralResponse((7, 1, 1), kind="average", bands=2).matrix
    assert ((averages > 0).sum(0) == 1).all()
    assert (averages > 0).sum(1).tolist() == [4, 3]


def test_gaussian_responses_are_half_as_high_at_half_their_distance():
    row = SpectralResponse((101, 1), kind="gaussian", bands=1).matrix[0]
    # One response over 101 bands: centre 50, full width at half maximum 101.
    assert float(row[0] / row[50]) == pytest.approx(0.5 ** ((50 / 50.5) ** 2))


def test_band_masks_remove_what_they_say():
    whole = BandMask((10, 4, 20), kind="bands", missing=0.3).keep
    assert int((~whole).all(dim=(1, 2)).sum()) == 3 and int((~whole).sum()) == 3 * 80
    named = BandMask((10, 4, 20), kind="bands", bands=[1, 7]).keep
    assert (~named).any(dim=(1, 2)).nonzero()[:, 0].tolist() == [1, 7]
    for kind in ("stripes", "deadlines"):
        keep = BandMask((9, 4, 20), kind=kind, missing=0.15).keep
        assert (keep == keep[:, :1]).all()
        lost = (~keep[:, 0]).sum(1)
        assert sorted(lost.tolist()) == [0] * 6 + [3] * 3


def test_band_masks_repeat_with_their_seed():
    a, b, c = (BandMask((9, 4, 20), seed=s).keep for s in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize(
    "settings",
    [{"factor": 2}, {"factor": 2.5, "filter": "bicubic", "bands": 2}, {"factor": 3, "kind": "gaussian", "bands": 4}],
    ids=str,
)
def test_pair_equals_dense_algebra(laws, settings):
    dense_checks(laws, Pansharpen((4, 6, 5), **settings))


def test_pair_comes_apart_into_both_pictures(laws):
    a = Pansharpen((4, 8, 6), factor=2)
    x = laws.picture(a)
    coarse, fine = a.split(a(x))
    assert close(coarse, Downsample((4, 8, 6), factor=2, filter="area")(x))
    assert close(fine, x.mean(1, keepdim=True))


def test_direct_fusion_keeps_the_fine_picture(laws):
    a = Pansharpen((4, 8, 8), factor=2)
    y = a(laws.picture(a))
    assert close(a.fine(a.direct(y)), a.split(y)[1])


def test_bad_settings_are_refused():
    with pytest.raises(BadInput, match="bands is 9"):
        SpectralResponse((3, 4, 4), bands=9)
    with pytest.raises(BadType, match="list of .* whole numbers"):
        SpectralResponse((3, 4, 4), kind="pick", bands=2)
    with pytest.raises(BadInput, match=r"\[0, 3\].*0 to 2"):
        SpectralResponse((3, 4, 4), kind="pick", bands=[0, 3])
    with pytest.raises(BadInput, match=r"\(2, 4\).*3 input bands"):
        SpectralResponse((3, 4, 4), matrix=np.ones((2, 4)))
    with pytest.raises(BadInput, match="average"):
        SpectralResponse((3, 4, 4), kind="averages")
    with pytest.raises(BadInput, match="missing is 0"):
        BandMask((3, 4, 4), missing=0)
    with pytest.raises(BadInput, match="0 to 2"):
        BandMask((3, 4, 4), bands=[3])
    with pytest.raises(BadInput, match="stripes"):
        BandMask((3, 4, 4), kind="stripe")
    with pytest.raises(BadInput, match="bands, H, W"):
        Pansharpen((4, 4))
