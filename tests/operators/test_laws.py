"""Every operator of the registry keeps the laws, on odd, even, square and oblong pictures of one and three channels."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

import operators
from operators.common.kinds import Number
from operators.common.settings import rules
from operators.core.base import LinearOperator

SHAPES = [(3, 12, 12), (1, 17, 12), (3, 9, 15)]
SMALL = (3, 6, 5)  # for laws of dense algebra
VOLUMES = {(3, 12, 12): (1, 6, 6, 6), (1, 17, 12): (2, 4, 7, 5), (3, 9, 15): (1, 5, 6, 8), SMALL: (1, 4, 5, 3)}


def fitting(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with the axes and the channels that the operator is made for."""
    kind = operators.REGISTRY.load(name)
    chosen = VOLUMES[shape] if getattr(kind, "spatial", 2) == 3 else shape
    channels = getattr(kind, "channels", None)
    return chosen if channels is None else (channels, *chosen[1:])


# More settings of registered operators, beside the defaults that every entry is tested with.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("mask", {"kind": "box"}),
    ("mask", {"missing": 0.3, "complex_values": True}),
    ("mask", {"kind": "strokes"}),
    ("mask", {"kind": "every", "period": 3, "direction": "columns"}),
    ("mosaic", {"pattern": "x-trans", "form": "packed"}),
    ("mosaic", {"pattern": "quad-GBRG"}),
    ("identity", {"complex_values": True}),
    ("blur", {"kernel": "gaussian", "size": 5, "sigma": 1.2, "boundary": "symmetric"}),
    ("blur", {"kernel": "motion", "length": 4, "angle": 30, "size": 7, "boundary": "circular"}),
    ("blur", {"kernel": "motion", "length": 4, "angle": 30, "size": 7, "boundary": "reflect"}),
    ("blur", {"kernel": "disk", "radius": 2, "boundary": "zero"}),
    ("blur", {"kernel": "box", "size": 4, "boundary": "valid"}),
    ("blur-varying", {"count": 2, "sigma": (0.5, 1.0), "boundary": "zero"}),
    ("blur-decimate", {"factor": 3, "offset": (1, 2), "size": 5}),
    ("blur-decimate", {"factor": 2, "offset": 1, "kernel": "motion", "length": 4, "boundary": "symmetric"}),
    ("downsample", {"factor": 2, "filter": "area"}),
    ("downsample", {"factor": 2.5, "filter": "lanczos3"}),
    ("downsample", {"factor": 3, "filter": "bilinear", "boundary": "renormalise"}),
    ("downsample", {"size": (20, 5)}),
    ("resize", {"scale": (0.4, 1.7), "filter": "hamming", "boundary": "replicate"}),
    ("resize", {"size": (7, 20), "filter": "lanczos2"}),
    ("resize", {"scale": 0.45, "filter": "bicubic-aliased", "boundary": "replicate"}),
    ("compressed-sensing", {"kind": "scrambled-hadamard", "ratio": 0.5, "seed": 3}),
    ("compressed-sensing", {"kind": "block-gaussian", "block": 5}),
    ("compressed-sensing", {"kind": "structured-random"}),
    ("compressed-sensing", {"kind": "random-convolution", "ratio": 0.4}),
    ("compressed-sensing", {"kind": "partial-fourier", "ratio": 0.3}),
    ("hadamard", {"order": "sequency", "ratio": 0.3}),
    ("single-pixel", {"order": "zig-zag", "patterns": "binary"}),
    ("single-pixel", {"order": "random", "patterns": "pairs", "ratio": 1.0}),
    ("cassi", {"kind": "dual", "shift": 1}),
    ("cassi", {"kind": "single", "shift": -3, "transmission": 0.3}),
    ("spectral", {"kind": "average", "bands": 1}),
    ("band-mask", {"kind": "stripes"}),
    ("pansharpen", {"factor": 2.5, "filter": "bicubic"}),
    ("mri", {"kind": "poisson", "acceleration": 2, "complex_values": False}),
    ("mri", {"kind": "equispaced", "frames": "different", "acceleration": 3}),
    ("mri-multicoil", {"coils": 2, "kind": "radial", "acceleration": 3, "complex_values": False}),
    ("mri-multicoil", {"coils": 3, "frames": "different", "acceleration": 2}),
    ("mri-nufft", {"kind": "spiral", "coils": 2, "complex_values": False}),
    ("mri-nufft", {"kind": "golden", "frames": "different", "acceleration": 3, "eps": 1e-3}),
    ("ct-parallel", {"projector": "strip", "views": 24, "shift": 0.7}),
    ("ct-parallel", {"projector": "joseph", "views": 24, "detectors": 15, "spacing": 1.3}),
    ("ct-parallel", {"views": 20, "span": 2.0, "start": 0.3, "detectors": 11, "pixel": 0.5}),
    ("ct-fan", {"scan": "short", "views": 30, "shift": 0.4}),
    ("ct-fan", {"projector": "joseph", "angles": [0.1, 0.5, 2.0, 4.0], "detectors": 9}),
    ("ct-cone", {"views": 8, "scan": "short", "row_shift": 0.5, "rows": 5}),
    ("phase-retrieval", {"measure": "intensity", "pad": (1, 2)}),
    ("phase-retrieval", {"kind": "coded", "complex_values": True}),
    ("phase-retrieval", {"complex_values": True}),
    ("ptychography", {"measure": "amplitude", "positions": [[0.0, 0.0], [1.5, 0.25], [3.0, 2.0]]}),
    ("scattering", {"transmitters": 3, "receivers": 7}),
    ("jpeg", {"quality": 50, "subsampling": "4:4:4"}),
    ("jpeg", {"upsampling": "replicate", "limit": "unclipped", "samples": "exact"}),
    ("hdr", {"pivot": 0.5}),
]
CASES = [(name, {}) for name in operators.REGISTRY] + VARIANTS
_BUILT: dict[str, Any] = {}


def _label(case: tuple[str, dict[str, Any]]) -> str:
    name, settings = case
    return "-".join([name, *(f"{key}={value}" for key, value in settings.items())])


@pytest.fixture(params=SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def shape(request):
    return request.param


# Laws of housekeeping, which no size can break alone.
one_shape = pytest.mark.parametrize("shape", SHAPES[2:], indirect=True, ids=str)
small = pytest.mark.parametrize("shape", [SMALL], indirect=True, ids=str)


@pytest.fixture(params=CASES, ids=_label)
def any_operator(request, laws, shape, device):
    name, settings = request.param
    key = f"{_label(request.param)} {shape} {device}"
    if key not in _BUILT:
        _BUILT[key] = laws.placed(operators.build(name, fitting(name, shape), **settings), device)
    return _BUILT[key]


@pytest.fixture
def operator(any_operator):
    if not isinstance(any_operator, LinearOperator):
        pytest.skip("not a linear operator")
    return any_operator


@pytest.fixture(params=[torch.float64, torch.float32], ids=["double", "single"])
def dtype(request):
    return request.param


@pytest.mark.parametrize("positive", [False, True], ids=["gaussian", "positive"])
def test_adjoint_passes_the_dot_test(laws, operator, dtype, positive):
    laws.adjoint_passes_the_dot_test(operator, dtype, positive=positive)


def test_map_is_linear(laws, operator):
    laws.map_is_linear(operator)


def test_shapes_and_types_follow_the_input(laws, operator, dtype):
    laws.shapes_and_types_follow(operator, dtype)


def test_backward_is_the_adjoint_and_double_backward_the_map(laws, operator):
    laws.backward_is_the_adjoint(operator)


def test_norm_is_the_largest_singular_value(laws, operator):
    laws.norm_is_the_largest_singular_value(operator)


def test_batch_of_three_equals_each_alone(laws, any_operator):
    laws.batch_of_three_equals_each_alone(any_operator)


def test_empty_batch_gives_empty_batch(laws, any_operator):
    laws.empty_batch_gives_empty_batch(any_operator)


def test_memory_layout_does_not_matter(laws, any_operator):
    laws.memory_layout_does_not_matter(any_operator)


@one_shape
def test_input_and_global_random_state_stay_as_they_were(laws, any_operator):
    laws.input_and_global_random_state_stay(any_operator)


def test_wrong_shapes_and_types_are_refused(laws, any_operator):
    laws.wrong_inputs_are_refused(any_operator)


@one_shape
def test_copies_and_pickles_equal_the_original(laws, any_operator):
    laws.copies_equal_the_original(any_operator)


@one_shape
def test_moving_keeps_the_state(laws, any_operator):
    laws.moving_keeps_state(any_operator)


@one_shape
def test_autocast_and_inference_mode_do_not_matter(laws, operator):
    laws.autocast_and_inference_mode_do_not_matter(operator)


def test_solve_solves(laws, operator, dtype):
    laws.solve_solves(operator, dtype)


def test_pinv_is_a_generalised_inverse(laws, operator):
    laws.pinv_is_a_generalised_inverse(operator)


@small
def test_solve_equals_the_dense_answer(laws, operator):
    laws.solve_equals_the_dense_answer(operator)


@small
def test_pinv_equals_the_dense_answer(laws, operator):
    laws.pinv_equals_the_dense_answer(operator)


@small
def test_least_squares_equal_the_dense_answer(laws, operator):
    laws.least_squares_equals_the_dense_answer(operator)


@small
def test_conjugate_gradients_equal_the_dense_answer(laws, operator):
    laws.conjugate_gradients_equal_the_dense_answer(operator)


@small
def test_tikhonov_at_a_given_weight_equals_the_dense_answer(laws, operator):
    laws.tikhonov_equals_the_dense_answer(operator)


def test_pinv_of_zero_is_zero(laws, operator):
    laws.pinv_of_zero_is_zero(operator)


def test_svd_rebuilds_the_operator(laws, operator):
    if operator.svd is None:
        pytest.skip("no fast singular value decomposition")
    laws.svd_rebuilds_the_operator(operator)


def test_derivatives_match_finite_differences(laws, any_operator):
    laws.derivatives_match_finite_differences(any_operator)


@pytest.mark.parametrize("case", CASES, ids=_label)
def test_building_twice_gives_the_same_operator(laws, case, shape):
    first, second = (operators.build(case[0], fitting(case[0], shape), **case[1]) for _ in range(2))
    assert torch.equal(first(laws.picture(first)), second(laws.picture(first)))


NO_SHAPES = (5, "ab", (1, 2, None, 3), (), (-1, 4, 4), (1, 0, 4), (1, 4.5, 4), None, [[1, 2], [3]], (True, 4, 4))
BEYOND_MEMORY = ((1, 10**12, 4), (1, 10**9, 10**9), (1, 10**30, 4), (float("nan"), 4, 4), (float("inf"), 4, 4))


@pytest.mark.parametrize("name", operators.REGISTRY)
@pytest.mark.parametrize("wrong", [*NO_SHAPES, *BEYOND_MEMORY], ids=str)
def test_what_is_no_shape_of_a_picture_is_refused_before_anything_is_made(name, wrong):
    with pytest.raises(operators.BadInput, match="input_shape") as refusal:
        operators.build(name, wrong)
    assert "\n" not in str(refusal.value)


def extravagant() -> list[tuple[str, str]]:
    """Names of operators and of their settings that are numbers."""
    return [
        (name, key)
        for name in operators.REGISTRY
        for key, rule in rules(operators.REGISTRY.load(name)).items()
        if any(isinstance(kind, Number) for kind in rule.kinds)
    ]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, at 1e300
@pytest.mark.parametrize(("name", "key"), extravagant())
def test_extravagant_settings_end_in_one_line_or_in_an_operator(name, key):
    for value in (10**9, 10**12, 10**30, 1e300, 1e-300, -(10**9), float("nan"), float("inf")):
        began = time.perf_counter()
        try:
            operators.build(name, fitting(name, (3, 12, 12)), **{key: value})
        except (operators.BadInput, operators.BadType) as refusal:
            # What was refused for want of memory was tried first, and may succeed on a larger machine.
            assert "\n" not in str(refusal) and not isinstance(refusal.__cause__, MemoryError)
        assert time.perf_counter() - began < 5
