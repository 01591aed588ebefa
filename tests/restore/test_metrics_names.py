"""A metric's name holds its convention, and says so in one way only."""

from __future__ import annotations

import subprocess
import sys

import pytest

from operators import BadInput
from restore import metrics


@pytest.mark.parametrize(
    "name",
    [
        "psnr[y601,crop=4]",
        "psnr[rgb,clip,peak=1]",
        "psnr[volume-max]",
        "psnr[magnitude,volume-max]",
        "ssim[gauss1.5,rgb]",
        "ssim[gauss1.5,y601,crop=4]",
        "lpips[alex,v0.1]",
        "chroma-rmse[bt601]",
        "mae[rgb,crop=2]",
        "rmse[any]",
        "psnr[rgb,clip,peak=1,flip]",
        "ssim[gauss1.5,rgb,flip]",
        "lpips[alex,v0.1,flip]",
    ],
)
def test_a_canonical_name_is_its_own_canonical_name(name: str) -> None:
    assert metrics.canonical(name) == name
    assert metrics.parse(name).name == name


@pytest.mark.parametrize(
    ("loose", "canonical"),
    [
        (" PSNR[ crop=4 , y601 ] ", "psnr[y601,crop=4]"),
        ("psnr[peak=1.0,clip,rgb]", "psnr[rgb,clip,peak=1]"),
        ("psnr[y601,clip,crop=0]", "psnr[y601]"),
        ("ssim[y601,crop=4]", "ssim[gauss1.5,y601,crop=4]"),
        ("ssim[rgb,clip]", "ssim[gauss1.5,rgb]"),
        ("lpips[v0.1]", "lpips[alex,v0.1]"),
        ("lpips", "lpips[alex,v0.1]"),
        ("psnr", "psnr[rgb,clip,peak=1]"),
        ("chroma-rmse[crop=4]", "chroma-rmse[bt601,crop=4]"),
        ("chroma-rmse[clip]", "chroma-rmse[bt601]"),
        ("chroma-rmse[unclipped]", "chroma-rmse[bt601,unclipped]"),
        ("psnr[any]", "psnr[any]"),
    ],
)
def test_spellings_of_one_convention_share_a_canonical_name(loose: str, canonical: str) -> None:
    assert metrics.canonical(loose) == canonical
    assert metrics.parse(loose) == metrics.parse(canonical)


def test_every_default_convention_is_canonical_and_every_family_has_one() -> None:
    assert {name: metrics.canonical(name) for name in metrics.REGISTRY} == metrics.DEFAULT_CONVENTIONS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("psnr[y610]", "Did you mean 'y601'"),
        ("psnr[crp=4]", "Did you mean 'crop='"),
        ("pnsr[rgb]", "Did you mean 'psnr'"),
        ("psnr[rgb,y601]", "holds both 'rgb' and 'y601'"),
        ("psnr[crop=4,crop=4]", "holds both"),
        ("psnr[crop=four]", "whole number"),
        ("psnr[crop=-1]", "at least 0"),
        ("psnr[peak=0]", "number above 0"),
        ("psnr[peak=nan]", "number above 0"),
        ("psnr[y601,peak=1]", "255 codes"),
        ("psnr[]", "not a metric name"),
        ("psnr[rgb", "not a metric name"),
        ("", "not a metric name"),
        ("ssim[uniform7]", "gauss1.5"),
    ],
)
def test_an_unknown_or_contradictory_name_is_refused_with_the_way_out(name: str, text: str) -> None:
    with pytest.raises(BadInput, match=text.replace("[", r"\[")):
        metrics.parse(name)


def test_every_family_describes_its_options_for_the_tables() -> None:
    for name in metrics.REGISTRY:
        row = metrics.REGISTRY.describe(name)
        assert row["summary"]
        assert "crop" in row["parameters"] or row["needs"] != ["truth"]


def test_importing_and_parsing_loads_no_heavy_library() -> None:
    code = (
        "import sys, restore.metrics; light = 'torch' not in sys.modules;"
        "[restore.metrics.parse(n) for n in restore.metrics.REGISTRY];"
        "heavy = {'torchvision', 'lpips', 'piq', 'kornia', 'skimage', 'scipy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy or not light else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
