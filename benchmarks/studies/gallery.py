"""The pictures of docs/pictures: one real object each from tomography, magnetic resonance and spectral imaging.

    python -m benchmarks.studies.gallery            needs RESTORE_DATA; three classical runs, a few minutes on one core

Each file shows truth, baseline, estimate, and the errors of both on one scale; README.md beside them holds the figures,
how values became colours, the command of the run and the owner of the data. Only data whose licence allows a small
derived figure are used.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

import restore
from restore import tasks
from restore.report.embed import shrink
from restore.report.panels import kind_of
from restore.report.visible import look, reference_limits
from restore.runs.judge import judge, make_baseline

from ..sets.datasets import data_root

PANEL = 66_000  # most pixels of one of the five panels
GAP, COLOURS = 6, 128
TAIL = 0.005  # share of the baseline's errors that may saturate the scale
ORDER = ("truth", "baseline", "estimate", "error of the baseline", "error of the estimate")


@dataclass(frozen=True)
class Exhibit:
    """One picture: its object (a file under the data root, and how it is read), its task, what to say about it."""

    name: str
    title: str
    task: str
    path: str
    reading: Mapping[str, Any]
    remark: str
    credit: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    window: tuple[float, float] | None = None  # values drawn black and white; None: the report's choice
    box: tuple[int, int, int, int] | None = None  # top, bottom, left, right of what is drawn; None: all

    def command(self) -> str:
        """The same run from the command line."""
        words = ["restore", "run", "--task", self.task, "--input", Path(self.path).name]
        for key, value in self.reading.items():
            words += [f"--{key}", str(value)]
        for key, value in self.settings.items():
            words += ["--set", f"{key}={value}"]
        return shlex.join(words)


EXHIBITS = (
    Exhibit(
        name="ct",
        title="Tomography of a head from 60 views",
        task="ct-sparse",
        path="ct/head_ge_8x512.npz",
        reading={"dataset": "hu_plus_1024", "index": 4, "unit": "hu", "offset": -1024.0},
        remark=(
            "Streaks go; bone, ventricles and the dark lesion stay where they are. The faint contrast of grey and "
            "white matter, below the noise of 60 views, goes with the streaks."
        ),
        credit="head scan of dcm_qa_ct (BSD-2-Clause)",
        settings={"operator.pixel": 0.4882812},
        window=(-100.0, 200.0),
        box=(60, 476, 50, 456),
    ),
    Exhibit(
        name="mri",
        title="Magnetic resonance of a brain from one line in four",
        task="mri4x",
        path="mri/brain_admm_2x256.npz",
        reading={"dataset": "image", "index": 0},
        remark=(
            "Missing lines fold the head over itself from left to right and blur it; most of that is undone. Thin "
            "sulci and the texture of white matter are smoothed, and errors stay along the skull."
        ),
        credit="slice of Deep-ADMM-Net (MIT), magnitudes taken as a complex picture",
        box=(36, 246, 34, 230),
    ),
    Exhibit(
        name="hyperspectral",
        title="Three stains of human cells from one coded snapshot",
        task="cassi",
        path="microscopy/human_cells_3x512x512_cc0.npz",
        reading={"dataset": "image", "axes": "CHW"},
        remark=(
            "One detector saw all three, and the baseline cannot tell which is which. Total variation can; "
            "speckle inside the nuclei is smoothed."
        ),
        credit="human cells of CellProfiler's examples (CC0); no hyperspectral cube at hand may be shown here",
        box=(250, 470, 60, 280),
    ),
)


def show(exhibit: Exhibit, root: Path, out: Path) -> str:
    """The entry of an exhibit for the captions, its PNG written."""
    from PIL import Image

    task = tasks.load(exhibit.task).override(exhibit.settings)
    problem = task.problem(restore.read(root / exhibit.path, **exhibit.reading), seed=0)
    baseline = make_baseline(task, problem)
    result = restore.solve(problem, solver=task.solver_for(), seed=0)
    table = judge(result, task, baseline)
    shown = result.in_file_units()
    if baseline.estimate is None or shown.problem.truth is None:
        raise RuntimeError(f"{exhibit.name} has no baseline: {baseline.reason}")
    pictures = {
        "truth": shown.problem.truth[0],
        "baseline": problem.file_units.back(baseline.estimate)[0],
        "estimate": shown.estimate[0],
    }
    strip, rules = draw(pictures, unit=task.sections.input.unit, window=exhibit.window, box=exhibit.box)
    Image.fromarray(strip).quantize(COLOURS, dither=Image.Dither.NONE).save(out / f"{exhibit.name}.png", optimize=True)
    return caption(exhibit, table, rules)


def draw(
    pictures: Mapping[str, Tensor],
    *,
    unit: str,
    window: tuple[float, float] | None = None,
    box: tuple[int, int, int, int] | None = None,
) -> tuple[np.ndarray, dict[str, str]]:
    """The five panels side by side (H x W x 3 uint8), and how pictures and errors were drawn.

    pictures: truth, baseline and estimate, C x H x W; complex ones by magnitude. All share the truth's scale, and the
    errors that of the baseline's.
    """
    real = {name: picture.abs() if picture.is_complex() else picture for name, picture in pictures.items()}
    kind = kind_of("truth", real["truth"], unit)
    limits = window if window is not None else reference_limits(real["truth"], kind=kind)
    errors = {name: real[name] - real["truth"] for name in ("baseline", "estimate")}
    size = errors["baseline"].square().mean(0).sqrt().flatten().numpy()
    most = float(f"{np.quantile(size, 1 - TAIL):.2g}") or 1.0
    looks = [look(real[name], kind=kind, limits=limits) for name in ("truth", "baseline", "estimate")]
    looks += [look(error, kind="error", limits=(0.0, most)) for error in errors.values()]
    top, bottom, left, right = box if box is not None else (0, None, 0, None)
    panels = [shrink(each.pixels[top:bottom, left:right], most=PANEL)[0] for each in looks]
    gap = np.full((panels[0].shape[0], GAP, 3), 255, np.uint8)
    strip = [part for panel in panels for part in (gap, panel)][1:]
    return np.concatenate(strip, axis=1), {"pictures": looks[0].rule, "errors": looks[4].rule}


def caption(exhibit: Exhibit, table: Mapping[str, Any], rules: Mapping[str, str]) -> str:
    """The entry of README.md: figures, scales, command, owner."""
    before = table["baseline"]
    conventions = table["conventions"]
    return (
        f"## {exhibit.title}\n\n![{', '.join(ORDER)}]({exhibit.name}.png)\n\n"
        f"From the left: {', '.join(ORDER)}. {exhibit.remark}\n\n"
        f"| | `{conventions['psnr']}` | `{conventions['ssim']}` |\n|---|---|---|\n"
        f"| {before['name']} | {before['psnr']:.2f} dB | {before['ssim']:.3f} |\n"
        f"| {table['solver']} | {table['psnr']:.2f} dB | {table['ssim']:.3f} |\n\n"
        f"Pictures: {rules['pictures']}. Errors, with the largest of the estimate's: {rules['errors']}.\n\n"
        f"    {exhibit.command()}\n\nData: {exhibit.credit}.\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, with the pictures and their captions written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the data root; default RESTORE_DATA")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    options = parser.parse_args(arguments)
    root = data_root(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    entries = [show(exhibit, root, options.out) for exhibit in EXHIBITS]
    head = "# Pictures\n\nMade by `python -m benchmarks.studies.gallery`, seed 0.\n"
    (options.out / "README.md").write_text("\n".join([head, *entries]), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
