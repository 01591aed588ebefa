"""The side-by-side with FFDNet: the network is rebuilt rightly, the table is fair, a missing file is one line."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from benchmarks.peers import ffdnet


def random_network() -> ffdnet.FFDNet:
    """Small random weights in FFDNet's layout, 8 features wide."""
    source = torch.Generator().manual_seed(0)
    widths = [13, *[8] * 11, 12]
    layers = [
        (0.2 * torch.randn(after, before, 3, 3, generator=source), 0.1 * torch.randn(after, generator=source))
        for before, after in itertools.pairwise(widths)
    ]
    return ffdnet.FFDNet(layers)


def test_an_odd_picture_keeps_its_size_and_equals_the_even_one_it_is_padded_to() -> None:
    x = torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(1))
    even = torch.cat([x, x[..., -1:]], dim=-1)
    even = torch.cat([even, even[..., -1:, :]], dim=-2)
    network = random_network()
    assert torch.equal(network.denoise(x, 0.1), network.denoise(even, 0.1)[..., :9, :11])


def test_the_released_weights_reach_their_number_on_the_first_picture(data_root: Path, weights_root: Path) -> None:
    network = ffdnet.FFDNet.load(weights_root / "ffdnet" / "ffdnet_color.npz")
    truths = ffdnet.pictures("cbsd68", data_root, every=1, limit=1)
    (line,) = ffdnet.compare({"ffdnet": network.denoise}, [*truths.values()], data_set="cbsd68", sigma=25)
    # The number of the run whose mean over all 68 pictures is the published one; other noise moves it by 0.02 dB.
    assert line.psnr == pytest.approx(28.13, abs=0.04)


def test_every_method_sees_the_same_noise_and_gains_are_over_the_first() -> None:
    truths = [torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 12, 20), 0.25)]
    methods = {"noisy": lambda x, sigma: x, "again": lambda x, sigma: x, "truth": lambda x, sigma: 0 * x + 0.5}
    lines = list(ffdnet.compare(methods, truths, data_set="flat", sigma=25))
    assert lines[0].psnr == lines[1].psnr == pytest.approx(20.2, abs=0.5)
    rows = list(ffdnet.rows(lines))
    assert ["+0.00" in row for row in rows] == [True, True, False]
    assert {row.count("|") for row in [*rows, *ffdnet.HEAD.splitlines()]} == {8}


def test_missing_weights_are_one_line_and_exit_status_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ffdnet.main(["--data", str(tmp_path), "--weights", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--weights" in error


def test_a_row_for_every_picture_averages_to_the_row_of_the_set(
    data_root: Path, weights_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(*more: str) -> dict[str, float]:
        chosen = ["--set", "set14", "--limit", "2", "--sigma", "50", *more]
        assert ffdnet.main(["--data", str(data_root), "--weights", str(weights_root), *chosen]) == 0
        cells = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
        return {cell[0].removeprefix("| "): float(cell[4]) for cell in cells}

    whole, each = printed(), printed("--each")
    assert set(whole) == {"set14"} and all(name.startswith("set14/") for name in each)
    assert sum(each.values()) / len(each) == pytest.approx(whole["set14"], abs=0.011)
