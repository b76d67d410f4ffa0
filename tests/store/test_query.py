"""Questions as values: they compare, hash and travel."""

from __future__ import annotations

import msgspec
import pytest

from tachograph.store.query import Measure, Query, Where


@pytest.mark.parametrize(
    ("measure", "name"),
    [
        (Measure("count"), "count"),
        (Measure("count", "agent_type"), "count_agent_type"),
        (Measure("sum", "duration_ns"), "sum_duration_ns"),
    ],
)
def test_a_measure_names_its_result(measure: Measure, name: str) -> None:
    """The function alone, or the function and its column."""
    assert measure.name == name


def test_a_question_is_a_value() -> None:
    """Equal questions are equal, and one that was sent as bytes comes back the same."""
    asked = Query("runs", (Where("status", "eq", "failed"),), columns=("id",), order=("-started_at",), limit=5)
    again = msgspec.json.decode(msgspec.json.encode(asked), type=Query)
    assert again == asked == Query("runs", (Where("status", "eq", "failed"),), ("id",), (), (), ("-started_at",), 5)
