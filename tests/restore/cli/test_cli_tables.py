"""Tables, scores, the doctor and the start of the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import restore
from restore.commands.tables import KINDS, card_text, rows_of

HEAVY = ("torch", "torchvision", "kornia", "piq", "lpips", "skimage", "scipy", "h5py", "pandas", "matplotlib")


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after `code`."""
    program = f"import sys\n{code}\nprint('\\n'.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    return set(done.stdout.split())


def test_the_command_line_starts_without_anything_heavy() -> None:
    # `restore --help` within a second rests on this; a timed test would depend on the machine.
    code = (
        "import io, sys\nfrom restore.cli import main\n"
        "sys.stdout = io.StringIO()\nmain(['--help'])\nsys.stdout = sys.__stdout__"
    )
    assert not modules_after(code) & {*HEAVY, "numpy", "priors", "benchmarks"}


def test_tables_and_cards_are_shown_without_torch_and_numpy() -> None:
    # An answer within half a second rests on this.
    calls = [
        [kind, *more] for kind in KINDS for more in ([], ["--json"], [next(iter(rows_of(kind)))], ["no such name"])
    ]
    code = (
        "import io, sys\nfrom restore.cli import main\n"
        "out, sys.stdout, sys.stderr = sys.stdout, io.StringIO(), io.StringIO()\n"
        f"ended = [main(call) for call in {calls!r}]\nsys.stdout = out\nassert ended == [0, 0, 0, 2] * {len(KINDS)}"
    )
    assert not modules_after(code) & {*HEAVY, "numpy"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--task", "sr4x", "--input"),
        ("run", "--task", "deblur-motion", "--kernel"),
        ("run", "--task", "inpaint-box", "--mask"),
        ("run", "--task"),
        ("score",),
        ("report",),
        ("rerun",),
        ("import", "--format", "rddm"),
        ("bench", "map", "--task", "denoise", "--input"),
        ("train", "rddm", "--pairs"),
    ],
    ids=" ".join,
)
def test_a_missing_file_is_named_before_anything_is_imported(arguments, command, monkeypatch) -> None:
    for module in ("restore.driver", "restore.runs.plan", "restore.runs.scoring", "priors.files.importing.convert"):
        monkeypatch.setitem(sys.modules, module, None)  # an import of it fails
    ended = command(*arguments, "none.toml")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert ended.err in (
        "restore: none.toml: no such file. Check the path.\n",
        "restore: no file at none.toml. Check the path.\n",
        "restore: none.toml is not a folder. Check the path.\n",
    )


@pytest.mark.parametrize("kind", ["metrics", "noise", "operators", "solvers", "tasks"])
def test_every_part_has_a_card(kind) -> None:
    assert [name for name in rows_of(kind) if card_text(kind, name) is None] == []


def test_importing_restore_and_listing_tasks_loads_no_optional_package() -> None:
    loaded = modules_after("import restore, restore.tasks\nrestore.solve, restore.Problem, restore.tasks.load('sr4x')")
    assert not loaded & {"torchvision", "kornia", "piq", "lpips", "deepinv", "pandas", "matplotlib"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_lists_name_summary_parameters_and_source(kind, command) -> None:
    rows = json.loads(command(kind, "--json").out)
    assert rows and all({"name", "summary", "parameters", "source"} <= set(row) for row in rows)
    name = rows[0]["name"]
    assert json.loads(command(kind, name, "--json").out) == rows[0]
    assert name in command(kind).out and rows[0]["summary"][:20] in command(kind, name).out


def test_an_unknown_entry_gets_a_suggestion(command) -> None:
    ended = command("tasks", "sr4")
    assert (ended.status, ended.out) == (2, "") and "Did you mean 'sr4x'?" in ended.err


def test_without_arguments_the_help_is_shown(command) -> None:
    ended = command()
    assert ended.status == 0 and "restore run --task sr4x" in ended.out


def test_only_what_exists_is_a_command(command) -> None:
    for name in ("bench", "import", "data"):
        assert command(name).status == 2


def test_two_files_are_scored_under_the_named_conventions(command, here, face) -> None:
    restore.write(here / "truth.png", face)
    restore.write(here / "estimate.png", (face + 0.1).clamp(0, 1))
    ended = command(
        "score", "estimate.png", "truth.png", "--json", "--metrics", "psnr", "--metrics", "ssim[gauss1.5,y601]"
    )
    table = json.loads(ended.out)
    assert ended.status == 0 and set(table) == {"schema", "psnr", "ssim", "conventions", "reasons"}
    assert table["conventions"] == {"psnr": "psnr[rgb,clip,peak=1]", "ssim": "ssim[gauss1.5,y601]"}
    one, two = restore.read(here / "estimate.png").data, restore.read(here / "truth.png").data
    assert table["psnr"] == pytest.approx(-10 * torch.log10((one - two).double().square().mean()).item(), abs=1e-6)


def test_the_default_scores_are_psnr_ssim_and_lpips(command, here, face) -> None:
    for name in ("a.png", "b.png"):
        restore.write(here / name, face)
    table = json.loads(command("score", "a.png", "b.png", "--json").out)
    assert list(table["conventions"]) == ["psnr", "ssim", "lpips"]
    assert table["psnr"] is None and table["flags"]["psnr"] == "infinite" and table["ssim"] == pytest.approx(1)


def test_folders_are_paired_by_stem_and_a_mean_says_its_count(command, here, face) -> None:
    for folder, names in (("one", "abc"), ("two", "ab")):
        (here / folder).mkdir()
        for name in names:
            restore.write(here / folder / f"{name}.png", face * (0.9 if folder == "one" else 1))
    assert command("score", "one", "two").status == 2
    ended = command("score", "one", "two", "--allow-missing", "--json", "--metrics", "psnr")
    table = json.loads(ended.out)
    assert [row["name"] for row in table["images"]] == ["a", "b"] and table["counts"]["psnr"] == {"ok": 2, "failed": 0}
    assert "no partner" in ended.err and "c.png" in ended.err


def test_pictures_of_different_sizes_are_not_compared(command, here, face) -> None:
    restore.write(here / "a.png", face)
    restore.write(here / "b.png", face[:, :40])
    ended = command("score", "a.png", "b.png")
    assert ended.status == 2 and ended.err.count("\n") == 1


def test_the_doctor_names_versions_and_weights(command) -> None:
    rows = {row["name"]: row for row in json.loads(command("doctor", "--json").out)}
    assert rows["torch"]["text"] == torch.__version__ and {"processor", "devices", "lpips features"} <= set(rows)
    assert all(row["state"] in ("ok", "absent", "wrong") for row in rows.values())


OPERATORS = """
from operators.core.base import LinearOperator


class Half(LinearOperator):
    def __init__(self, input_shape, *, factor={factor}):
        super().__init__(input_shape, input_shape)
        self.factor = factor

    def _forward(self, x):
        return 0.5 * x

    def _adjoint(self, y):
        return self.factor * y
"""


@pytest.mark.parametrize(("factor", "status"), [(0.5, 0), (1.0, 1)])
def test_the_doctor_checks_an_operator_of_ones_own(factor, status, command, here: Path) -> None:
    (here / "mine.py").write_text(OPERATORS.format(factor=factor))
    ended = command("doctor", "--operator", "mine.py:Half")
    assert ended.status == status, ended.out + ended.err


def test_training_writes_a_prior_that_loads(command, here, face, quick_recipes) -> None:
    # The recipe's own folders, each with one picture, stand in for the training set.
    import tomllib
    from importlib import resources

    recipe = tomllib.loads(resources.files("priors.training").joinpath("natural.toml").read_text())
    for named in [source["folder"] for source in recipe["sources"] if "folder" in source]:
        folder = here / "data" / named
        folder.mkdir(parents=True, exist_ok=True)
        restore.write(folder / "a.png", torch.cat([torch.cat([face] * 4, 1)] * 4, 2))
    options = ("--data", "data", "--out", "out", "--steps", 1, "--batch", 1)
    ended = command("train", "natural", *options)
    assert ended.status == 0, ended.err
    assert ended.out.strip() == "out/natural.safetensors"
    assert restore.priors.load(here / "out/natural.safetensors").channels is not None


def test_the_doctor_looks_at_a_prior(command, tiny_prior, picture) -> None:
    ended = command("doctor", "--prior", tiny_prior, "--input", picture, "--against", picture, "--json")
    found = {row["name"]: row for row in json.loads(ended.out)}
    assert {"sigma 0.1", "error bars", "symmetry", "domain"} <= set(found) and found["domain"]["state"] == "ok"
    ended = command("doctor", "--prior", tiny_prior)
    assert ended.status == 2 and "--input" in ended.err
