"""Do the tests see a fault? Faults are put into the sources one at a time, and the nearest tests must fail.

    python -m benchmarks.studies.mutants                        # 60 faults drawn over all targets
    python -m benchmarks.studies.mutants --count 20 --seed 3 --only operators/ct/filters.py

A fault changes one operator or one number of one expression: + and -, * and /, < and <=, == and !=, and and or, a
number by one. Messages, annotations and defaults of settings are left alone: what they say is compared elsewhere. The
faults are made in a copy of the checkout; the checkout itself is not touched. A fault that no test sees is printed
with its line, for a person to say whether it is one.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("operators", "priors", "restore", "benchmarks", "tests", "data", "docs", "pyproject.toml", "README.md")
SECONDS = 240  # a fault that makes its tests hang longer than this is seen too

# File -> the tests nearest to it.
TARGETS: Mapping[str, tuple[str, ...]] = {
    "operators/blurring/padding.py": ("tests/operators/test_blur.py",),
    "operators/common/randomness.py": ("tests/operators/test_randomness.py",),
    "operators/core/linear_solvers.py": ("tests/operators/test_linear_solvers.py",),
    "operators/ct/filters.py": ("tests/operators/test_ct_reference.py", "tests/operators/test_ct_angles.py"),
    "operators/ct/scan.py": ("tests/operators/test_ct_reference.py",),
    "operators/mri/coils.py": ("tests/operators/test_mri_cartesian.py",),
    "operators/resampling/matrices.py": ("tests/operators/test_downsample.py", "tests/operators/test_resize.py"),
    "priors/analytic/posterior.py": ("tests/priors/test_gaussian.py", "tests/priors/test_mixture.py"),
    "priors/residual/resshift.py": (
        "tests/priors/test_residual_processes.py",
        "tests/reference/test_replay_resshift.py",
    ),
    "priors/residual/ir_sde.py": ("tests/priors/test_residual_processes.py", "tests/reference/test_replay_irsde.py"),
    "priors/schedules.py": ("tests/priors/test_schedules.py",),
    "priors/training/loop.py": ("tests/priors/test_training.py", "tests/priors/test_training_details.py"),
    "restore/solvers/diffusion/diffpir.py": (
        "tests/reference/test_replay_diffpir.py",
        "tests/restore/test_solver_details.py",
    ),
    "restore/solvers/diffusion/dps.py": ("tests/reference/test_replay_dps.py", "tests/restore/test_solver_details.py"),
    "restore/solvers/residual/mrs.py": ("tests/reference/test_replay_mrs.py",),
    "restore/metrics/pixelwise.py": (
        "tests/restore/test_metrics_values.py",
        "tests/restore/test_metrics_refusals.py",
        "tests/restore/test_metrics_names.py",
    ),
    "restore/metrics/posterior.py": ("tests/restore/test_metrics_posterior.py",),
    "restore/io/png.py": ("tests/restore/test_io_round_trips.py", "tests/restore/test_io_damage.py"),
    "restore/io/values.py": (
        "tests/restore/test_io_round_trips.py",
        "tests/restore/test_io_writing.py",
        "tests/restore/test_io_levels.py",
    ),
    "benchmarks/tables/statistics.py": ("tests/benchmarks/test_statistics.py", "tests/benchmarks/test_row_identity.py"),
    "benchmarks/records/store.py": (
        "tests/benchmarks/test_runner.py",
        "tests/benchmarks/test_row_identity.py",
        "tests/restore/test_outside_files.py",
    ),
}

SWAPS: Mapping[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt,
    ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One fault: the file, the line, the expression as it was and as it is, and the whole text with it."""

    file: str
    line: int
    before: str
    after: str
    text: str


def mutants(file: str, text: str) -> Iterator[Mutant]:
    """Every fault that can be put into a file, in the order of its lines."""
    tree = ast.parse(text)
    for node in _expressions(tree):
        changed = _changed(node)
        if changed is None:
            continue
        before, after = ast.unparse(node), ast.unparse(changed)
        yield Mutant(file, node.lineno, before, after, _replaced(text, node, after))


def _expressions(tree: ast.AST) -> Iterator[ast.expr]:
    """Expressions that compute: not those of messages, annotations and class bodies."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Raise | ast.AnnAssign | ast.arguments | ast.Import | ast.ImportFrom | ast.JoinedStr):
            continue
        if isinstance(node, ast.expr):
            yield node
        inside = ast.iter_child_nodes(node)
        waiting += [n for n in inside if not (isinstance(node, ast.ClassDef) and isinstance(n, ast.expr))]


def _changed(node: ast.expr) -> ast.expr | None:
    other = copy.deepcopy(node)
    if (isinstance(other, ast.BinOp) and type(other.op) in SWAPS) or isinstance(other, ast.BoolOp):
        other.op = SWAPS[type(other.op)]()  # type: ignore[assignment]
    elif isinstance(other, ast.Compare) and len(other.ops) == 1 and type(other.ops[0]) in SWAPS:
        other.ops = [SWAPS[type(other.ops[0])]()]  # type: ignore[list-item]
    elif isinstance(other, ast.Constant) and isinstance(other.value, int | float) and not isinstance(other.value, bool):
        other.value = other.value + 1
    else:
        return None
    return other


def _replaced(text: str, node: ast.expr, by: str) -> str:
    lines = text.encode().splitlines(keepends=True)
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    head, tail = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
    return b"".join([*lines[:first], head + f"({by})".encode() + tail, *lines[last + 1 :]]).decode()


def killed(mutant: Mutant, folder: Path) -> bool:
    """Whether the nearest tests fail, or hang, with the fault in the copy at `folder`."""
    path = folder / mutant.file
    whole = path.read_text("utf-8")
    path.write_text(mutant.text, "utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TARGETS[mutant.file]]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=SECONDS, check=False)
        return done.returncode != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(whole, "utf-8")


def main() -> None:
    """The faults that the tests see and those that they miss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=sorted(TARGETS), help="files to draw from; repeatable")
    options = parser.parse_args()
    files = options.only or sorted(TARGETS)
    generator = random.Random(options.seed)
    pools = {file: list(mutants(file, (ROOT / file).read_text("utf-8"))) for file in files}
    survivors, done = [], 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in COPIED:
            source = ROOT / name
            copied = shutil.copytree if source.is_dir() else shutil.copy
            copied(source, folder / name)
        for number in range(options.count):
            pool = pools[files[number % len(files)]]
            if not pool:
                continue
            mutant = pool.pop(generator.randrange(len(pool)))
            done += 1
            seen = killed(mutant, folder)
            if not seen:
                survivors.append(mutant)
            sys.stdout.write(
                f"{'seen  ' if seen else 'UNSEEN'} {mutant.file}:{mutant.line}  {mutant.before}  ->  {mutant.after}\n"
            )
            sys.stdout.flush()
    share = 100 * (done - len(survivors)) / max(done, 1)
    sys.stdout.write(f"{done - len(survivors)} of {done} faults are seen ({share:.1f} %)\n")


if __name__ == "__main__":
    main()
