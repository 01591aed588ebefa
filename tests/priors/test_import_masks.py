"""Masks of ResShift's shifted windows: the released ones at every size, checked against those that a file stores."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from import_helpers import recorded_nets
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import priors
from operators.common.errors import BadInput
from priors.files.checkpoints import load_network, save_network
from priors.files.importing.convert import import_checkpoint
from priors.networks.official.resshift import SwinUNet, recognise, told_by_values
from priors.networks.official.swin import SwinBlock, shift_mask

State = dict[str, Tensor]
FIXTURES = ("resshift_swinunet", "resshift_swinunet_mask")
SIZES = [(8, 8, 4), (8, 24, 4), (24, 8, 4), (4, 12, 4), (16, 40, 8), (40, 8, 8), (9, 15, 3), (2, 6, 2), (64, 64, 8)]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTORE_PRIORS", str(tmp_path / "priors"))


def fixture(name: str) -> tuple[Path, State]:
    path = recorded_nets() / f"{name}.safetensors"
    return path, load_file(path)


def blocked(height: int, width: int, window: int, shift: int) -> Tensor:
    """What ResShift computes, pixel by pixel.

    Regions are three bands of rows. Entry p of a window's list of regions is that of row p % window (columns run
    slowest), while entry p of its pixels is row p // window.
    """
    across = width // window
    mask = torch.zeros(height // window * across, window**2, window**2)
    for index in range(len(mask)):
        top = index // across * window
        bands = [(top + p % window >= height - window) + (top + p % window >= height - shift) for p in range(window**2)]
        for p, one in enumerate(bands):
            for q, other in enumerate(bands):
                mask[index, p, q] = -100.0 if one != other else 0.0
    return mask


@pytest.mark.parametrize("name", FIXTURES)
def test_the_formula_gives_every_stored_mask(name: str) -> None:
    stored = {key: value for key, value in fixture(name)[1].items() if key.endswith("attn_mask")}
    assert len(stored) in (2, 5)
    for mask in stored.values():
        window, side = math.isqrt(mask.shape[1]), math.isqrt(mask.shape[0] * mask.shape[1])
        assert torch.equal(mask, shift_mask(side, side, window, window // 2))
        assert torch.equal(mask, blocked(side, side, window, window // 2))
        assert not torch.equal(mask, shift_mask(side, side, window, window // 2, "textbook"))


@pytest.mark.parametrize(("height", "width", "window"), SIZES[:-1])
def test_the_formula_holds_at_every_size_square_or_oblong(height: int, width: int, window: int) -> None:
    assert torch.equal(shift_mask(height, width, window, window // 2), blocked(height, width, window, window // 2))


@pytest.mark.parametrize(("height", "width", "window"), SIZES)
def test_only_the_last_row_of_windows_is_cut_and_between_columns(height: int, width: int, window: int) -> None:
    mask, across, shift = shift_mask(height, width, window, window // 2), width // window, window // 2
    assert not mask[:-across].any()
    right = (torch.arange(window) >= window - shift).repeat(window)
    cut = torch.where(right[:, None] == right[None, :], 0.0, -100.0)
    assert torch.equal(mask[-across:], cut.expand(across, -1, -1))


def test_the_textbook_mask_cuts_rows_and_columns() -> None:
    mask = shift_mask(8, 8, 4, 2, "textbook")
    low = (torch.arange(4) >= 2).repeat_interleave(4)
    right = (torch.arange(4) >= 2).repeat(4)
    assert not mask[0].any()
    assert torch.equal(mask[1] == 0, right[:, None] == right) and torch.equal(mask[2] == 0, low[:, None] == low)
    assert torch.equal(mask[3] == 0, (right[:, None] == right) & (low[:, None] == low))
    with pytest.raises(BadInput, match="'released' or 'textbook'"):
        shift_mask(8, 8, 4, 2, "usual")


def attended(block: SwinBlock, x: Tensor, mask: Tensor) -> Tensor:
    """A shifted block, window by window."""
    window, shift, heads = block.window, block.shift, block.attn.heads
    width = x.shape[-1]
    moved = torch.roll(block.norm1(x), (-shift, -shift), (2, 3))
    out = torch.zeros_like(moved)
    bias = block.attn.relative_position_bias_table[block.attn.relative_position_index]
    for index in range(len(mask)):
        top, left = index // (width // window) * window, index % (width // window) * window
        view = (slice(None), slice(None), slice(top, top + window), slice(left, left + window))
        tokens = moved[view].flatten(2).transpose(1, 2)
        q, k, v = block.attn.qkv(tokens).chunk(3, dim=2)
        parts = []
        for head in range(heads):
            part = slice(head * q.shape[2] // heads, (head + 1) * q.shape[2] // heads)
            logits = q[..., part] @ k[..., part].transpose(1, 2) * (q.shape[2] // heads) ** -0.5
            parts.append((logits + bias[..., head] + mask[index]).softmax(-1) @ v[..., part])
        seen = block.attn.proj(torch.cat(parts, 2))
        out[view] = seen.transpose(1, 2).unflatten(2, (window, window))
    x = x + torch.roll(out, (shift, shift), (2, 3))
    return x + block.mlp(block.norm2(x))


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (8, 20), (20, 8), (4, 8)])
def test_a_shifted_block_attends_behind_the_released_mask_at_every_size(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    block = SwinBlock(32, heads=2, window=4, shift=2, resolution=8, mlp_ratio=2.0).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(std=0.3)
        x = torch.randn(2, 32, *size)
        torch.testing.assert_close(block(x), attended(block, x, blocked(*size, 4, 2)), atol=1e-4, rtol=1e-4)
        other = attended(block, x, shift_mask(*size, 4, 2, "textbook"))
        assert float((block(x) - other).abs().max()) > 0.01


def textbook(state: State) -> State:
    changed = dict(state)
    for key, mask in state.items():
        if key.endswith("attn_mask"):
            window, side = math.isqrt(mask.shape[1]), math.isqrt(mask.shape[0] * mask.shape[1])
            changed[key] = shift_mask(side, side, window, window // 2, "textbook")
    return changed


def swin_of(state: State, folder: Path) -> Any:
    path = folder / "net_s4.safetensors"
    save_file(state, path)
    made = import_checkpoint(path, format="resshift", autoencoder=Path("none"), name="x", overwrite=True)
    return priors.load(made.name).network


@pytest.mark.parametrize("size", [(16, 16), (16, 32), (32, 16), (24, 24), (13, 30)])
def test_an_imported_network_keeps_the_kind_of_its_masks_at_every_size(tmp_path: Path, size: tuple[int, int]) -> None:
    state = fixture("resshift_swinunet")[1]
    torch.manual_seed(0)
    x, lq, t = torch.randn(1, 3, *size), torch.randn(1, 3, *size), torch.tensor([3.0])
    with torch.no_grad():
        outputs = []
        for weights, kind in ((state, "released"), (textbook(state), "textbook")):
            imported = swin_of(weights, tmp_path)
            shapes = {key: tuple(value.shape) for key, value in weights.items()}
            network: nn.Module = SwinUNet(**recognise(shapes), mask=kind).eval()
            network.load_state_dict(weights)
            torch.testing.assert_close(imported(x, t, lq), network(x, t, lq), atol=1e-4, rtol=1e-4)
            outputs.append(imported(x, t, lq))
        assert float((outputs[0] - outputs[1]).abs().max()) > 0.1


@pytest.mark.parametrize("change", ["entry", "transposed", "one of two kinds"])
def test_a_file_whose_masks_are_of_no_kind_is_refused(tmp_path: Path, change: str) -> None:
    state = fixture("resshift_swinunet")[1]
    key = "input_blocks.1.1.blocks.1.attn_mask"
    mask = state[key].clone()
    if change == "entry":
        mask[-1, 0, 0] = -100.0
    elif change == "transposed":  # the last column of windows cut in the place of the last row
        mask = mask.unflatten(0, (4, 4)).transpose(0, 1).flatten(0, 1).contiguous()
    else:
        mask = textbook(state)[key]
    said = "of two kinds" if change == "one of two kinds" else f"{key} is neither"
    with pytest.raises(BadInput, match=said):
        swin_of({**state, key: mask}, tmp_path)
    assert not (tmp_path / "priors").exists()


def test_a_network_stored_before_its_header_said_the_kind_has_the_released_masks(tmp_path: Path) -> None:
    path, state = fixture("resshift_swinunet")
    made = import_checkpoint(path, format="resshift", autoencoder=Path("none"), name="x")
    stored = load_network(made.path)
    settings = recognise({key: tuple(value.shape) for key, value in state.items()})
    assert not {"mask", "groups"} & set(settings)
    x, t = torch.randn(1, 3, 8, 24), torch.tensor([3.0])
    with torch.no_grad():
        wanted = priors.load("x").network(x, t, x)
        save_network(
            made.path,
            stored.network,
            architecture="resshift",
            settings=settings,
            preconditioning=dict(stored.preconditioning),
            notes=dict(stored.notes),
            dtype=torch.float32,
        )
        assert torch.equal(priors.load("x").network(x, t, x), wanted)


def test_a_stored_network_whose_header_says_another_kind_is_refused_when_loaded(tmp_path: Path) -> None:
    path, _ = fixture("resshift_swinunet")
    made = import_checkpoint(path, format="resshift", autoencoder=Path("none"), name="x")
    stored = load_network(made.path)
    network = stored.network
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    save_network(
        made.path,
        network,
        architecture="resshift",
        settings={**recognise(shapes), "mask": "textbook"},
        preconditioning=dict(stored.preconditioning),
        notes=dict(stored.notes),
        dtype=torch.float32,
    )
    with pytest.raises(BadInput, match="holds released masks of shifted windows and its header says textbook"):
        priors.load("x")


def test_a_network_without_shifted_windows_has_no_mask_to_check() -> None:
    assert told_by_values({"out.2.weight": torch.zeros(1)}) == {}
