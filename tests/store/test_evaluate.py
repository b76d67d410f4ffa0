from __future__ import annotations

import pytest

from tachograph.store.evaluate import Tables, answer, contains, spellings
from tachograph.store.query import Measure, Query, Where
from tachograph.store.relations import RELATIONS
from tachograph.store.rows import RunRow, ScoreRow

TABLES: Tables = {
    **{name: {} for name in RELATIONS},
    "runs": {
        1: RunRow(pk=1, id="a", execution_id="x", user="Ann", tags='["red","blue"]', started_at=5, updated_at=5),
        2: RunRow(pk=2, id="b", execution_id="y", started_at=3, updated_at=3),
    },
    "scores": {
        (1, 1): ScoreRow(run=1, seq=1, at=1, target=0, name="n", kind="rule", value=2.0),
        (9, 1): ScoreRow(run=9, seq=1, at=1, target=0, name="n", kind="rule"),
    },
}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (Where("user", "eq", "Ann"), ["a"]),
        (Where("user", "ne", "Bob"), ["a"]),
        (Where("user", "eq", None), []),
        (Where("user", "null"), ["b"]),
        (Where("user", "not_null"), ["a"]),
        (Where("user", "contains", "NN"), ["a"]),
        (Where("user", "prefix", "A"), ["a"]),
        (Where("user", "in", ("Ann", None)), ["a"]),
        (Where("tags", "contains", "blue"), ["a"]),
        (Where("tags", "contains", "blu"), []),
        (Where("started_at", "lt", 5), ["b"]),
        (Where("started_at", "le", 5), ["a", "b"]),
        (Where("started_at", "gt", 3), ["a"]),
        (Where("started_at", "ge", 3), ["a", "b"]),
        (Where("started_at", "in", ()), []),
    ],
)
def test_conditions(where: Where, found: list[str]) -> None:
    """What each operator meets; nothing compares with NULL."""
    assert [row["id"] for row in answer(Query("runs", (where,)), TABLES).rows] == found


def test_orders_are_total() -> None:
    """NULL is the smallest value; the key breaks ties in the direction of the last order."""
    orders = {
        order: [row["pk"] for row in answer(Query("runs", order=(order,)), TABLES).rows]
        for order in ("user", "-user", "-status")
    }
    assert orders == {"user": [2, 1], "-user": [1, 2], "-status": [2, 1]}


def test_rows_without_their_run_borrow_nothing() -> None:
    """A link that leads nowhere gives None."""
    assert answer(Query("scores", columns=("run_id", "value")), TABLES).rows == [
        {"run_id": "a", "value": 2.0}, {"run_id": None, "value": None},
    ]  # fmt: skip


def test_measures_leave_out_what_is_not_there() -> None:
    """`count` of a column, sums and extremes are over values that are known."""
    measures = (Measure("count"), Measure("count", "value"), Measure("sum", "value"), Measure("min", "value"))
    assert answer(Query("scores", measures=measures), TABLES).rows == [
        {"count": 2, "count_value": 1, "sum_value": 2.0, "min_value": 2.0}
    ]


@pytest.mark.parametrize(
    ("text", "needle", "found"),
    [
        ("Straße", "STRA", True),
        ("STRASSE", "straße", False),
        ("ÄRGER", "är", True),
        ("x", "", True),
        (None, "x", False),
    ],
)
def test_case_is_folded(text: str | None, needle: str, found: bool) -> None:
    """ASCII needles fold ASCII letters, others fold them all."""
    assert contains(text, needle) is found


def test_text_may_stand_escaped_in_json() -> None:
    """Quotes are always escaped, letters beyond ASCII sometimes."""
    assert spellings('say "hi"') == ('say \\"hi\\"',)
    assert spellings("é") == ("é", "\\u00e9")
