"""Fast transforms against SciPy and matrices; measurements with orthonormal rows."""

from __future__ import annotations

import math

import pytest
import scipy.fft
import torch

from operators import BadInput, BadType, CompressedSensing
from operators.sensing.compressed_sensing import BlockGaussian
from operators.sensing.transforms import dct, hadamard, hadamard2, idct, sequency_order

KINDS = [
    "scrambled-dct",
    "scrambled-hadamard",
    "structured-random",
    "random-convolution",
    "partial-fourier",
    "block-gaussian",
]
KEEPS_MEAN = ["scrambled-dct", "scrambled-hadamard", "partial-fourier"]


def close(got, wanted, tolerance=1e-12):
    return float((got - torch.as_tensor(wanted)).abs().max()) <= tolerance


def test_hadamard_equals_the_reference(reference):
    arrays = {k: torch.from_numpy(v) for k, v in reference("operators_transforms").items()}
    assert close(hadamard(arrays["v"]), arrays["fwht_natural_ortho"])
    assert close(hadamard(torch.eye(64, dtype=torch.float64)) * 8, arrays["hadamard64_natural"])
    assert torch.equal(sequency_order(64), arrays["sequency_row_of_natural"])
    assert close(hadamard(arrays["v"])[sequency_order(64)], arrays["fwht_sequency_ortho"])


def test_hadamard_of_rows_and_columns_equals_the_flat_one(reference):
    arrays = {k: torch.from_numpy(v) for k, v in reference("operators_transforms").items()}
    assert close(hadamard(hadamard(arrays["x"]).mT).mT, arrays["wht2_natural_ortho"])
    assert close(hadamard(arrays["x"].flatten()), arrays["wht_flat_natural_ortho"])


def test_dct_equals_the_reference(reference):
    arrays = {k: torch.from_numpy(v) for k, v in reference("operators_transforms").items()}
    assert close(dct(dct(arrays["x"]).mT).mT, arrays["dct2_ortho"])
    assert close(idct(idct(arrays["x"]).mT).mT, arrays["idct2_ortho"])


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 16, 97, 1000])
def test_dct_of_any_length_equals_scipy_and_is_inverted(length):
    x = torch.randn(2, 3, length, dtype=torch.float64, generator=torch.Generator().manual_seed(length))
    assert close(dct(x), scipy.fft.dct(x.numpy(), norm="ortho"))
    assert close(idct(x), scipy.fft.idct(x.numpy(), norm="ortho"))
    assert close(idct(dct(x)), x)


@pytest.mark.parametrize("length", [1, 2, 8, 16, 32, 512, 4096])
def test_hadamard_is_its_own_inverse(length):
    x = torch.randn(2, length, dtype=torch.float64, generator=torch.Generator().manual_seed(length))
    assert close(hadamard(hadamard(x)), x)


def test_transforms_keep_single_precision():
    x = torch.rand(65536, generator=torch.Generator().manual_seed(0))
    for transform in (dct, hadamard):
        # Rounding of 16 butterfly passes, relative to the largest coefficient of about 128.
        assert close(transform(x).double(), transform(x.double()), 128 * 16 * 2**-24)


def test_hadamard_of_other_lengths_is_refused():
    with pytest.raises(BadInput, match=r"12 numbers.*power of two"):
        hadamard(torch.zeros(12))
    with pytest.raises(BadInput, match="12 rows"):
        sequency_order(12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 7, 11), (1, 1, 13)])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0])
def test_rows_are_orthonormal(laws, kind, shape, ratio):
    a = CompressedSensing(shape, kind=kind, ratio=ratio, block=5)
    matrix = laws.dense(a)
    assert close(matrix @ matrix.T, torch.eye(len(matrix), dtype=torch.float64))


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_fast_kinds_measure_the_asked_share_per_channel(kind):
    assert CompressedSensing((3, 32, 48), kind=kind, ratio=0.25).output_shape == (3, 384)
    assert CompressedSensing((3, 7, 5), kind=kind, ratio=0.1).output_shape == (3, round(3.5))
    assert CompressedSensing((1, 2, 2), kind=kind, ratio=0.01).output_shape == (1, 1)


def test_whole_blocks_have_the_published_number_of_rows():
    assert CompressedSensing((1, 66, 99), kind="block-gaussian", block=33, ratio=0.25).output_shape == (1, 6 * 272)
    assert CompressedSensing((1, 33, 33), kind="block-gaussian", block=33, ratio=0.1).output_shape == (1, 109)


@pytest.mark.parametrize("kind", KEEPS_MEAN)
def test_the_mean_is_always_measured(kind):
    for seed in range(4):
        a = CompressedSensing((1, 8, 8), kind=kind, ratio=1 / 64, seed=seed)
        x = torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64)
        assert close(a(x), [[[0.5 * 8]]])


def test_hadamard_of_awkward_sizes_keeps_the_means_of_its_largest_groups():
    a = CompressedSensing((1, 3, 7), kind="scrambled-hadamard", ratio=3 / 21)  # groups of 16, 4 and 1 pixels
    assert close(a(torch.ones(1, 1, 3, 7, dtype=torch.float64)), [[[4.0, 2.0, 1.0]]])


def test_every_pixel_reaches_every_measurement_of_a_scrambled_hadamard(laws):
    matrix = laws.dense(CompressedSensing((1, 8, 8), kind="scrambled-hadamard"))
    assert close(matrix.abs(), torch.full_like(matrix, 1 / 8))


def test_channels_share_one_pattern(laws):
    for kind in KINDS:
        a = CompressedSensing((2, 6, 9), kind=kind, block=4)
        x = laws.picture(a)
        assert torch.equal(a(x.flip(1)), a(x).flip(1))


def test_seeds_change_the_pattern_and_repeat_it(laws):
    for kind in KINDS:
        a, b, c = (CompressedSensing((1, 8, 8), kind=kind, seed=s, block=8) for s in (0, 0, 1))
        x = laws.picture(a)
        assert torch.equal(a(x), b(x))
        assert laws.distance(a(x), c(x)) > 0.1


def test_block_measurements_equal_the_reference(reference):
    arrays = reference("operators_dense_inverse")
    blocks = BlockGaussian((1, 12, 12), ratio=12 / 36, seed=0, block=6)
    blocks.matrix_0.copy_(torch.from_numpy(arrays["cs_P_12x36"]))
    a = CompressedSensing((1, 12, 12), kind="block-gaussian", block=6, ratio=12 / 36)
    a.ensemble = blocks
    y, z = torch.from_numpy(arrays["cs_block6_y"]).reshape(1, 1, 48), torch.from_numpy(arrays["z"])[None, None]
    assert close(a.pinv(y)[0, 0], arrays["cs_block6_pinv_y_rcond1e-6"], 1e-10)
    for rho in (0.01, 1.0):
        assert close(a.solve(a.adjoint(y) + rho * z, rho)[0, 0], arrays[f"cs_block6_prox_rho{rho}"], 1e-10)


def test_loading_a_state_into_one_operator_leaves_others_alone():
    first, second = (CompressedSensing((1, 6, 6), kind="block-gaussian", block=6) for _ in range(2))
    kept = second.ensemble.matrix_0.clone()
    first.ensemble.matrix_0.zero_()
    assert torch.equal(second.ensemble.matrix_0, kept)


def test_solve_without_damping_is_the_pseudo_inverse(laws):
    a = CompressedSensing((1, 8, 9))
    y = laws.measurement(a)
    laws.same(a.solve(a.adjoint(y), 0.0), a.pinv(y))


@pytest.mark.parametrize("ratio", [0, -0.1, 1.01, math.nan, True, "half"])
def test_bad_ratios_are_refused(ratio):
    with pytest.raises((BadInput, BadType), match="ratio is"):
        CompressedSensing((1, 8, 8), ratio=ratio)


def test_bad_settings_are_refused_with_a_suggestion():
    with pytest.raises(BadInput, match="scrambled-dct"):
        CompressedSensing((1, 8, 8), kind="scrambled-dtc")
    with pytest.raises(BadInput, match="block is 0"):
        CompressedSensing((1, 8, 8), kind="block-gaussian", block=0)
    with pytest.raises(BadInput, match="seed is -1"):
        CompressedSensing((1, 8, 8), seed=-1)
    with pytest.raises(BadInput, match="H, W"):
        CompressedSensing((8,))


@pytest.mark.parametrize("shape", [(1, 6, 8), (1, 5, 7), (1, 4, 5), (1, 1, 6)])
def test_partial_fourier_reads_the_unitary_transform(shape):
    a = CompressedSensing(shape, kind="partial-fourier", ratio=1.0)
    x = torch.rand(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    height, width = shape[-2:]
    half = width // 2 + 1
    spectrum = torch.view_as_real(torch.fft.fft2(x, norm="ortho")[..., :half]).flatten()
    read = torch.zeros(2 * height * half, dtype=torch.float64)
    read[a.ensemble.source] = (a(x) / a.ensemble.weight).flatten()
    seen = a.ensemble.source
    assert close(read[seen], spectrum[seen])
    assert len(seen) == height * width


def test_partial_fourier_prefers_low_frequencies():
    a = CompressedSensing((1, 64, 64), kind="partial-fourier", ratio=0.1, decay=3.0)
    b = CompressedSensing((1, 64, 64), kind="partial-fourier", ratio=0.1, decay=0.0)
    ramp = torch.linspace(0, 1, 64, dtype=torch.float64).expand(1, 1, 64, 64)
    assert float((a(ramp) ** 2).sum()) > float((b(ramp) ** 2).sum())
    with pytest.raises(BadInput, match="decay is -1"):
        CompressedSensing((1, 8, 8), kind="partial-fourier", decay=-1)


def test_random_convolution_reads_a_periodic_convolution():
    a = CompressedSensing((1, 6, 7), kind="random-convolution", ratio=1.0)
    x = torch.rand(1, 1, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = a(x).reshape(6, 7)
    assert close(a(x.roll((2, 3), (-2, -1))).reshape(6, 7), y.roll((2, 3), (-2, -1)))
    assert close(torch.fft.fft2(y).abs(), torch.fft.fft2(x[0, 0]).abs())


def test_structured_random_spreads_a_constant_picture():
    a = CompressedSensing((1, 32, 32), kind="structured-random", ratio=1.0)
    y = a(torch.ones(1, 1, 32, 32, dtype=torch.float64))
    # 1024 coefficients of energy 1 each on average; the largest of that many normal ones stays below 5.
    assert float(y.abs().max()) < 5.0


def test_hadamard_of_two_axes_equals_the_reference_and_refuses_other_sizes(reference):
    arrays = {k: torch.from_numpy(v) for k, v in reference("operators_transforms").items()}
    assert close(hadamard2(arrays["x"]), arrays["wht2_natural_ortho"])
    with pytest.raises(BadInput, match=r"12 x 16 numbers.*powers of two"):
        hadamard2(torch.zeros(12, 16))
