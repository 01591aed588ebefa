"""The comparison of residual diffusion on sr4x: from rows of `restore bench` to tables and plots in the documents.

    restore bench --suite residual --out results/residual
    python -m benchmarks.studies.residual_comparison --run results/residual

The means over pictures go to benchmarks/results/residual-sr4x.json; from there (and without --run from there alone)
come the sections under fixed headings in docs/residual-diffusion.md, the plots beside it, and the section "Measured" in
the cards of the trained priors. A run that is not complete gives the rows that it has; with --keep the other rows of
the file stay, as when one prior's weights have changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from operators import RestoreError

from ..tables import leaderboard
from ..tables.loglog import Curve, semilog_svg
from ..tables.sections import fill
from . import posterior_statistics

ROOT = Path(__file__).parents[2]
RESULTS = Path("benchmarks/results/residual-sr4x.json")
SPREADS = Path("benchmarks/results/posterior-sr4x.json")
PAGE = Path("docs/residual-diffusion.md")
CARDS = Path("docs/cards/priors")
BENCH = "restore bench --suite residual --out results/residual"
COMMAND = "python -m benchmarks.studies.residual_comparison --run results/residual"
SETS = {"set5": "Set5", "set14": "Set14", "bsd100": "BSD100, first 20"}
BASELINE = "bicubic (baseline)"
NAMES = {
    BASELINE: "bicubic",
    "regression": "regression (the control)",
    "resshift": "ResShift",
    "resfusion": "Resfusion",
    "rddm": "RDDM",
    "ir-sde": "IR-SDE, posterior",
    "mrs": "MRS",
    "diffpir": "DiffPIR, natural",
    "red-diff": "RED-Diff, natural",
}


@dataclass(frozen=True)
class SetScore:
    """One method on one set: means over its pictures, PSNR in dB; seconds of one picture."""

    method: str
    set: str
    pictures: int
    nfe: float
    psnr: float
    ssim: float
    lpips: float | None
    seconds: float
    prior: str

    @property
    def shown(self) -> str:
        """What a reader calls the method; all numbers of steps have one name."""
        return NAMES.get(family(self.method), self.method)


def family(method: str) -> str:
    """The method without its number of steps: "rddm" of "rddm-10"."""
    stem, _, last = method.rpartition("-")
    return stem if last.isdigit() else method


def scores(folder: Path) -> list[SetScore]:
    """The rows of a folder that `restore bench` wrote; BadInput where there are none."""
    rows = leaderboard.read(folder)["rows"]
    return sorted(
        (
            SetScore(
                method=row["method"],
                lpips=row.get("lpips"),
                nfe=row["nfe"] or 0.0,
                prior=row["prior"],
                **{key: row[key] for key in ("set", "pictures", "psnr", "ssim", "seconds")},
            )
            for row in rows
            if row["task"] == "sr4x" and row["psnr"] is not None
        ),
        key=_order,
    )


def renewed(old: Iterable[SetScore], new: Iterable[SetScore]) -> list[SetScore]:
    """The old rows, those of the same method and set replaced by new ones."""
    return sorted({(one.method, one.set): one for one in (*old, *new)}.values(), key=_order)


def read(path: Path) -> list[SetScore]:
    """The rows that are kept in `path`."""
    return [SetScore(**row) for row in json.loads(path.read_text("utf-8"))["rows"]]


def _order(score: SetScore) -> tuple[int, float, int]:
    families, own = list(NAMES), family(score.method)
    place = families.index(own) if own in families else len(families)
    return place, score.nfe, list(SETS).index(score.set)


def over_all(scores: Iterable[SetScore]) -> dict[str, SetScore]:
    """Means over the pictures of all sets, of the methods that have them all."""
    groups: dict[str, list[SetScore]] = {}
    for score in scores:
        groups.setdefault(score.method, []).append(score)
    most = max((sum(one.pictures for one in group) for group in groups.values()), default=0)
    return {name: _mean(group) for name, group in groups.items() if sum(one.pictures for one in group) == most}


def _mean(group: Sequence[SetScore]) -> SetScore:
    count = sum(one.pictures for one in group)

    def mean(key: str) -> float:
        return sum(one.pictures * float(getattr(one, key)) for one in group) / count

    first = group[0]
    lpips = mean("lpips") if all(one.lpips is not None for one in group) else None
    numbers = {key: mean(key) for key in ("psnr", "ssim", "seconds", "nfe")}
    return SetScore(first.method, "all", count, lpips=lpips, prior=first.prior, **numbers)


def table(scores: Sequence[SetScore]) -> str:
    """All methods and sets: PSNR / SSIM / LPIPS, and the seconds of one picture."""
    sets = [name for name in SETS if any(one.set == name for one in scores)]
    lines = [
        "| method | calls | " + " | ".join(SETS[name] for name in sets) + " | seconds |",
        "|---|---|" + "---|" * (len(sets) + 1),
    ]
    groups: dict[str, dict[str, SetScore]] = {}
    for one in scores:
        groups.setdefault(one.method, {})[one.set] = one
    for group in groups.values():
        any_of = _mean(list(group.values()))
        cells = [cell(group[name]) if name in group else "-" for name in sets]
        lines.append(f"| {any_of.shown} | {any_of.nfe:.0f} | {' | '.join(cells)} | {any_of.seconds:.1f} |")
    return "\n".join(lines)


def cell(score: SetScore) -> str:
    """28.42 / 0.810 / 0.340."""
    lpips = "-" if score.lpips is None else f"{score.lpips:.3f}"
    return f"{score.psnr:.2f} / {score.ssim:.3f} / {lpips}"


def curves(scores: Mapping[str, SetScore], key: str) -> dict[str, Curve]:
    """Points (calls, score) by family; what takes no calls is a dashed line across."""
    groups: dict[str, list[tuple[float, float]]] = {}
    widest = max(score.nfe for score in scores.values())
    for score in scores.values():
        value = getattr(score, key)
        if value is None:
            continue
        if score.nfe < 1:
            groups[f"{score.shown} (dashed)"] = [(1.0, value), (widest, value)]
        else:
            groups.setdefault(score.shown, []).append((score.nfe, value))
    return {name: sorted(points) for name, points in groups.items()}


def comparison(scores: Sequence[SetScore]) -> str:
    """The section of the comparison: its commands, the table and the plots."""
    return f"""PSNR / SSIM of the BT.601 luma without its outer 4 pixels / LPIPS (AlexNet) of RGB: means over pictures.
Seconds are of one picture, on one thread beside other work.

    {BENCH}
    {COMMAND}

{table(scores)}

![PSNR against network calls](residual-psnr.svg)

![LPIPS against network calls](residual-lpips.svg)"""


def spreads(path: Path) -> str:
    """The section of the posterior statistics."""
    setting, rows = posterior_statistics.load(path)
    listed = [(NAMES.get(family(name), name), one) for name, one in rows.items()]
    what = f"{setting['samples']} draws of each of {setting['images']} pictures of {setting['set']}"
    options = " ".join(f"--{key} {setting[key]}" for key in ("set", "images", "crop", "samples"))
    return f"""{what} (centre crops of {setting["crop"]} pixels); the columns are explained by `--help`:

    python -m benchmarks.studies.posterior_statistics {options} \\
        --solvers {",".join(rows)} --out {SPREADS}

{posterior_statistics.table(listed)}"""


def measured(prior: str, scores: Sequence[SetScore]) -> str:
    """The section "Measured" of a prior's card."""
    own = [one for one in scores if one.prior == prior or one.method == BASELINE]
    return f"""PSNR / SSIM (luma, 4 pixels of border removed) / LPIPS:

{table(own)}

    {BENCH}"""


def write(root: Path, scores: Sequence[SetScore]) -> list[Path]:
    """Paths of the documents that were filled and the plots that were drawn."""
    page = fill((root / PAGE).read_text("utf-8"), "### Table", comparison(scores))
    if (root / SPREADS).is_file():
        page = fill(page, "### Spread of the draws", spreads(root / SPREADS))
    texts = {PAGE: page}
    everywhere = over_all(scores)
    count = max(one.pictures for one in everywhere.values())
    for key, name in (("psnr", "PSNR of luma, dB"), ("lpips", "LPIPS, less is better")):
        shown = curves(everywhere, key)
        if shown:
            title = f"sr4x, mean over {count} pictures"
            texts[PAGE.parent / f"residual-{key}.svg"] = semilog_svg(
                shown, title=title, across="network calls", up=name
            )
    for prior in dict.fromkeys(one.prior for one in scores if one.prior.endswith("-sr4x")):
        card = CARDS / f"{prior}.md"
        if (root / card).is_file():
            texts[card] = fill((root / card).read_text("utf-8"), "## Measured", measured(prior, scores))
    for path, text in texts.items():
        (root / path).write_text(text, "utf-8")
    return list(texts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, 2 for rows that cannot be read, with the documents filled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of `restore bench`; default: the rows that are kept")
    parser.add_argument("--keep", action="store_true", help="rows that the run lacks stay")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose documents are filled")
    options = parser.parse_args(arguments)
    kept = options.root / RESULTS
    try:
        if options.run is not None:
            rows = renewed(read(kept) if options.keep else [], scores(options.run))
            stored = {"command": BENCH, "rows": [asdict(one) for one in rows]}
            kept.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
        rows = read(kept)
        written = write(options.root, rows)
    except (RestoreError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{table(rows)}\n")
    sys.stderr.write("".join(f"wrote {path}\n" for path in written))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
