"""DDNM, with time travel and with noise, against recorded runs of its public code."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from operators.common.randomness import Tape
from operators.noise import Gaussian
from restore.problem import Problem
from restore.solvers.diffusion.ddnm import DDNM, travelled
from restore.solvers.parts.spectral import SpectralForm

from .spectral_operators import means, packed_mask

OPERATORS = {"sr4": means, "mask": packed_mask}


def patches(record):
    """The coordinates of `means` before the small rotation inside each patch."""
    plain = {**record, "sr4__V_small": torch.eye(16, dtype=torch.float64).numpy()}
    return means(plain).svd


class Unrotated(DDNM):
    """The public code for reductions: e and z are sorted into patches, but not turned by V^H."""

    record: ClassVar[dict[str, Any]] = {}

    def coordinates(self, parts: SpectralForm, e: Tensor) -> Tensor:
        return patches(self.record).Vt(e)


@pytest.mark.parametrize("variant", ["clean", "travel", "noisy"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_ddnm_follows_the_recorded_run(reference, toy_prior, close, operator, variant):
    record = reference("ddnm")
    name = f"{operator}__{variant}"
    forward, sigma = OPERATORS[operator](record), float(record[f"{name}__sigma_y"])
    length, repeat = record[f"{name}__travel"].tolist()
    steps = int(record[f"{name}__T_sampling"])
    kind = Unrotated if (operator, variant) == ("sr4", "noisy") else DDNM
    Unrotated.record = dict(record)
    solver = kind(**{**DDNM.presets["paper"], "steps": steps, "travel_length": length, "travel_repeat": repeat})
    times = record[f"{name}__times"].tolist()
    assert travelled(steps, length, repeat) == times
    tape = Tape(record[f"{name}__noise"])
    problem = Problem(torch.as_tensor(record[f"{name}__y"]), forward, Gaussian(sigma=sigma))
    states = list(solver.iterate(problem, toy_prior(record, None), tape))
    assert len(states) == solver.total
    close(states[-1].x0, record[f"{name}__x0_last"])
    close(states[-1].estimate, record[f"{name}__x_final"])
    assert tape.position == len(times)
