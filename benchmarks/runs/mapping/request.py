"""From what a user asks for one large file to the items that do it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from operators import REGISTRY
from operators.common import outside
from operators.common.errors import BadInput
from operators.common.randomness import check_seed, image_id
from operators.core.locality import Locality, locality
from operators.core.operator import Operator
from restore import io, tasks
from restore.io.image import Metadata
from restore.io.sizes import Extent
from restore.metrics import canonical
from restore.tasks import Task, informing, measurement
from restore.tasks.given import Given

from ...cases import pictures, windows
from ...cases.planning import Context, pixels_name
from ...records.item import Item
from ...records.store import write_arrays
from ...suites import Suite
from ..runner import SuitePlan
from . import streaming
from .grid import Cutout, Tiling, cut, up

TILE, BLEND, LEAST = 512, 16, 64  # pixels
MARGIN = 32  # pixels beyond the operator's reach over which a prior, or an inverse, is taken to see


@dataclass(frozen=True)
class Request:
    """One file, one task, one solver.

    reading: options of `restore.io.read` but index. tile: side of a window, 0 for whole pictures, None: TILE for a
    single picture, whole pictures for a stack. halo: rim of a window that is dropped, None: what the operator reaches,
    and MARGIN. blend: pixels over which neighbours are blended. measured: the file is y itself; given then says what
    the task does not (a number for sigma; kernel and mask as files). set: settings of the task, KEY=VALUE.
    """

    task: str
    input: Path
    reading: Mapping[str, Any] = field(default_factory=dict)
    tile: int | None = None
    halo: int | None = None
    blend: int = BLEND
    measured: bool = False
    given: Given = field(default_factory=Given)
    solver: str | None = None
    prior: str | None = None
    set: Sequence[str] = ()
    samples: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Mapped:
    """A request ready to run: `plan` for the runner; for each item its picture (index or None) and its window.

    extent: of the estimate. tiling: how pictures are cut. unit: of the estimate's values.
    """

    plan: SuitePlan
    places: tuple[tuple[int | None, Cutout], ...]
    extent: Extent
    tiling: Tiling
    unit: str


def prepare(request: Request, context: Context, work: Path) -> Mapped:
    """The items of a request; BadInput before any work for what cannot run. work: where a drawn mask is kept."""
    check_seed(request.seed)
    task = _task(request)
    size = io.extent(request.input, **request.reading)
    method = _solver(request, task, context)
    picture = context.hashed(
        pixels_name(request.input, str(sorted(request.reading.items()))), lambda: picture_id(request, size)
    )
    posed = _posed(request)
    _check_measured(request, task, size)
    stored = size
    fitted, size = _size(request, task, size)
    tiling, there = _tiling(request, fitted, size)
    mask = _mask(request, task, stored, size, there, work)
    name = pixels_name(request.input, str(sorted(request.reading.items())))
    y_shape = (stored.channels, stored.height, stored.width) if request.measured else None
    file = pictures.of_file(task, context, name, lambda: _meta(request, stored), output_shape=y_shape)
    whole = Cutout((0, size.height, 0, size.width), (0, size.height, 0, size.width))
    shared = {
        "path": str(request.input.resolve()),
        "reading": dict(request.reading),
        "table": (task if request.measured else fitted).table,
        "chosen": sorted(task.chosen),
        "measured": posed if request.measured else None,
        "mask": None if mask is None else str(mask.resolve()),
        "picture": picture,
        "size": [size.height, size.width],
        "channels": size.channels,
        "factor": list(there.factor),
        "reach": list(there.reach),
        "grid": list(there.grid),
    }
    items, places = [], []
    for index in range(size.pictures) if size.pictures is not None else (None,):
        for window in cut(size.height, size.width, tiling):
            where = {**shared, "index": index, "window": None, "keep": None, "y": ""}
            if window != whole:
                where |= {"window": list(window.solve), "keep": list(window.keep)}
                if not request.measured:
                    where["y"] = str((work / _measured_name(task, file, picture, index, request.seed)).resolve())
            items.append(_item(request, task, context, method, where, posed, file))
            places.append((index, window))
    summary = f"{task.name} on {request.input.name}"
    unit = task.sections.input.unit
    return Mapped(SuitePlan(Suite("map", 1, summary, ()), tuple(items)), tuple(places), size, tiling, unit)


def _measured_name(task: Task, file: Mapping[str, Any], picture: str, index: int | None, seed: int) -> str:
    """The file of a picture's measurement: its name holds all that y depends on."""
    physics = [str(task.table[part]) for part in ("operator", "noise", "measurement", "input")]
    physics += [str(file)] if file else []
    return f"y-{hashlib.sha256(repr((physics, picture, index, seed)).encode()).hexdigest()[:16]}.h5"


def picture_id(request: Request, size: Extent) -> str:
    """sha256 of the decoded values and their shape, read band by band."""
    shape = (size.pictures, size.channels, size.height, size.width)
    total = hashlib.sha256(repr(shape).encode())
    for index in range(size.pictures) if size.pictures is not None else (None,):
        where = {"path": request.input, "reading": request.reading, "index": index}
        for _, image in streaming.file_bands(where, (size.height, size.width)):
            total.update(image.data.numpy().tobytes())
    return total.hexdigest()


def _task(request: Request) -> Task:
    settings = tasks.parse_settings(request.set)
    task = tasks.load(request.task)
    if request.solver is not None and ":" not in request.solver:
        settings = {"solver.name": request.solver, **settings}
    task = task.override(settings) if settings else task
    task.check()
    if not request.measured:
        request.given.refuse_without_measured(do="Add --measured if the file is y itself.")
    return task


def _solver(request: Request, task: Task, context: Context) -> tuple[str, Any]:
    name = request.solver or task.sections.solver.name
    if request.prior is not None:
        context.solvers = {name: {"name": name, "prior": request.prior}}
    return pictures.method(task, name, 0, context)


def _posed(request: Request) -> dict[str, Any]:
    """What is said about a measurement, as plain data."""
    if not request.measured:
        return {}
    kernel = _file(request.given, "kernel")
    return {
        "sigma": request.given.sigma,
        "peak": request.given.peak,
        "kernel": None if kernel is None else str(kernel.resolve()),
    }


def _check_measured(request: Request, task: Task, size: Extent) -> None:
    """BadInput, before any piece is computed, where the operator cannot take the file for its measurement.

    Only of operators that look at more than shapes, whose pictures are not cut: the first of them is read.
    """
    kind: Any = REGISTRY.load(task.sections.operator.name)
    if not request.measured or kind.received.__func__ is Operator.received.__func__:  # type: ignore[attr-defined]
        return
    image = io.read(request.input, index=None if size.pictures is None else 0, **request.reading)
    y = measurement.as_batch(image, what="the measurement", complex_values=True)
    try:
        kind.received(y, {}, task.sections.operator.parameters)
    except BadInput as refusal:
        more = " bench map has neither --array nor --shape: use restore run." if "--" in refusal.do else ""
        raise BadInput(refusal.found, wanted=refusal.wanted, do=f"{refusal.do}{more}") from None


def _file(given: Given, key: Literal["kernel", "mask"]) -> Path | None:
    """The file of a kernel or mask; BadInput for an array, which the processes of a map cannot be handed."""
    value = getattr(given, key)
    if value is not None and not isinstance(value, Path):
        raise BadInput(f"{key} is an array", wanted="the path of its file", do="Write it with restore.write first.")
    return value


def _size(request: Request, task: Task, stored: Extent) -> tuple[Task, Extent]:
    """The size of the pictures that are estimated, and the task with what the file, or its axes, state of the physics.

    The size is told by a measurement, or that of the file cropped to what the task takes.
    """
    if not request.measured:
        multiple = task.sections.input.crop_to_multiple
        rows, columns = (n - n % multiple for n in (stored.height, stored.width))
        fitted = task
        if informing.listens(task.physics):
            fitted = task.fitted(informing.hints(task.physics, _meta(request, stored), None).settings)
        return fitted, dataclasses.replace(stored, height=rows, width=columns)
    same = (stored.channels, stored.height, stored.width)
    hints = informing.hints(task.physics, _meta(request, stored), same)
    channels, rows, columns = hints.input_shape or same
    return task.fitted(hints.sizes), dataclasses.replace(stored, channels=channels, height=rows, width=columns)


def _meta(request: Request, size: Extent) -> Metadata:
    """What the file says beside its values, of which one is read."""
    index = None if size.pictures is None else 0
    return io.read(request.input, **request.reading, index=index, window=(0, 1, 0, 1)).meta


def _tiling(request: Request, task: Task, size: Extent) -> tuple[Tiling, Locality]:
    """How the pictures are cut, and how far the operator sees."""
    tile = request.tile if request.tile is not None else (TILE if size.pictures is None else 0)
    if tile and tile < LEAST:
        raise BadInput(f"tile is {tile}", wanted=f"0 (whole pictures), or at least {LEAST}")
    if not tile or max(size.height, size.width) <= tile:
        return Tiling(0), Locality()
    if task.sections.input.normalise:
        raise BadInput(
            f"task {task.name!r} divides a picture by its largest value, which a window does not know",
            do="Leave the pictures whole (--tile 0).",
        )
    kernel = Given(kernel=request.given.kernel).loaded().parts
    # What the operator is like does not depend on the size of the window; this one suits every factor up to LEAST.
    side = -(-tile // LEAST) * LEAST
    there = locality(task.operator((size.channels, side, side), kernel))
    wanted = [reach + MARGIN if request.halo is None else request.halo for reach in there.reach]
    rows, columns = (up(n, g) for n, g in zip(wanted, there.grid, strict=True))
    return Tiling(tile, (rows, columns), request.blend, there.grid), there


def _mask(request: Request, task: Task, stored: Extent, size: Extent, there: Locality, work: Path) -> Path | None:
    """The file of the mask that belongs to the whole picture: the user's, or the task's own, drawn once."""
    own = _file(request.given, "mask")
    if own is not None:
        extent = io.extent(own)
        if (extent.height, extent.width) != (stored.height, stored.width):
            raise BadInput(
                f"the mask is {extent.height} x {extent.width}", wanted=f"{stored.height} x {stored.width}, as the file"
            )
    if own is not None or not there.placed:
        return own
    if request.measured:
        raise BadInput(
            "which pixels of a large picture were measured cannot be told from a window",
            do="Give the mask with --mask FILE (nonzero = measured).",
        )
    keep = task.operator((1, size.height, size.width)).observed
    if keep is None:
        raise BadInput(f"operator {task.sections.operator.name!r} does not say what it observes", do="Use --tile 0.")
    path = work / f"mask-{image_id(keep.float())[:16]}.h5"
    return path if path.is_file() else write_arrays(path, {"mask": keep[0].to(torch.uint8).numpy()})


def _item(
    request: Request,
    task: Task,
    context: Context,
    method: tuple[str, Any],
    where: dict[str, Any],
    posed: Mapping[str, Any],
    file: Mapping[str, Any],
) -> Item:
    place = "" if where["index"] is None else f"[{where['index']}]"
    if where["window"] is not None:
        place += " rows {}-{} columns {}-{}".format(*where["window"])
    files = {key: posed.get(key) or where.get(key) for key in ("kernel", "mask")}
    hashes = {
        key: context.hashed(pixels_name(Path(file), key), partial(outside.sha256, file))
        for key, file in files.items()
        if file
    }
    measured = {"sigma": posed.get("sigma"), "peak": posed.get("peak")} if request.measured else None
    first = {} if request.measured else dict(list(task.metrics.items())[:1])
    return pictures.of_task(
        task,
        method,
        context,
        image=f"{where['picture']}{place}",
        samples=request.samples,
        seed=request.seed,
        physics={"measured": measured, "arrays": hashes, **file},
        identity={"keep": where["keep"], "version": windows.VERSION},
        fields={
            "kind": "window",
            "data_set": "",
            "image": f"{request.input.stem}{place}",
            "image_sha256": where["picture"],
            "where": where,
            "metrics": {**{key: canonical(name) for key, name in first.items()}, "chi2": "chi2"},
            "keep": True,
        },
    )
