from __future__ import annotations

from decimal import Decimal

import pytest

from tachograph.store.ports import Store
from tachograph.store.query import Query
from tachograph.store.relations import RELATIONS
from tachograph.store.sqlite import views
from tachograph.upkeep.layout import FILES, RUNS, File, micros, usd
from tests.upkeep.kept import desk, put


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.name))
def test_columns_are_made_of_columns_that_are_there(store: Store, file: File) -> None:
    """Each file reads what its table has, and makes one value of each row for each of its columns."""
    put(store, desk("a", calls=2))
    relation = RELATIONS[file.table]
    assert [name for name in file.needs if name not in relation.own and name not in relation.borrowed] == []
    rows = store.find(Query(file.table, columns=file.needs, limit=None)).rows
    assert rows
    assert [len([column.value(row) for column in file.columns]) for row in rows] == [len(file.columns)] * len(rows)
    assert len({column.name for column in file.columns}) == len(file.columns)


def test_names_are_those_of_the_views() -> None:
    """A column that a view of the same name has is called as it is there; others are facts of the run or tokens."""
    statements = dict(zip(("execution_logs", "llm_call_logs", "tool_call_logs"), views.statements(), strict=True))
    beyond = {
        file.name: [column.name for column in file.columns if column.name not in statements[file.name]]
        for file in FILES
    }
    assert beyond == {
        "execution_logs": ["tenant", "session"],
        "llm_call_logs": ["tenant", "session"],
        "tool_call_logs": ["tenant", "session"],
    }


def test_runs_have_every_total(store: Store) -> None:
    """What a run's row adds up is in its file, the log's own numbers and recorded content aside."""
    aside = {"pk", "owner", "epoch", "loose_pages", "trace_parent", "input", "output", "metadata"}
    relation = RELATIONS["runs"]
    told = {name for column in RUNS for name in column.needs}
    missing = {name for name in relation.own - told if name.removesuffix("_payload") not in aside}
    assert missing == set()


def test_amounts_are_exact() -> None:
    """Microseconds are cut, not rounded; nano-USD become decimal USD; nothing stays nothing."""
    assert (micros(1_999), micros(None)) == (1, None)
    assert (usd(1), usd(-2_500_000_000), usd(None)) == (Decimal("0.000000001"), Decimal("-2.5"), None)
