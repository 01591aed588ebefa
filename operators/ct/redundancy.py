"""What each ray counts in a filtered back-projection: the angle its view stands for, and its share of its line.

The line of the ray (t, gamma) of a fan is seen again, from the other end, as (t + pi - 2 gamma, -gamma); in a parallel
beam as (t + pi, -s). Of a ray and its twin, let a and a' say how deep they lie in the scan: the way to the nearest gap
in the angles times the way to the nearest end of the detector. Then

    c = sin^2(pi / 2  a / (a + a')),    so that c + c' = 1 and both fade out where the scan or the detector ends.

Over a full turn with a centred detector that is 1/2; over a short scan the weights of D. Parker 1982,
doi:10.1118/1.595078, with more than the least range as M. D. Silver 2000, doi:10.1118/1.1286551, takes it; with a
detector pushed aside the shares of half a fan (G. Wang 2002, doi:10.1118/1.1489043, has others of the same law).

Only the set of angles modulo a turn matters: not their order, signs, where they start or how often they occur.
"""

from __future__ import annotations

import math

import numpy as np

TWINS = 1e-6  # radians within which two views are one view measured twice
HOLE = 3.0  # times the typical gap; lists by the golden angle have gaps in ratios up to 2.618
JUMP = 2.0  # times the next smaller gap: angles drawn at random seldom leave such a gap, a scan that stopped does
MANY = 8  # holes are at most one gap in so many; else the list is uneven all over
OUTSIDE = 50.0  # how little a ray beside the detector counts, as a logarithm, beside one that was measured


class AngleCoverage:
    """A list of angles modulo `period` (radians), in any order.

    weights: the angle that each view stands for, half the way to its neighbours; views that occur m times share it.
    holes: start and end of the ranges the scan leaves out, empty where it closes. The views beside a hole get no share
    of it, but of one more gap such as the others.
    """

    def __init__(self, angles: np.ndarray, *, period: float) -> None:
        self.angles, self.period = angles, period
        folded = np.mod(angles, period)
        order = np.argsort(folded, kind="stable")
        ordered = folded[order]
        group = np.concatenate([[0], np.cumsum(np.diff(ordered) > TWINS)])
        places = ordered[np.searchsorted(group, np.arange(group[-1] + 1))]
        if len(places) > 1 and places[0] + period - ordered[-1] <= TWINS:
            group[group == group[-1]] = 0  # twins on both sides of the seam
            places = places[:-1]
        gaps = np.diff(places, append=places[0] + period)
        missing = _holes(gaps)
        filled = np.where(missing, _typical(gaps[~missing]), gaps)
        stands = (filled + np.roll(filled, 1)) / 2 / np.bincount(group)
        self.weights = np.empty_like(folded)
        self.weights[order] = stands[group]
        half = _typical(gaps[~missing]) / 2
        self.holes = [(places[k] + half, places[k] + gaps[k] - half) for k in np.flatnonzero(missing)]

    def depth(self, angles: np.ndarray) -> np.ndarray:
        """How far angles lie from the nearest hole; 0 in one, the period where there is none."""
        depth = np.full(np.shape(angles), self.period)
        for start, end in self.holes:
            nearest = np.minimum(np.mod(angles - end, self.period), np.mod(start - angles, self.period))
            inside = np.mod(angles - start, self.period) < end - start
            depth = np.minimum(depth, np.where(inside, 0.0, nearest))
        return depth


def view_weights(angles: np.ndarray, *, period: float) -> np.ndarray:
    """The angle that each view stands for. period: pi for a centred parallel beam, 2 pi for fans."""
    return AngleCoverage(angles, period=period).weights


def shares(coverage: AngleCoverage, *, bend: np.ndarray, place: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """c above, V x cells: what each ray counts of the line that it and its twin see.

    bend: angle of each cell's ray against the central one, 0 in a parallel beam. place: of each cell, signed, 0 for
    the ray through the axis. ends: of the measured cells, in the measure of place; cells may lie beyond them.
    """
    from scipy.special import expit

    angles = coverage.angles
    opposite = angles[:, None] + math.pi - 2 * bend
    with np.errstate(divide="ignore"):
        own = np.log(coverage.depth(angles))[:, None] + _standing(place, ends)
        twin = np.log(coverage.depth(opposite)) + _standing(-place, ends)
    return np.asarray(np.sin(np.pi / 2 * expit(own - twin)) ** 2)


def redundancy(angles: np.ndarray, fan_angles: np.ndarray) -> np.ndarray:
    """Shares V x cells of the rays of a fan. angles: of the views. fan_angles: of each cell, all of them measured."""
    half = np.diff(fan_angles).mean() / 2 if len(fan_angles) > 1 else 1.0
    ends = (float(fan_angles[0] - half), float(fan_angles[-1] + half))
    return shares(AngleCoverage(angles, period=2 * math.pi), bend=fan_angles, place=fan_angles, ends=ends)


def _standing(place: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Logarithm of the way to the nearer end of the detector; beyond it next to nothing, the less the farther out."""
    inside = np.minimum(place - ends[0], ends[1] - place)
    cell = np.ptp(place) / max(len(place) - 1, 1) or 1.0
    measured = np.log(np.maximum(inside, 1e-300))
    return np.where(inside > 0, measured, math.log(cell) - OUTSIDE * (1 - inside / cell))


def _holes(gaps: np.ndarray) -> np.ndarray:
    """Which gaps are ranges that were not scanned."""
    falling = np.sort(gaps)[::-1]
    number = 0
    for k in range(min(max(1, len(gaps) // MANY), len(gaps) - 1)):
        if falling[k] > JUMP * falling[k + 1] and falling[k] > HOLE * _typical(falling[k + 1 :]):
            number = k + 1
    return gaps >= falling[number - 1] if number else np.zeros(len(gaps), bool)


def _typical(gaps: np.ndarray) -> float:
    """The gap in which the middle of the range that the gaps cover falls, when they are laid out by size."""
    ordered = np.sort(gaps)
    covered = np.cumsum(ordered)
    return float(ordered[np.searchsorted(covered, covered[-1] / 2)])
