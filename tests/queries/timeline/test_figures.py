from __future__ import annotations

from typing import Any

import pytest

from tachograph.queries.timeline.figures import COLUMNS, Sums, counted, stalls

ENDED: dict[str, Any] = {
    **dict.fromkeys(COLUMNS), "status": "completed", "input_tokens": 10, "output_tokens": 2, "cost_nano": 7,
    "cost_state": "priced",
}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "sums"),
    [
        ({}, Sums(calls=1, input=10, output=2, cost=7)),
        ({"output_tokens": None}, Sums(calls=1, input=10, cost=7)),
        (
            {"input_tokens": None, "output_tokens": None, "cost_nano": None, "cost_state": "unpriced"},
            Sums(calls=1, missing=1, unpriced=1),
        ),
        ({"status": "started", "input_tokens": None, "output_tokens": None, "cost_nano": None}, Sums(calls=1)),
        ({"cost_nano": 0}, Sums(calls=1, input=10, output=2, cost=0)),
    ],
)
def test_an_attempt_in_figures(facts: dict[str, Any], sums: Sums) -> None:
    """What nobody counted or priced is unknown, and what is open is no lack."""
    assert counted({**ENDED, **facts}).sums() == sums


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, ()),
        ("nonsense", ()),
        ('{"deltas_us":[900000]}', ()),
        ('{"deltas_us":[900000,20000,20000,20000]}', ()),
        ('{"deltas_us":[100000,20000,600000,20000]}', ((120_000_000, 720_000_000),)),
        ('{"deltas_us":[100000,400000,600000,500000]}', ()),
    ],
)
def test_a_long_pause_among_short_ones_is_a_stall(text: str | None, found: tuple[tuple[int, int], ...]) -> None:
    """The wait for the first chunk is none, and neither are pauses of a stream that is slow throughout."""
    assert stalls(text) == found


def test_stalls_are_bounded() -> None:
    """A stream with many pauses has some of them."""
    text = ",".join(["20000", "20000", "20000", "900000"] * 100)
    assert 0 < len(stalls(f'{{"deltas_us":[{text}]}}')) <= 20
