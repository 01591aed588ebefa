"""An operator shared by threads: one may move it while another is at its first use."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

import operators


def _blur() -> Any:
    return operators.build("blur", (1, 8, 8), kernel=torch.ones(3, 3) / 9)


def test_an_array_made_at_first_use_may_come_while_the_operator_is_moved():
    operator, failed, others = _blur(), [], []

    def first_use(name: str) -> None:
        try:
            operator.derived(name, lambda: torch.ones(2, dtype=torch.float64), torch.zeros(1))
        except RuntimeError as error:
            failed.append(error)

    def move(values: Tensor) -> Tensor:
        other = threading.Thread(target=first_use, args=(f"late{len(others)}",))
        other.start()
        other.join(0.2)  # comes through only where nothing keeps it out of the table that is being walked
        others.append(other)
        return values

    operator._apply(move)
    for other in others:
        other.join()
    assert others and not failed
    assert torch.equal(operator.derived("late0", lambda: torch.zeros(2), torch.zeros(1)), torch.ones(2))


def test_a_cast_is_given_even_where_the_operator_was_moved_in_between():
    class Emptied(dict):
        """What another thread sees: the table is new and empty after every entry."""

        def __setitem__(self, key: Any, value: Any) -> None:
            self.clear()

    operator = _blur()
    name, expected = next((n, b) for n, b in operator.named_buffers() if b.is_floating_point() or b.is_complex())
    operator._casts = Emptied()
    cast = operator.constant(name, torch.zeros(1, dtype=torch.float32))
    torch.testing.assert_close(cast.to(expected.dtype), expected, rtol=1e-6, atol=1e-7)
