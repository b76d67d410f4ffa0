from __future__ import annotations

import pytest

from tachograph.events.call import turned_away


@pytest.mark.parametrize(
    ("status", "free"),
    [(200, False), (400, True), (401, True), (408, False), (429, True), (499, False), (500, False), (502, False),
     (503, True), (529, True)],
)  # fmt: skip
def test_a_request_that_was_not_taken_cost_nothing(status: int, free: bool) -> None:
    """What a provider may have begun to work on is not among them."""
    assert turned_away(status) is free
