"""Promises seen from the command line: small pictures, full disks, global state, what provenance may hold."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import operators
import priors
import restore
from priors import residual
from priors.residual.prior import ResidualPrior
from restore import metrics
from restore.driver import RECORDED_ENVIRONMENT
from restore.reconstruction import read_result

ROOT = Path(restore.__file__).parents[1]


def global_states() -> tuple:
    legacy = np.random.get_state()  # noqa: NPY002 - the state that must stay untouched
    return torch.get_rng_state().numpy().tobytes(), legacy[1].tobytes(), legacy[2], random.getstate()


class Stay(ResidualPrior):
    """The measurement is the picture."""

    def predict(self, x_t, y_up, t, *, condition=None):
        return self.process.from_x0(y_up, x_t, y_up, t)


def suited(method, diffusion):
    """A prior of the kind the solver takes."""
    if not method.needs_prior:
        return None
    return diffusion if method.takes(diffusion) else Stay(residual.build(method.kind_taken()))


def test_no_public_call_reads_or_changes_the_global_random_state(tiny_prior, face, here) -> None:
    def everything() -> list[torch.Tensor]:
        prior = priors.load(tiny_prior)
        x = face[None, :, :16, :16]
        made = [prior.denoise(x, 0.1)]
        made += [restore.tasks.load(task).problem(x, seed=1).y for task in restore.tasks.REGISTRY]
        problem = restore.tasks.load("sr4x").problem(x)
        for name in restore.solvers.REGISTRY:
            method = restore.solvers.build(name)
            special = method.needs_modulus or method.needs_identity or name in ("measurement", "biharmonic")
            if method.kind_taken() != "diffusion" or special:
                continue  # the law suites give these a prior and a problem of their kind
            if "steps" in restore.solvers.REGISTRY.parameters(name):
                method = restore.solvers.build(name, steps=2)
            result = restore.solve(problem, suited(method, prior), method)
            made.append(result.estimate)
        result.save(here / "out.h5")
        for name in operators.REGISTRY:
            kind = operators.REGISTRY.load(name)
            shape = (getattr(kind, "channels", None) or 3, 6, 8, 7)[: getattr(kind, "spatial", 2) + 1]
            operator = operators.build(name, shape)
            assert operators.check(operator).ok, name
            y = operator(torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)))
            made += [torch.tensor(operator.norm()), operator.pinv(y)] if operator.is_linear else [y]
        scores = metrics.evaluate(x, (x + 0.01).clamp(0, 1), ["psnr", "ssim", "lpips", "chroma-rmse"])
        return [*made, *(torch.tensor(s.value) for s in scores.values() if s.value is not None)]

    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = global_states()
    first = everything()
    assert global_states() == before
    torch.manual_seed(2)
    random.seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert all(torch.equal(a.detach(), b.detach()) for a, b in zip(first, everything(), strict=True))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (17, 13)])
@pytest.mark.parametrize("task", ["denoise", "denoise-poisson", "deblur-motion", "cs4x", "sr4x", "inpaint-box"])
def test_a_tiny_picture_is_restored_or_refused_with_the_smallest_size(task, size, fast, here, face) -> None:
    restore.write(here / "tiny.png", face[:, : size[0], : size[1]])
    ended = fast("--task", task, "--input", "tiny.png", "--out", "out")
    if ended.status == 0:
        multiple = 4 if task == "sr4x" else 1
        found = restore.read(here / "out/estimate.png").data.shape[1:]
        assert tuple(found) == tuple(side - side % multiple for side in size)
        table = json.loads((here / "out/metrics.json").read_text())
        assert all(table[key] is not None or table["reasons"][key] for key in ("psnr", "ssim", "lpips"))
    else:
        assert ended.status == 2 and ended.err.count("\n") == 1 and "at least" in ended.err
        assert not (here / "out").exists()


def test_a_flat_picture_recovered_exactly_has_a_flagged_infinite_psnr(fast, command, here) -> None:
    restore.write(here / "flat.png", torch.full((3, 16, 16), 0.2))
    ended = command(
        "run", "--task", "inpaint-random", "--input", "flat.png", "--out", "out", "--solver", "tikhonov", "--json"
    )
    assert ended.status == 0, ended.err
    table = json.loads(ended.out, parse_constant=pytest.fail)  # NaN and Infinity are no JSON
    assert table["psnr"] is not None or table["flags"]["psnr"] == "infinite"
    baseline = table["baseline"]
    assert baseline["psnr"] is not None or "infinite" in str(baseline)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize(("limit", "file"), [(2_000, "estimate.png"), (100_000, "result.h5")])
def test_a_disk_that_fills_up_at_any_file_ends_in_one_line_and_leaves_nothing(
    limit, file, here, face, tiny_prior
) -> None:
    # A limit on file sizes fails inside the writers exactly where a full disk would, HDF5's own included.
    restore.write(here / "noise.png", torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)))
    program = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from restore.cli import main
sys.exit(main(sys.argv[1:]))
"""
    arguments = ("run", "--task", "denoise", "--input", "noise.png", "--prior", tiny_prior, "--set", "solver.steps=1")
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments), "--out", "out", "--quiet"],
        capture_output=True,
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.decode().splitlines()[-1].startswith(f"restore: out/{file}: ")
    assert [p.name for p in here.iterdir()] == ["noise.png"]


def test_a_full_disk_at_the_last_moment_keeps_the_old_result(fast, picture, here, monkeypatch) -> None:
    assert fast("--task", "sr4x", "--input", picture, "--out", "out").status == 0
    before = {p.name: p.read_bytes() for p in (here / "out").iterdir()}

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("operators.common.atomic._sync", full)
    ended = fast("--task", "sr4x", "--input", picture, "--out", "out", "--seed", 1, "--overwrite")
    assert ended.status == 2 and ended.err.count("\n") == 1 and "the disk is full" in ended.err
    assert {p.name: p.read_bytes() for p in (here / "out").iterdir()} == before
    assert {p.name for p in here.iterdir()} == {"face.png", "out"}


def test_provenance_holds_listed_environment_keys_only(fast, picture, here, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf-very-secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert fast("--task", "denoise", "--input", picture, "--out", "out").status == 0
    kept = read_result(here / "out/result.h5").attributes["provenance"]["environment"]
    assert kept["OMP_NUM_THREADS"] == "1" and set(kept) <= set(RECORDED_ENVIRONMENT)
    assert all(b"hf-very-secret" not in path.read_bytes() for path in (here / "out").iterdir())
