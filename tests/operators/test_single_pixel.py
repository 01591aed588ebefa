"""Hadamard planes and single-pixel measurements against matrices and published masks."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from operators import BadInput, Hadamard, SinglePixel
from operators.sensing.hadamard import ORDERS, pattern_order
from operators.sensing.transforms import sequency_order

GRIDS = [(2, 8, 8), (1, 4, 16), (1, 1, 8)]


def close(got, wanted, tolerance=1e-12):
    return float((got - torch.as_tensor(wanted)).abs().max()) <= tolerance


@pytest.mark.parametrize("shape", [(1, 8, 4), (1, 5, 3)])
def test_plane_is_the_two_sided_product_with_hadamard_matrices(laws, shape):
    a = Hadamard(shape)
    x = laws.picture(a)
    p, q = a.grid
    padded = torch.zeros(2, 1, p, q, dtype=torch.float64)
    padded[..., : shape[1], : shape[2]] = x
    rows, columns = (torch.from_numpy(scipy.linalg.hadamard(n) / n**0.5) for n in (p, q))
    assert close(a(x), rows @ padded @ columns)
    sequency = Hadamard(shape, order="sequency")(x)
    assert close(sequency, a(x)[..., sequency_order(p), :][..., sequency_order(q)])


def test_sizes_are_padded_to_powers_of_two_and_never_cut():
    a = Hadamard((3, 12, 17))
    assert a.output_shape == (3, 16, 32)
    x = torch.rand(1, 3, 12, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert close(a.adjoint(a(x)), x)
    assert SinglePixel((3, 12, 17), ratio=0.25).output_shape == (3, 128)


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("grid", [(8, 8), (2, 16), (1, 4), (1, 1)])
def test_orders_are_permutations_that_begin_with_the_mean(name, grid):
    order = pattern_order(name, grid)
    assert order[0] == 0
    assert sorted(order) == list(range(grid[0] * grid[1]))


@pytest.mark.parametrize("name", ["sequency", "zig-zag"])
def test_orders_equal_the_published_masks(reference, name):
    mask = reference("operators_transforms")[f"deepinv_mask_{name.replace('-', '_')}_m64_16x16"]
    chosen = np.zeros(256)
    chosen[pattern_order(name, (16, 16))[:64]] = 1
    assert (chosen.reshape(16, 16) == mask).all()


@pytest.mark.parametrize("name", ["cake-cutting", "xy"])
def test_orders_with_ties_equal_the_published_masks_up_to_the_last_tie(reference, name):
    mask = reference("operators_transforms")[f"deepinv_mask_{name.replace('-', '_')}_m64_16x16"].ravel()
    changes = np.argsort(sequency_order(16).numpy())
    r, c = np.meshgrid(changes, changes, indexing="ij")
    rank = ((r + 1) * (c + 1) if name == "cake-cutting" else 4 * r * c + r**2 + c**2).ravel()
    order = pattern_order(name, (16, 16))
    assert (np.diff(rank[order]) >= 0).all()
    # Among patterns of the last rank that still enters, the published list takes any.
    last = rank[order[63]]
    chosen = np.zeros(256)
    chosen[order[:64]] = 1
    assert (chosen[rank != last] == mask[rank != last]).all()
    assert mask.sum() == chosen.sum()


def test_masked_plane_equals_the_published_measurement(reference):
    arrays = reference("operators_transforms")
    x = torch.from_numpy(arrays["spc_x"]).double()[None, None]
    y = Hadamard((1, 16, 16), ratio=0.25, select="sequency")(x)
    assert close(y[0, 0], arrays["spc_deepinv_y_sequency_m64"], 2e-6)
    listed = SinglePixel((1, 16, 16), ratio=0.25, order="sequency")
    assert close(listed(x)[0, 0], y[0, 0].flatten()[listed.rows[:64]])


@pytest.mark.parametrize("patterns", ["signed", "binary", "pairs"])
@pytest.mark.parametrize("shape", GRIDS)
@pytest.mark.parametrize("ratio", [0.01, 0.3, 1.0])
def test_closed_forms_equal_dense_algebra(laws, shape, patterns, ratio):
    a = SinglePixel(shape, ratio=ratio, patterns=patterns)
    matrix = laws.dense(a)
    x, y = laws.picture(a), laws.measurement(a)
    assert a.norm() == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-12)
    normal = matrix.T @ matrix + 0.3 * torch.eye(matrix.shape[1], dtype=torch.float64)
    assert close(a.solve(x, 0.3).flatten(1), torch.linalg.solve(normal, x.flatten(1).T).T)
    assert close(a.pinv(y).flatten(1), y.flatten(1) @ torch.linalg.pinv(matrix, rtol=1e-10).T)
    assert close(a.solve(a.adjoint(y), 0.0), a.pinv(y))


@pytest.mark.parametrize("shape", GRIDS)
@pytest.mark.parametrize("order", ["natural", "sequency"])
def test_laws_hold_without_padding(laws, shape, order):
    for a in (Hadamard(shape, ratio=0.4, order=order), Hadamard(shape, order=order), SinglePixel(shape)):
        for law in (laws.pinv_is_a_generalised_inverse, laws.svd_rebuilds_the_operator, laws.backward_is_the_adjoint):
            law(a)
        laws.solve_solves(a, torch.float64)
        laws.norm_is_the_largest_singular_value(a)


def test_binary_patterns_show_zeros_and_ones(laws):
    for patterns in ("binary", "pairs"):
        matrix = laws.dense(SinglePixel((1, 4, 8), patterns=patterns, ratio=1.0)) * 32**0.5
        assert bool(((matrix.abs() < 1e-12) | ((matrix - 1).abs() < 1e-12)).all())


def test_difference_of_a_pair_is_the_signed_reading(laws):
    pairs, signed = (SinglePixel((2, 6, 8), patterns=kind, order="xy") for kind in ("pairs", "signed"))
    x = laws.picture(pairs)
    y = pairs(x)
    assert close(y[..., ::2] - y[..., 1::2], signed(x))
    assert close(pairs.direct(y), signed.direct(signed(x)))


def test_a_mask_of_ones_own_takes_the_place_of_the_share():
    keep = np.zeros((8, 8))
    keep[0, :3] = 1
    a = Hadamard((1, 8, 7), mask=keep, order="sequency")
    assert int(a.observed.sum()) == 3
    assert a.compact().output_shape == (3,)


def test_bad_settings_are_refused():
    with pytest.raises(BadInput, match="zig-zag"):
        SinglePixel((1, 8, 8), order="zigzag")
    with pytest.raises(BadInput, match="pairs"):
        SinglePixel((1, 8, 8), patterns="pair")
    with pytest.raises(BadInput, match="ratio is 0"):
        SinglePixel((1, 8, 8), ratio=0)
    with pytest.raises(BadInput, match=r"8, 8"):
        Hadamard((1, 8, 7), mask=np.ones((3, 8)))
    with pytest.raises(BadInput, match="sequency"):
        Hadamard((1, 8, 8), order="sequence")
    with pytest.raises(BadInput, match="H, W"):
        Hadamard((8,))
