"""What does a kill cost? Programs are killed at random moments, started again, and must end as if nothing had been.

    python -m benchmarks.studies.kills                              # all scenes, 20 kills each
    python -m benchmarks.studies.kills --only run,train --kills 5 --seed 3

Scenes: `bench` (rows in a store), `bench-pool` (the same with processes), `bench-dask` (on a cluster), `train`
(checkpoints), `run` (samples of a picture), `map`, `map-pool` and `map-dask` (pieces of a large picture). Each is the
command line of the toolkit in a process of its own, ended by SIGKILL. Where a file is written whole, its fsync is made
slow, so that a fair share of the kills falls into a write. In the end the same command is given once more, unbroken,
and what it leaves must be what a run that was never killed leaves, byte for byte: arrays, tables, weights; seconds,
memory and dates aside.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SLOW = 0.02  # seconds added to each fsync
PATIENCE = 30.0  # seconds in which the processes of a killed command must have noticed
REFUSED = 2  # exit status
VOLATILE = ("seconds", "memory", "date", "machine")
TINY: dict[str, Any] = {"channels": 3, "widths": [8, 8], "blocks": [1, 1], "unshuffle": 2, "embedding": 16}
SIDE = 48
TASK = """
version = 1
summary = "noise, nothing else"
[operator]
name = "identity"
[noise]
name = "gaussian"
sigma = 0.1
[solver]
name = "tv"
[baseline]
name = "measurement"
[metrics]
psnr = "psnr[rgb,clip,peak=1]"
"""
SUITE = """
version = 1
summary = "to be killed"
timeout = 60.0
[[part]]
tasks = ["plain.toml"]
sets = ["shipped"]
crop = 48
solvers = ["measurement", "median"]
"""


@dataclass(frozen=True)
class Scene:
    """A command that may be killed. words: of the command line, OUT standing for where it writes. left: its result."""

    words: tuple[str, ...]
    left: Callable[[Path], bytes]
    dask: bool = False


@dataclass(frozen=True)
class Cost:
    """What became of a scene. in_writes: kills that left a file which was being written."""

    kills: int
    in_writes: int
    equal: bool


def scenes() -> dict[str, Scene]:
    """Every scene by its name."""
    bench = ("bench", "--suite", "suite.toml", "--limit", "4", "--out", "OUT", "--quiet")
    mapped = ("bench", "map", "--task", "plain.toml", "--input", "wide.h5", "--out", "OUT.h5", "--tile", "64",
              "--halo", "4", "--blend", "4", "--solver", "median", "--quiet")  # fmt: skip
    run = ("run", "--task", "plain.toml", "--input", "one.png", "--out", "OUT", "--prior", "tiny.safetensors",
           "--solver", "dps", "--set", "solver.steps=4", "--samples", "8", "--batch", "1", "--quiet")  # fmt: skip
    pool, dask = ("--workers", "2", "--threads", "1"), ("--scheduler", "DASK", "--threads", "1")
    serial = ("--scheduler", "serial")
    return {
        "bench": Scene((*bench, *serial), _rows),
        "bench-pool": Scene((*bench, *pool), _rows),
        "bench-dask": Scene((*bench, *dask), _rows, dask=True),
        "train": Scene(("train", "OUT"), _weights),
        "run": Scene(run, _arrays),
        "map": Scene((*mapped, *serial), _estimate),
        "map-pool": Scene((*mapped, *pool), _estimate),
        "map-dask": Scene((*mapped, *dask), _estimate, dask=True),
    }


# -- what is worked on ---------------------------------------------------------------------------------------------


def prepare(folder: Path) -> None:
    """Pictures, a task, a suite, a data set and a small network of random weights, in a folder."""
    import torch

    import restore
    from priors.files.checkpoints import save_network
    from priors.networks.unet import UNet

    generator = torch.Generator().manual_seed(0)
    restore.write(folder / "one.png", torch.rand(3, SIDE, SIDE, generator=generator))
    restore.write(folder / "wide.h5", torch.rand(3, 4 * SIDE, 4 * SIDE, generator=generator))
    (folder / "plain.toml").write_text(TASK)
    (folder / "suite.toml").write_text(SUITE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(**TINY)
    preconditioning = {"kind": "edm", "sigma_data": 0.5}
    save_network(
        folder / "tiny.safetensors",
        network,
        architecture="unet",
        settings=TINY,
        preconditioning=preconditioning,
        notes={},
    )


def small_training(out: Path) -> None:
    """`restore train` of a small network on a few drawn pages; a checkpoint after every step."""
    from priors.training import recipe as recipes
    from priors.training.photographs import CropSource

    recipe = recipes.load("natural-free", steps=25, batch=2)
    recipe = replace(
        recipe,
        name="small",
        settings=replace(recipe.settings, checkpoint_seconds=0.0, warmup=5),
        crop=16,
        network=TINY,
        sources=(CropSource(drawn=2),),
    )
    recipes.train(recipe, recipes.photographs(recipe, Path()), out=out)


# -- what is left, without what may differ ---------------------------------------------------------------------------


def _rows(out: Path) -> bytes:
    from benchmarks.records.store import Store

    store = Store(out, create=False)
    try:
        rows = [
            [
                sorted((k, repr(v)) for k, v in row.columns.items() if not any(word in k for word in VOLATILE)),
                sorted((k, repr(v)) for k, v in row.scores.items() if "seconds" not in k),
            ]
            for row in store.rows()
        ]
    finally:
        store.close()
    return json.dumps(sorted(rows)).encode()


def _weights(out: Path) -> bytes:
    from safetensors.numpy import load_file

    return _named(load_file(out / "small.safetensors"))


def _arrays(out: Path) -> bytes:
    from restore.reconstruction import read_result

    stored = read_result(out / "result.h5")
    trace = json.dumps(stored.attributes["trace"]).encode()
    return _named({k: v.numpy() for k, v in stored.arrays.items()}) + trace + (out / "estimate.png").read_bytes()


def _estimate(out: Path) -> bytes:
    import h5py

    with h5py.File(out.with_name(out.name + ".h5"), "r") as file:
        return _named({"estimate": np.asarray(file["estimate"])})


def _named(arrays: Mapping[str, np.ndarray]) -> bytes:
    return b"".join(f"{k} {v.dtype} {v.shape}".encode() + v.tobytes() for k, v in sorted(arrays.items()))


# -- killing -----------------------------------------------------------------------------------------------------------


def serve() -> None:
    """The parent of all that is killed: it has imported everything and computed nothing, so a fork starts at once."""
    import restore.cli
    import restore.driver
    import restore.metrics.pixelwise
    import restore.metrics.scores
    import restore.runs.execute
    import restore.solvers.classical.median
    import restore.solvers.diffusion.dps  # noqa: F401
    from benchmarks.runs import executors, mapping, runner  # noqa: F401
    from priors.training import recipe  # noqa: F401

    while line := sys.stdin.readline().strip():
        child = os.fork()
        if child == 0:
            os._exit(_child(json.loads(line)))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitpid(child, 0)[1]}\n")
        sys.stdout.flush()


def _child(words: Sequence[str]) -> int:
    from restore.cli import main

    os.setpgid(0, 0)  # processes that it starts can be told from others
    quick = os.fsync

    def slow(handle: Any) -> None:
        time.sleep(SLOW)
        quick(handle)

    os.fsync = slow  # type: ignore[assignment]
    with contextlib.redirect_stdout(sys.stderr):
        if words[0] != "train":
            return main(list(words))
        small_training(Path(words[1]))
        return 0


class Server:
    """A process that forks commands and tells how they end."""

    def __init__(self, folder: Path) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "RESTORE_CONFIG": str(folder / "config"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        with (folder / "stderr.txt").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from benchmarks.studies.kills import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                env=environment,
                cwd=folder,
            )
        self._write: IO[bytes] = cast("IO[bytes]", self.process.stdin)
        self._read: IO[bytes] = cast("IO[bytes]", self.process.stdout)

    def run(self, words: Sequence[str], *, after: float | None = None) -> int:
        """How the command ended (as `os.waitpid` says), killed after so many seconds (None: never)."""
        self._write.write(f"{json.dumps(list(words))}\n".encode())
        child = int(self._read.readline())
        # What the parent says next is how the child ended: a child that is done is not waited for.
        if after is not None and not select.select([self._read], [], [], after)[0]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        status = int(self._read.readline())
        self._outlived(child)
        return status

    def _outlived(self, group: int) -> None:
        """Wait for the processes that a command started; RuntimeError where they go on without it."""
        until = time.monotonic() + PATIENCE
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.killpg(group, 0)
                if time.monotonic() > until:
                    os.killpg(group, signal.SIGKILL)
                    raise RuntimeError(f"processes outlive their command by {PATIENCE:g} s")
                time.sleep(0.02)

    def close(self) -> None:
        """End the process."""
        self._write.close()
        self.process.wait()
        self._read.close()


def cost(scene: Scene, folder: Path, server: Server, *, kills: int, seed: int, address: str = "") -> Cost:
    """Kill a scene so often, let it end, and compare. folder: `prepare`d. RuntimeError where it fails by itself."""
    name = hashlib.sha256(repr((scene.words, seed)).encode()).hexdigest()[:8]
    generator = random.Random(seed)

    def words(out: str) -> list[str]:
        return [word.replace("OUT", out).replace("DASK", address) for word in scene.words]

    def unbroken(out: str) -> bytes:
        status = server.run(words(out))
        if not _ended(status):
            raise RuntimeError(f"{words(out)} ended with {status}: {(folder / 'stderr.txt').read_text()[-500:]}")
        return scene.left(folder / out)

    began = time.monotonic()
    expected = unbroken(f"{name}-first")
    longest = time.monotonic() - began
    done = in_writes = attempt = 0
    equal, seen = True, _half_written(folder)
    while done < kills:
        out = f"{name}-{attempt}"
        status = server.run(words(out), after=generator.uniform(0.0, 0.9 * longest))
        done += status == signal.SIGKILL
        now = _half_written(folder)
        in_writes, seen = in_writes + bool(now - seen), now
        if _ended(status) or done == kills:
            left = scene.left(folder / out) if _ended(status) else unbroken(out)
            equal = equal and left == expected
            attempt += 1
    return Cost(kills, in_writes, equal)


def _ended(status: int) -> bool:
    """Whether a command came to its end: now, or before a late kill, so that it refuses to replace its result."""
    return not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) in (0, REFUSED)


def _half_written(folder: Path) -> set[Path]:
    """Files that kills left under a temporary name."""
    return {path for path in folder.rglob("*") if path.name.startswith(".restore-") or path.suffix == ".part"}


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """The address of a dask cluster of one worker on this machine."""
    from operators.common.errors import import_extra

    distributed: Any = import_extra("distributed", do='pip install "restore[cluster]"')
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    local = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    )
    try:
        yield local.scheduler_address
    finally:
        local.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every scene ended as if it had not been killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(scenes()), help="scenes, separated by commas")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    unknown = sorted(set(names) - set(scenes()))
    if unknown:
        parser.error(f"unknown scenes {unknown}; there are {', '.join(scenes())}")
    failed = False
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prepare(folder)
        address = stack.enter_context(cluster()) if any(scenes()[name].dask for name in names) else ""
        server = Server(folder)
        stack.callback(server.close)
        for name in names:
            began = time.monotonic()
            told = cost(scenes()[name], folder, server, kills=options.kills, seed=options.seed, address=address)
            failed |= not told.equal
            sys.stdout.write(
                f"{name:10}  {told.kills} kills, {told.in_writes} inside a write: "
                f"{'as unbroken' if told.equal else 'ANOTHER RESULT'}  ({time.monotonic() - began:.0f} s)\n"
            )
            sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
