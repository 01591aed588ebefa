"""Coded-aperture snapshots against published values and dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators import CASSI, BadInput, BadType


def close(got, wanted, tolerance=1e-12):
    return float((got - torch.as_tensor(wanted)).abs().max()) <= tolerance


CASES = [
    {"kind": "single", "shift": 2},
    {"kind": "single", "shift": -1},
    {"kind": "single", "shift": 0},
    {"kind": "single", "shift": 9},  # bands do not touch: some detector pixels see nothing
    {"kind": "dual", "shift": 1},
    {"kind": "dual", "shift": -2, "transmission": 0.2},
]


def test_snapshot_and_starting_point_equal_the_reference(reference):
    arrays = reference("operators_hyper")
    a = CASSI((28, 12, 14), shift=2, mask=arrays["mask"])
    y = a(torch.from_numpy(arrays["x"])[None])
    # The reference was computed in single precision.
    assert close(y[0, 0], arrays["mst_meas_sum_shift2"], 1e-5 * 4.3)
    assert close(a.direct(y)[0], arrays["mst_H_scaled_2_over_C"], 1e-5)


@pytest.mark.parametrize("way", ["w", "h"])
@pytest.mark.parametrize("kind", ["single", "dual"])
def test_means_over_bands_equal_the_peer_where_it_is_right(reference, way, kind):
    arrays = reference("operators_hyper")
    name = f"deepinv_{'sd' if kind == 'single' else 'ss'}_{way}"

    def turned(array):
        # There the shift may run along rows; here it runs along columns.
        tensor = torch.from_numpy(array).double()
        return tensor if way == "w" else tensor.mT.contiguous()

    x, mask = turned(arrays["ci_x"]), turned(arrays["ci_mask"])
    if kind == "dual":
        # The peer's first prism moves bands to the right under a fixed mask: band c meets column j + c.
        mask = torch.stack([torch.nn.functional.pad(m, (0, 4))[:, c : c + m.shape[1]] for c, m in enumerate(mask)])
    a = CASSI(tuple(x.shape), kind=kind, shift=1, mask=mask)
    bands = x.shape[0]
    assert close(a(x[None])[0, 0] / bands, turned(arrays[name]), 1e-6)
    v = turned(arrays[f"{name}_v"])
    assert close(a.adjoint(v[None, None])[0] / bands, turned(arrays[f"{name}_adj"]), 1e-6)


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_map_equals_its_formula(laws, settings):
    bands, height, width = 3, 4, 6
    a = CASSI((bands, height, width), **settings)
    x, d, mask = laws.picture(a), a.shift, a.mask
    wanted = torch.zeros(2, *a.output_shape, dtype=torch.float64)
    for c in range(bands):
        for j in range(width):
            if a.kind == "single":
                place = j + d * c - min(0, d * (bands - 1))
                wanted[:, 0, :, place] += mask[:, j] * x[:, c, :, j]
            else:
                # Column 0 of the wide mask is the leftmost that any band meets.
                seen = j - d * c - min(0, -d * (bands - 1))
                wanted[:, 0, :, j] += mask[:, seen] * x[:, c, :, j]
    assert close(a(x), wanted)


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_closed_forms_equal_dense_algebra(laws, settings):
    a = CASSI((3, 4, 6), **settings)
    matrix = laws.dense(a)
    x, y = laws.picture(a), laws.measurement(a)
    normal = matrix.T @ matrix + 0.3 * torch.eye(matrix.shape[1], dtype=torch.float64)
    assert close(a.solve(x, 0.3).flatten(1), torch.linalg.solve(normal, x.flatten(1).T).T)
    assert close(a.pinv(y).flatten(1), y.flatten(1) @ torch.linalg.pinv(matrix, rtol=1e-10).T)
    assert a.norm() == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-12)
    laws.svd_rebuilds_the_operator(a)


def test_basis_is_orthonormal_for_grey_masks(laws):
    mask = np.linspace(0, 1, 3 * 4 * 6).reshape(3, 4, 6)
    a = CASSI((3, 4, 6), mask=mask)
    basis = a.svd.Vt(torch.eye(72, dtype=torch.float64).reshape(72, 3, 4, 6))
    assert close(basis @ basis.T, torch.eye(72, dtype=torch.float64))
    laws.svd_rebuilds_the_operator(a)


def test_dual_disperser_sees_nothing_beyond_a_narrow_mask():
    a = CASSI((2, 1, 3), kind="dual", shift=1, mask=np.array([[1.0, 2.0, 3.0]]))
    x = torch.tensor([[[[1.0, 1.0, 1.0]], [[10.0, 10.0, 10.0]]]], dtype=torch.float64)
    # Band 0 meets 1, 2, 3; band 1 meets nothing, 1, 2.
    assert close(a(x), [[[[1.0, 12.0, 23.0]]]])


def test_real_sizes_fit_the_measured_data():
    assert CASSI((28, 660, 660), shift=2).output_shape == (1, 660, 714)
    assert CASSI((28, 256, 256)).output_shape == (1, 256, 310)


def test_bad_settings_are_refused():
    with pytest.raises(BadInput, match="single"):
        CASSI((3, 8, 8), kind="sngle")
    with pytest.raises(BadType, match=r"shift is 1\.5"):
        CASSI((3, 8, 8), shift=1.5)
    with pytest.raises(BadInput, match=r"\(4, 8\).*8 x 8 or 3 x 8 x 8"):
        CASSI((3, 8, 8), mask=np.ones((4, 8)))
    with pytest.raises(BadInput, match="negative"):
        CASSI((3, 8, 8), mask=-np.ones((8, 8)))
    with pytest.raises(BadInput, match="transmission is 0"):
        CASSI((3, 8, 8), transmission=0)
    with pytest.raises(BadInput, match="bands, H, W"):
        CASSI((8, 8))
