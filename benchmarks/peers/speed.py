"""Forward operators against their peers, measured turn by turn in one process.

    python -m benchmarks.peers.speed --family ct --size 256 --size 512

Peers come with `pip install restore[peers]`; one that is absent is named and left out. Every contestant computes the
same map on the same data; what is reported is the smallest time of many turns, and the memory that one forward and
adjoint call adds in a process of its own (Linux). Rows go to benchmarks/results/speed-FAMILY.json.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operators import MissingExtra

FAMILIES = ("blur", "resampling", "sensing", "ct", "mri", "spectral", "nonlinear")
OURS = "restore"
RESULTS = Path(__file__).resolve().parent.parent / "results"


@dataclass(frozen=True)
class Calls:
    """What is timed: closures over data that is ready. `adjoint` None where a peer has none."""

    forward: Callable[[], Any]
    adjoint: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Contest:
    """One map at one size. contestants: name -> function that builds its operator and data; OURS among them.

    A contestant that is not installed raises ImportError or MissingExtra when it is built.
    """

    name: str
    size: str
    contestants: Mapping[str, Callable[[], Calls]]


def measure(contest: Contest, *, seconds: float = 2.0) -> Iterator[dict[str, Any]]:
    """A row for each contestant: smallest forward and adjoint time (ms) of turns taken in rotation."""
    built: dict[str, Calls] = {}
    absent: dict[str, str] = {}
    for name, build in contest.contestants.items():
        try:
            built[name] = build()
        except (ImportError, MissingExtra) as error:
            absent[name] = str(error)
    actions = {(name, "forward"): calls.forward for name, calls in built.items()}
    actions |= {(name, "adjoint"): calls.adjoint for name, calls in built.items() if calls.adjoint is not None}
    best = {key: float("inf") for key in actions}
    spent = dict.fromkeys(actions, 0.0)
    for action in actions.values():
        action()
    rounds = 0
    while open_turns := [key for key in actions if spent[key] < seconds]:
        rounds += 1
        first = rounds % len(open_turns)  # whoever comes after the largest peer finds its caches cold: all take turns
        for key in [*open_turns[first:], *open_turns[:first]]:
            began = time.perf_counter()
            actions[key]()
            taken = time.perf_counter() - began
            best[key] = min(best[key], taken)
            # A call far slower than its budget still gets its turns: three are enough for a minimum.
            spent[key] += max(taken, seconds / 2000) if taken < seconds else seconds / 3
    for name in contest.contestants:
        row: dict[str, Any] = {"contest": contest.name, "size": contest.size, "contestant": name}
        if name in absent:
            yield {**row, "reason": absent[name]}
            continue
        times = {f"{way}_ms": 1e3 * best[(name, way)] for way in ("forward", "adjoint") if (name, way) in best}
        yield {**row, **times}


def memory(family: str, size: int, index: int, name: str) -> float:
    """Megabytes that one forward and one adjoint call add to a fresh process after the operator was built."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    # A forked child would inherit OpenMP's locks without its threads, so it starts anew and finds its contest again.
    child = multiprocessing.get_context("spawn").Process(target=_grown, args=(family, size, index, name, sender))
    child.start()
    value = receiver.recv() if receiver.poll(120) else float("nan")
    child.join(1)
    child.kill()
    return float(value)


def _grown(family: str, size: int, index: int, name: str, sender: Any) -> None:
    contest = list(contests(family, size))[index]
    calls = contest.contestants[name]()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    before = _status("VmRSS")
    calls.forward()
    if calls.adjoint is not None:
        calls.adjoint()
    sender.send((_status("VmHWM") - before) / 1024)


def _status(key: str) -> int:
    """Kilobytes that Linux reports for this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def contests(family: str, size: int) -> Iterable[Contest]:
    """The contests of a family, whose module is imported when it is reached."""
    found: Iterable[Contest] = importlib.import_module(f"benchmarks.peers.families.{family}").contests(size)
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: one line per contestant; `ahead` is the best peer's time over ours, both ways."""
    lines = [
        "| contest | size | contestant | forward ms | adjoint ms | memory MB | ahead |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = [row["contest"], row["size"], row["contestant"]]
        if "reason" in row:
            lines.append("| " + " | ".join([*cells, row["reason"], "", "", ""]) + " |")
            continue
        numbers = [f"{row[key]:.2f}" if key in row else "" for key in ("forward_ms", "adjoint_ms")]
        grown = f"{row['memory_mb']:.0f}" if "memory_mb" in row else ""
        lines.append("| " + " | ".join([*cells, *numbers, grown, _ahead(row, rows)]) + " |")
    return "\n".join(lines)


def _ahead(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    if row["contestant"] != OURS:
        return ""
    same = [r for r in rows if (r["contest"], r["size"]) == (row["contest"], row["size"]) and r is not row]
    ratios = []
    for key in ("forward_ms", "adjoint_ms"):
        times = [r[key] for r in same if key in r]
        ratios.append(f"{min(times) / row[key]:.1f}x" if times and key in row else "-")
    return " / ".join(ratios)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--family", action="append", choices=FAMILIES, help="default: all")
    parser.add_argument("--size", action="append", type=int, help="side of the picture; default: 256")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="time given to each contestant and way")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", str(given.threads))
    import torch

    torch.set_num_threads(given.threads)
    rows: dict[str, list[dict[str, Any]]] = {}
    for family, size in itertools.product(given.family or FAMILIES, given.size or [256]):
        for index, contest in enumerate(contests(family, size)):
            for row in measure(contest, seconds=given.seconds):
                if "reason" not in row and not given.no_memory:
                    row["memory_mb"] = memory(family, size, index, row["contestant"])
                rows.setdefault(family, []).append(row)
    machine = {"processor": platform.machine(), "threads": given.threads, "torch": torch.__version__}
    given.out.mkdir(parents=True, exist_ok=True)
    command = "python -m benchmarks.peers.speed " + " ".join(sys.argv[1:] if arguments is None else arguments)
    for family, found in rows.items():
        stored = {"command": command, "machine": machine, "rows": found}
        (given.out / f"speed-{family}.json").write_text(json.dumps(stored, indent=1) + "\n")
        sys.stdout.write(f"\n{table(found)}\n")


if __name__ == "__main__":
    main()
