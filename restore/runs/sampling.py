"""The loop of a run: batch after batch of draws is driven to its end, watched, counted, and kept."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from operators import BadInput, Diverged, NoiseSource

from ..solvers import Solver, State
from .fitting import Sources
from .matching import Match
from .meters import MeteredNoise
from .pieces import Piece
from .trace import Row, merged, row

Watch = Callable[[int, State, int], None]
Keep = Callable[["Finished"], None]
FAR = 1e6  # no setting of a solver is as large in use


@dataclasses.dataclass(frozen=True)
class Finished:
    """What an interrupted run had done: samples (n x B x C x H x W) and the trace of the first."""

    samples: Tensor
    trace: tuple[Mapping[str, float], ...] = ()


class Interrupted(KeyboardInterrupt):
    """The run was stopped by the user; `finished` holds the samples that were done, None where there are none.

    Samples run in batches, and only whole batches are kept.
    """

    def __init__(self, finished: Finished | None) -> None:
        super().__init__("interrupted")
        self.finished = finished


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Samples (S x B x C x H x W) in the picture's units, and what it took to draw them.

    calls, backward_passes: of the prior, for each sample drawn now. most: draws of a batch, at most, as it was
    asked for; shrunk_to: what was left of it where memory ran out, None where it did not.
    """

    samples: Tensor
    trace: tuple[Row, ...]
    calls: int
    backward_passes: int
    noise_seconds: float
    most: int
    shrunk_to: int | None


class Drawing:
    """All draws of one solver on one matched problem.

    sources: makes the noise of a batch. samples: of each picture. most: draws in a batch, at most; a joint solver gets
    all samples of a picture at once, however many. keep: called with what is finished after each batch but the last.
    """

    def __init__(
        self,
        method: Solver,
        match: Match,
        sources: Sources,
        *,
        samples: int,
        most: int,
        watch: Watch | None = None,
        keep: Keep | None = None,
    ) -> None:
        self.method, self.match, self.sources, self.watch, self.keep = method, match, sources, watch, keep
        self.count, self.pictures, self.most = samples, len(match.posed.y), most
        self._samples: Tensor | None = None
        self._done = self._calls = self._backward_passes = 0
        self._noise_seconds = 0.0
        self._traces: list[tuple[Sequence[Row], int]] = []
        self._shrunk_to: int | None = None

    def run(self, finished: Finished | None = None) -> Drawn:
        """All draws, finished ones taken over. Interrupted on Ctrl-C; Diverged for values that are not finite.

        finished: samples of an earlier run; those of a joint solver are taken where they are all that was asked for.
        """
        if finished is not None and (not self.method.joint or len(finished.samples) == self.count):
            self._done = min(len(finished.samples), self.count)
            self._keep(finished.samples[: self._done], Piece(range(self.pictures), range(self._done)))
            self._traces.append((finished.trace, self.pictures))
        fresh = (self.count - self._done) * self.pictures
        pieces = Piece(range(self.pictures), range(self.count)).cut(self.most, joint=self.method.joint)
        waiting = [left for left in (piece.without(self._done) for piece in pieces) if left is not None]
        try:
            while waiting:
                waiting = self._advance(waiting)
                self._done = waiting[0].samples.start if waiting else self.count
                if self.keep is not None and waiting and (finished := self._finished()) is not None:
                    self.keep(finished)
        except KeyboardInterrupt:
            raise Interrupted(self._finished()) from None
        if self._samples is None:
            raise AssertionError("nothing was drawn and nothing was finished")
        return Drawn(
            samples=self._samples,
            trace=tuple(merged(self._traces)),
            calls=self._calls // max(fresh, 1),
            backward_passes=self._backward_passes // max(fresh, 1),
            noise_seconds=self._noise_seconds,
            most=self.most,
            shrunk_to=self._shrunk_to,
        )

    def _advance(self, waiting: list[Piece]) -> list[Piece]:
        """Draw the first of the pieces and return the others: smaller ones, and all, where memory ran out."""
        piece, *others = waiting
        calls, backward_passes = self.match.calls, self.match.backward_passes
        rows: list[Row] = []
        smaller = [part for p in waiting for part in p.cut(piece.entries // 2, joint=self.method.joint)]
        self.match.may_tile(piece in smaller)
        try:
            estimate = self._drive(piece, rows)
        except torch.OutOfMemoryError:
            if piece in smaller:
                raise
        else:
            picture = self.match.to_picture(estimate)
            self._keep(picture.reshape(len(piece.samples), len(piece.pictures), *picture.shape[1:]), piece)
            if 0 in piece.samples:
                self._traces.append((rows, len(piece.pictures)))
            self._calls += (self.match.calls - calls) * piece.entries
            self._backward_passes += (self.match.backward_passes - backward_passes) * piece.entries
            return others
        # Only here, when the error and all that it held are gone, does a device give memory back.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._shrunk_to = smaller[0].entries
        return smaller

    def _drive(self, piece: Piece, rows: list[Row]) -> Tensor:
        """Run the generator to its end and return the last estimate, in native units; the trace goes to `rows`."""
        method, match = self.method, self.match
        problem, pictures = piece.pose(match.posed), match.posed.part(piece.pictures)
        noise = MeteredNoise(self.sources(*piece.names(match.posed.image_ids)))
        gradients = torch.enable_grad() if method.differentiates else torch.inference_mode()
        state = None
        try:
            with gradients:
                for state in method.iterate(problem, match.native, noise):
                    # Whatever is not finite reaches the sum, at a tenth of the cost of looking at every value.
                    if not bool(torch.isfinite(state.estimate.sum())):
                        raise self._diverged(state, piece)
                    if 0 in piece.samples:
                        rows.append(row(pictures, state))
                        if not math.isfinite(rows[-1]["residual_rms"]):
                            raise self._diverged(state, piece)
                    if self.watch is not None:
                        self.watch(piece.samples.start, state, method.total)
        except Diverged as error:  # of a solve within the loop too, which knows nothing of these settings
            far = self._far()
            if not far:
                raise
            raise Diverged(error.found, do=f"Leave out {far}: that is far beyond use.") from None
        finally:
            self._noise_seconds += noise.seconds
            if isinstance(noise.source, NoiseSource):
                noise.source.close()
        if state is None:
            raise BadInput(f"{type(method).__name__} yielded no state")
        return state.estimate.detach().clone()

    def _diverged(self, state: State, piece: Piece) -> Diverged:
        """The error that names the first draw which left the finite numbers."""
        broken = ~torch.isfinite(torch.view_as_real(state.estimate) if state.estimate.is_complex() else state.estimate)
        entry = int(broken.flatten(1).any(1).int().argmax())  # the first of them; 0 where only a sum has overflowed
        sample, picture = divmod(entry, len(piece.pictures))
        where = f" in sample {piece.samples[sample]}" if self.count > 1 else ""
        where += f" of picture {piece.pictures[picture]}" if self.pictures > 1 else ""
        return Diverged(
            f"{type(self.method).__name__} left the finite numbers at step {state.step}{where}",
            do="Lower its step size or guidance (--set solver.KEY=VALUE), or check the noise level.",
        )

    def _far(self) -> str:
        """The settings of the solver that are larger than any in use; empty where there are none."""
        values = {field.name: getattr(self.method, field.name) for field in dataclasses.fields(self.method)}
        return " and ".join(f"solver.{k}={v:g}" for k, v in values.items() if isinstance(v, float) and abs(v) > FAR)

    def _keep(self, estimates: Tensor, piece: Piece) -> None:
        """Put the pictures of a piece (samples x pictures x ...) where they belong."""
        if self._samples is None:
            self._samples = estimates.new_empty(self.count, self.pictures, *estimates.shape[2:])
        samples, pictures = (slice(r.start, r.stop) for r in (piece.samples, piece.pictures))
        self._samples[samples, pictures] = estimates

    def _finished(self) -> Finished | None:
        if self._samples is None or self._done == 0:
            return None
        return Finished(self._samples[: self._done].clone(), tuple(merged(self._traces)))
