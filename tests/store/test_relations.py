from __future__ import annotations

import pytest

from tachograph.store.query import Measure, Query, Where
from tachograph.store.relations import OF_RUN, PROJECTIONS, RELATIONS, plan


def test_links_lead_to_keys() -> None:
    """Every link names a table by its whole key, and columns that are there."""
    for relation in RELATIONS.values():
        for link in relation.links:
            assert len(link.via) == len(RELATIONS[link.table].key)
            assert set(link.via) <= relation.own
            assert set(link.columns.values()) <= RELATIONS[link.table].own


def test_keys_are_columns_that_are_never_null() -> None:
    """A key consists of stored columns; only a loss is numbered by the database."""
    for relation in RELATIONS.values():
        assert set(relation.key) <= set(relation.stored)
        assert relation.name == "losses" or set(relation.key) <= relation.never_null


def test_projections_are_tables_of_runs_and_their_sums() -> None:
    """What belongs to a run says so by its column."""
    assert all("run" in RELATIONS[name].own for name in OF_RUN)
    assert set(PROJECTIONS) == {*OF_RUN, "runs", "sessions"}


def test_lists_never_read_contents() -> None:
    """Without `columns` a query gets neither recorded content nor packed bytes, but the run it is about."""
    calls = plan(Query("calls")).columns
    assert "run_id" in calls
    assert {"tools", "tools_payload", "params", "timeline"}.isdisjoint(calls)
    assert "body" not in plan(Query("payloads")).columns
    assert "input" not in plan(Query("runs")).columns


def test_a_plan_is_complete() -> None:
    """The order goes down to the key, in the direction of its last column; groups are ordered by their columns."""
    made = plan(Query("calls", (Where("session", "eq", "s"),), ("model",), order=("-started_at", "model")))
    assert made.order == (("started_at", True), ("model", False), ("run", False), ("step", False))
    assert set(made.names()) == {"session", "model", "started_at", "run", "step"}
    grouped = plan(Query("calls", group=("model",), measures=(Measure("count"), Measure("sum", "cost_nano"))))
    assert (grouped.columns, grouped.order) == (("model", "count", "sum_cost_nano"), (("model", False),))
    assert set(grouped.names()) == {"model", "cost_nano"}


def test_true_and_false_are_told_from_numbers() -> None:
    """Flags are known by name."""
    assert RELATIONS["runs"].flags == {"discarded", "billable"}
    assert RELATIONS["calls"].flags == {"streaming"}


@pytest.mark.parametrize(
    "query",
    [
        Query("steps", columns=("prompt",)),
        Query("steps", order=("nothing",)),
        Query("calls", group=("model",), measures=(Measure("count"),), order=("provider",)),
        Query("calls", group=("model",)),
        Query("calls", order=("-started_at",), after=(1,)),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(query: Query) -> None:
    """With ValueError, before any store is touched."""
    with pytest.raises(ValueError, match=r"\w"):
        plan(query)
