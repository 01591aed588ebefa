"""Doing one item, in whatever process: open the case, answer, check the answer, judge it. Never raises."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from ..records.item import OK, Item, Outcome, ScoreRow, failed

HASHED = 1 << 22  # numbers


class TooSlow(Exception):
    """The time of an item is up; raised between two states of its solver."""


def perform(item: Item, *, threads: int = 0) -> Outcome:
    """The outcome of an item; every fault of the method is a failed outcome with a reason.

    threads: of torch in this process, 0 to leave them. The timeout is kept between two states of a solver; whoever
    runs this in a process of its own stops a method that never yields.
    """
    import torch

    from ..cases import open_case
    from ..records import machine

    if threads and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    began = time.perf_counter()
    device = str(item.settings.get("device", "cpu"))
    where = {**machine.describe(), "threads": torch.get_num_threads(), "device": device}
    try:
        case = open_case(item)
        before = _fingerprint(case.problem)
        machine.reset_peak(device)
        answer = case.answer(item, _watch(item, time.monotonic()))
        memory = machine.peak_mb(device)
        after = _fingerprint(case.problem)
        # An operator may remember more than before (a factorisation made at first use), but nothing else.
        if any(after.get(name) != value for name, value in before.items()):
            case.forget(item)
            return failed(item, "the method changed the measurement or the operator it was given", machine=where)
        if reason := _unusable(answer, case.problem):
            return failed(item, reason, seconds=answer.seconds, machine=where)
        scores = score_rows(case, answer, item.metrics)
        arrays = _arrays(case, answer) if item.keep else {}
    except TooSlow:
        return failed(item, f"no answer after {item.timeout:g} s (timeout)", machine=where)
    except MemoryError:
        return failed(item, "out of memory", machine=where)
    except Exception as error:  # noqa: BLE001 - a method may raise anything, and the run goes on
        return failed(item, f"{type(error).__name__}: {error}", machine=where)
    return Outcome(
        item.key,
        OK,
        scores=scores,
        nfe=answer.nfe,
        backward=answer.backward,
        seconds=answer.seconds,
        network_seconds=answer.network_seconds,
        noise_seconds=answer.noise_seconds,
        total_seconds=time.perf_counter() - began,
        memory_mb=memory,
        machine={**where, "process": os.getpid()},
        arrays=arrays,
    )


def score_rows(case: Any, answer: Any, names: Any) -> tuple[ScoreRow, ...]:
    """The scores of an answer as they are stored, each with the version of the code that made it."""
    from restore.metrics import to_json

    rows = []
    for key, score in case.scores(answer, names).items():
        value, flag = to_json(score.value)
        rows.append(ScoreRow(names[key], value, flag or "", score.reason or "", metric_version(names[key])))
    return tuple(rows)


def metric_version(name: str) -> str:
    """The version of the code behind a score."""
    from restore.metrics import REGISTRY

    from ..records.versions import code_version

    stem = name.partition("[")[0]
    modules = {"mean-error", "covariance-error", "sliced-wasserstein"}
    if stem in modules:
        return code_version(("benchmarks.cases.oracle_scores",), core=False)
    return code_version((REGISTRY[stem].target.partition(":")[0],), core=False)


def _watch(item: Item, began: float) -> Callable[[int, Any, int], None]:
    def watch(_sample: int, _state: Any, _total: int) -> None:
        if time.monotonic() - began > item.timeout:
            raise TooSlow

    return watch


def _fingerprint(problem: Any) -> dict[str, str]:
    """Hashes of y and of everything the operator holds by name; a method must leave them alone."""
    from operators import image_id

    held = {"y": problem.y, **{f"operator.{name}": b for name, b in problem.operator.named_buffers() if b.numel()}}
    # Hashing a matrix of a gigabyte would take longer than some solvers; its sum shows a change as well.
    return {name: image_id(t) if t.numel() <= HASHED else str(complex(t.sum())) for name, t in held.items()}


def _unusable(answer: Any, problem: Any) -> str:
    """Why an answer cannot be scored, or nothing."""
    import torch

    wanted = (len(problem.y), *problem.operator.input_shape)
    if tuple(answer.estimate.shape) != wanted:
        return f"the estimate has shape {tuple(answer.estimate.shape)}, the picture {wanted}"
    flat = torch.view_as_real(answer.estimate) if answer.estimate.is_complex() else answer.estimate
    bad = int((~torch.isfinite(flat)).sum())
    return f"the estimate holds {bad} NaN or infinite values" if bad else ""


def _arrays(case: Any, answer: Any) -> dict[str, Any]:
    """Estimate (and draws, where there are several) with what to show beside them, as NumPy arrays."""
    estimate, samples, _ = case.presented(answer)
    kept = {"estimate": estimate[0], **({"samples": samples[:, 0]} if len(samples) > 1 else {}), **case.arrays()}
    return {name: tensor.detach().cpu().numpy() for name, tensor in kept.items()}
