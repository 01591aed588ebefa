"""The pictures of the documentation: how they are drawn, and that they are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.studies import gallery
from restore import tasks

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def test_five_panels_share_the_truths_scale_and_the_baselines_errors() -> None:
    truth = torch.linspace(0, 1, 400).reshape(1, 20, 20)
    pictures = {"truth": truth, "baseline": truth + 0.2, "estimate": truth}
    strip, rules = gallery.draw(pictures, unit="magnitude")
    panels = [strip[:, k * (20 + gallery.GAP) : k * (20 + gallery.GAP) + 20] for k in range(5)]
    assert strip.shape == (20, 5 * 20 + 4 * gallery.GAP, 3)
    assert np.array_equal(panels[0], panels[2]) and int(panels[1].astype(int).sum()) > int(panels[0].astype(int).sum())
    # The ends of the error's colours: full where the baseline is, none where the estimate is.
    assert len(np.unique(panels[3].reshape(-1, 3), axis=0)) == len(np.unique(panels[4].reshape(-1, 3), axis=0)) == 1
    assert not np.array_equal(panels[3], panels[4]) and "0 to 0.2" in rules["errors"]


def test_complex_pictures_are_drawn_by_magnitude_and_only_inside_the_box() -> None:
    truth = torch.rand(1, 12, 16, generator=torch.Generator().manual_seed(0))
    pictures = {"truth": truth, "baseline": truth + 0.1, "estimate": truth}
    turned = {name: 1j * picture for name, picture in pictures.items()}
    box = (2, 10, 3, 9)
    plain, _ = gallery.draw(pictures, unit="magnitude", box=box)
    assert plain.shape == (8, 5 * 6 + 4 * gallery.GAP, 3)
    assert np.abs(gallery.draw(turned, unit="complex", box=box)[0].astype(int) - plain).max() <= 1


@pytest.mark.parametrize("exhibit", gallery.EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_every_exhibit_can_be_run_and_is_shown_with_figures_and_owner(exhibit: gallery.Exhibit) -> None:
    tasks.load(exhibit.task).override(exhibit.settings)
    caption = (PICTURES / "README.md").read_text("utf-8")
    assert exhibit.command() in caption and exhibit.credit in caption and f"({exhibit.name}.png)" in caption
    assert 10_000 < (PICTURES / f"{exhibit.name}.png").stat().st_size < 200_000
