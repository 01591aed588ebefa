"""Forward operators against their peers, measured turn by turn in one process.

    python -m benchmarks.peers.speed --family ct --size 256 --size 512
    python -m benchmarks.peers.speed --all --page docs/speed.md

Peers come with `pip install restore[peers]`; one that is absent is named and left out. Every contestant computes the
same map on the same data; what is reported is the smallest time of many turns, and the memory that it needs in a
process of its own (Linux). Rows go to benchmarks/results/speed-FAMILY.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operators import MissingExtra

from .contest import FAMILIES, GROWTH, Calls, Contest, contests
from .memory import memory
from .page import RESULTS, page, table

SIDES = (256, 512, 1024)
Row = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """What a contestant may cost.

    seconds: of turns for each way; longest: s of a call, beyond which one is enough and a larger picture is not tried;
    gigabytes: of memory, beyond which a larger picture is not tried; with_memory: whether memory is measured; threads:
    of every contestant.
    """

    seconds: float = 2.0
    longest: float = 10.0
    gigabytes: float = 4.0
    with_memory: bool = True
    threads: int = 2


def measure(contest: Contest, budget: Budget, *, without: Mapping[str, str] | None = None) -> Iterator[Row]:
    """A row for each contestant: smallest forward and adjoint time (ms) of turns taken in rotation.

    without: contestants that are not run, and the reason.
    """
    absent = dict(without or {})
    built: dict[str, Calls] = {}
    for name, build in contest.contestants.items():
        if name in absent:
            continue
        try:
            built[name] = build()
        except (ImportError, MissingExtra) as error:
            absent[name] = str(error)
    actions = {(name, "forward"): calls.forward for name, calls in built.items()}
    actions |= {(name, "adjoint"): calls.adjoint for name, calls in built.items() if calls.adjoint is not None}
    best = dict.fromkeys(actions, float("inf"))
    spent = dict.fromkeys(actions, 0.0)
    for key, action in actions.items():
        began = time.perf_counter()
        action()
        taken = time.perf_counter() - began
        # The first call warms up, but one that is long counts, and a very long one is all there is.
        if taken > min(5 * budget.seconds, budget.longest):
            best[key] = taken
            spent[key] = budget.seconds / 3 if taken <= budget.longest else float("inf")
    rounds = 0
    while open_turns := [key for key in actions if spent[key] < budget.seconds]:
        rounds += 1
        first = rounds % len(open_turns)  # whoever comes after the largest peer finds its caches cold: all take turns
        for key in [*open_turns[first:], *open_turns[:first]]:
            began = time.perf_counter()
            actions[key]()
            taken = time.perf_counter() - began
            best[key] = min(best[key], taken)
            # A call far slower than its budget still gets its turns: three are enough for a minimum.
            spent[key] += max(taken, budget.seconds / 2000) if taken < budget.seconds else budget.seconds / 3
    for name in contest.contestants:
        row: Row = {"contest": contest.name, "size": contest.size, "contestant": name}
        if name in absent:
            yield {**row, "reason": absent[name]}
            continue
        times = {f"{way}_ms": 1e3 * best[(name, way)] for way in ("forward", "adjoint") if (name, way) in best}
        yield {**row, **times}


def run(family: str, sides: Sequence[int], budget: Budget) -> list[Row]:
    """All rows of a family, smaller pictures first."""
    rows: list[Row] = []
    for side in sorted(sides):
        for index, contest in enumerate(contests(family, side)):
            without = {
                row["contestant"]: reason
                for row in rows
                if row["contest"] == contest.name and (reason := too_much(row, side, budget))
            }
            for row in measure(contest, budget, without=without):
                row["side"] = side
                # What runs once for its slowness is not run a second time for its memory.
                slow = max(row.get("forward_ms", 0.0), row.get("adjoint_ms", 0.0)) > 1e3 * budget.longest
                if budget.with_memory and "reason" not in row and not slow:
                    grown = memory(family, side, index, row["contestant"], threads=budget.threads)
                    row |= {} if grown is None else {"memory_mb": grown}
                rows.append(row)
    return rows


def too_much(row: Row, side: int, budget: Budget) -> str | None:
    """Why the contestant of a row is not run on a larger picture; None if it is. Costs grow like pixels at least."""
    if "reason" in row:
        return str(row["reason"])
    growth = (side / row["side"]) ** 2
    if max(row["forward_ms"], row.get("adjoint_ms", 0.0)) * growth > 1e3 * budget.longest:
        return f"not run: over {budget.longest:g} s"
    if row.get("memory_mb", 0.0) * growth > 1024 * budget.gigabytes:
        return f"not run: over {budget.gigabytes:g} GB"
    return None


def main(arguments: Sequence[str] | None = None) -> None:
    """The table of families and sizes, on standard output; the rows of each family in a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--family", action="append", choices=(*FAMILIES, GROWTH), help="default: all but growth")
    parser.add_argument("--size", action="append", type=int, help="side of the picture; default: 256")
    parser.add_argument("--all", action="store_true", help=f"every family at {SIDES}, and growth")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, help="given to each contestant and way; default: 2, with --all 0.2")
    parser.add_argument("--longest", type=float, default=10.0, help="seconds of a call that is not repeated")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the rows")
    parser.add_argument("--page", type=Path, help="write the tables of all rows in --out to this Markdown file")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    import torch

    torch.set_num_threads(options.threads)
    seconds = options.seconds if options.seconds is not None else (0.2 if options.all else 2.0)
    budget = Budget(
        seconds=seconds, longest=options.longest, with_memory=not options.no_memory, threads=torch.get_num_threads()
    )
    sides = SIDES if options.all else options.size or (SIDES[0],)
    families = (*FAMILIES, GROWTH) if options.all else options.family or FAMILIES
    machine = {"processor": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    command = "python -m benchmarks.peers.speed " + " ".join(sys.argv[1:] if arguments is None else arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for family in families:
        began = time.perf_counter()
        rows = run(family, sides[:1] if family == GROWTH else sides, budget)
        stored = {"command": command, "machine": machine, "rows": rows}
        (options.out / f"speed-{family}.json").write_text(json.dumps(stored, indent=1) + "\n")
        sys.stdout.write(f"\n{table(rows)}\n\n{family}: {time.perf_counter() - began:.0f} s\n")
        sys.stdout.flush()
    if options.page:
        options.page.write_text(page(options.out))


if __name__ == "__main__":
    main()
