"""Masks keep what they should, and their closed forms are exact; so does the identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import scipy.ndimage
import torch

import operators
from operators import BadInput, BadType, Identity, Mask
from operators.missing.holes import KINDS

RECTANGLES = [((1, 2, 3, 4), (1, 2, 3, 4)), ((2, 4), (3, 3, 2, 4)), (4, (2, 3, 4, 4)), (None, (2, 2, 4, 5))]


def test_a_random_mask_removes_an_exact_count_the_same_in_every_channel() -> None:
    keep = Mask((3, 20, 31), missing=0.7, seed=4).observed
    assert int((~keep[0]).sum()) == round(0.7 * 620)
    assert torch.equal(keep[0], keep[1])
    assert torch.equal(keep[0], keep[2])


def test_a_random_mask_depends_on_its_seed_alone() -> None:
    state = torch.get_rng_state()
    keep = Mask((1, 20, 31), seed=4).observed
    assert torch.equal(keep, Mask((1, 20, 31), seed=4).observed)
    assert not torch.equal(keep, Mask((1, 20, 31), seed=5).observed)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(("box", "hole"), RECTANGLES)
def test_a_box_is_removed_where_it_is_asked_for(box, hole) -> None:
    keep = Mask((2, 8, 10), kind="box", box=box).observed.numpy()
    top, left, height, width = hole
    expected = np.ones((2, 8, 10), bool)
    expected[:, top : top + height, left : left + width] = False
    assert np.array_equal(keep, expected)


def hole(**settings) -> np.ndarray:
    """What is missing of one channel of 64 x 48 pixels."""
    missing = ~Mask((3, 64, 48), **settings).observed.numpy()
    assert (missing == missing[:1]).all()
    return missing[0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.35, 0.6])
def test_strokes_cover_exactly_the_share_they_should(share, seed) -> None:
    missing = hole(kind="strokes", missing=share, seed=seed)
    assert missing.sum() == round(share * 64 * 48)
    # Strokes are thick: most missing pixels have four missing neighbours.
    inside = missing[1:-1, 1:-1] & missing[:-2, 1:-1] & missing[2:, 1:-1] & missing[1:-1, :-2] & missing[1:-1, 2:]
    assert inside.sum() > 0.4 * missing.sum()


def test_strokes_get_thicker_with_their_width() -> None:
    def depth(width: int) -> float:
        masks = [hole(kind="strokes", missing=0.3, width=width, seed=s) for s in range(6)]
        return float(np.mean([scipy.ndimage.distance_transform_edt(m)[m].mean() for m in masks]))

    assert depth(10) > 1.5 * depth(3)


@pytest.mark.parametrize(("direction", "axis", "length"), [("columns", 0, 48), ("rows", 1, 64)])
def test_stripes_are_whole_lines_in_runs_of_their_width(direction, axis, length) -> None:
    missing = hole(kind="stripes", missing=0.25, width=3, direction=direction, seed=1)
    lines = missing.any(axis)
    assert (lines == missing.all(axis)).all()
    assert lines.sum() == round(0.25 * length)


def test_dead_pixels_are_an_exact_count_single_and_in_clusters() -> None:
    missing = hole(kind="dead", missing=0.05, seed=2)
    assert missing.sum() == round(0.05 * 64 * 48)
    labels, count = scipy.ndimage.label(missing)
    sizes = scipy.ndimage.sum(missing, labels, range(1, count + 1))
    assert (sizes == 1).any()
    assert (sizes >= 3).any()


@pytest.mark.parametrize("direction", ["right", "left", "top", "bottom"])
def test_a_half_is_on_its_side(direction) -> None:
    missing = hole(kind="half", direction=direction)
    assert missing.mean() == 0.5
    rows, columns = np.nonzero(missing)
    where = {
        "right": columns.min() == 24,
        "left": columns.max() == 23,
        "top": rows.max() == 31,
        "bottom": rows.min() == 32,
    }
    assert where[direction]


def test_a_border_leaves_the_middle() -> None:
    keep = ~hole(kind="border", width=5)
    assert keep.sum() == 54 * 38
    assert keep[5:-5, 5:-5].all()


@pytest.mark.parametrize(("direction", "expected"), [("rows", np.s_[::3]), ("columns", np.s_[:, ::3])])
def test_every_third_line_is_kept(direction, expected) -> None:
    keep = ~hole(kind="every", period=3, direction=direction)
    wanted = np.zeros((64, 48), bool)
    wanted[expected] = True
    assert np.array_equal(keep, wanted)


def test_a_random_box_moves_with_the_seed_and_stays_off_the_edges() -> None:
    places = set()
    for seed in range(20):
        missing = hole(kind="random-box", box=(20, 15), seed=seed)
        rows, columns = np.nonzero(missing)
        assert missing.sum() == 300
        assert rows.min() >= 4 and rows.max() < 60
        assert columns.min() >= 3 and columns.max() < 45
        places.add((rows.min(), columns.min()))
    assert len(places) > 10


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_depends_on_its_settings_alone_and_fits_volumes(kind) -> None:
    state = torch.get_rng_state()
    for shape in [(1, 4, 9, 11), (9, 7)]:
        first, second = (Mask(shape, kind=kind, seed=3).observed for _ in range(2))
        assert torch.equal(first, second)
        if len(shape) == 4 and kind != "random":
            assert (first == first[:, :1]).all()
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("wrap", [np.asarray, torch.as_tensor, lambda m: m.tolist()], ids=["numpy", "torch", "list"])
@pytest.mark.parametrize("shape", [(6, 5), (3, 6, 5), (1, 6, 5), (3, 1, 1)])
def test_a_mask_of_ones_own_may_be_any_array_that_broadcasts(wrap, shape) -> None:
    mask = np.random.default_rng(0).integers(0, 2, shape)
    keep = Mask((3, 6, 5), mask=wrap(mask)).observed
    assert np.array_equal(keep.numpy(), np.broadcast_to(mask, (3, 6, 5)).astype(bool))


def test_what_is_removed_is_zero_even_where_it_was_nan_and_the_rest_untouched() -> None:
    a = Mask((3, 6, 5), missing=0.5)
    x = torch.rand(2, 3, 6, 5)
    broken = torch.where(a.observed, x, torch.full_like(x, float("nan")))
    assert torch.equal(a(broken), x * a.observed)


def test_the_packed_form_holds_the_observed_pixels_in_row_major_order() -> None:
    a = Mask((1, 4, 6), missing=0.5, seed=2)
    x = torch.rand(2, 1, 4, 6)
    assert torch.equal(a.compact()(x), x.flatten(1)[:, a.observed.flatten()])


def test_recorded_dense_inverses_are_matched(reference: Callable[[str], Mapping[str, np.ndarray]]) -> None:
    arrays = reference("operators_dense_inverse")
    a = Mask((1, 12, 12), mask=arrays["mask"])
    x, z = (torch.from_numpy(arrays[key]).reshape(1, 1, 12, 12) for key in "xz")
    packed = torch.from_numpy(arrays["inpaint_y"])[None]
    y = a.svd.U(packed)
    assert a(x).shape == y.shape
    np.testing.assert_allclose(a.svd.s.numpy(), arrays["inpaint_singular_values"], atol=1e-12)
    for rtol in ("1e-6", "0.05"):
        for got in (a.pinv(y, rtol=float(rtol)), a.compact().pinv(packed, rtol=float(rtol))):
            np.testing.assert_allclose(got[0, 0].numpy(), arrays[f"inpaint_pinv_y_rcond{rtol}"], atol=1e-12)
    for rho in (0.01, 1.0):
        got = a.solve(a.adjoint(y) + rho * z, rho)
        np.testing.assert_allclose(got[0, 0].numpy(), arrays[f"inpaint_prox_rho{rho}"], atol=1e-12)


def test_solve_without_regularisation_leaves_the_hole_empty() -> None:
    a = Mask((1, 5, 4), missing=0.5)
    rhs = torch.rand(1, 1, 5, 4)
    assert torch.equal(a.solve(rhs, 0.0), rhs * a.observed)


@pytest.mark.parametrize("make", [Identity, Mask])
def test_complex_pictures_are_taken_on_request_only(make) -> None:
    x = torch.complex(torch.rand(1, 1, 4, 5), torch.rand(1, 1, 4, 5))
    a = make((1, 4, 5), complex_values=True)
    torch.testing.assert_close(a.gram(a.solve(x, 0.5)) + 0.5 * a.solve(x, 0.5), x)
    with pytest.raises(BadType, match="complex"):
        make((1, 4, 5))(x)


def test_the_identity_gives_a_copy_that_may_be_written_to() -> None:
    x = torch.zeros(1, 3, 4, 4)
    Identity((3, 4, 4))(x).add_(1)
    assert not x.any()


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"mask": [[0.5, 1.0], [1.0, 1.0]]}, "1 values other than 0 and 1, such as 0.5"),
        ({"mask": [[float("nan"), 1.0], [1.0, 1.0]]}, "nan"),
        ({"mask": [[1, 0], [1]]}, "ragged"),
        ({"mask": np.zeros((2, 2))}, "removes every pixel"),
        ({"mask": np.ones((3, 2))}, r"\(3, 2\).*\(1, 2, 2\)"),
        ({"mask": np.ones((0, 2))}, r"\(0, 2\)"),
        ({"missing": 1.0}, "missing is 1.0"),
        ({"missing": -0.1}, "missing is -0.1"),
        ({"missing": 0.99}, "removes every pixel"),
        ({"kind": "box", "box": (0, 0, 9, 1)}, "does not lie"),
        ({"kind": "box", "box": (0, 0, 1)}, "box is"),
        ({"kind": "box", "box": 2}, "removes every pixel"),
        ({"box": 1}, "kind='box'"),
        ({"kind": "half", "missing": 0.2}, "kind='random'"),
        ({"kind": "half", "direction": "rows"}, "direction is 'rows'"),
        ({"kind": "every", "period": 0}, "period is 0"),
        ({"kind": "border", "width": 1}, "removes every pixel"),
        ({"kind": "random-box", "box": (0, 0, 1, 1)}, "its place is random"),
        ({"kind": "rondom"}, "random"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_masks_that_cannot_be_are_refused(parameters: dict, found: str) -> None:
    with pytest.raises(BadInput, match=found):
        operators.build("mask", (1, 2, 2), **parameters)
