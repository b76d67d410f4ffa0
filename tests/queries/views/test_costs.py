from __future__ import annotations

import pytest

from tachograph.errors import InvalidParameter
from tachograph.events.usage import Cost, Usage
from tachograph.queries.views.costs import Amounts, CallsAsked, Compared, costs, priced_calls
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where
from tests.queries.kept import batch
from tests.queries.views.talk import Talk
from tests.strategies import Tape


def _pk(store: Store, run: str) -> int:
    return int(store.find(Query("runs", (Where("id", "eq", run),), ("pk",))).rows[0]["pk"])


def test_calls_are_summed_by_model_and_price(store: Store) -> None:
    """What is known is summed, dearest first; calls without a price stand apart with the reason."""
    talk = Talk()
    store.append(batch(talk.events))
    found = costs(store, _pk(store, talk.run))
    assert found.whole == Amounts(
        calls=3, uncached=140, cache_read=50, output=25, cost=1_000, input_cost=700, output_cost=300,
        cache_read_cost=200,
    )  # fmt: skip
    assert found.whole.uncached_cost == 500
    first = found.groups[0]
    assert (first.model, first.state, first.price_id, first.price_date, first.amounts.calls) == (
        "gpt-4o", "priced", "list/one", "2026-01-02", 1
    )  # fmt: skip
    assert {(each.model, each.reason) for each in found.groups[1:]} >= {("claude", "unknown_model")}
    assert found.bases == {"provider": 1, "missing": 1, "estimated": 1}


def test_what_was_reported_is_compared_with_what_was_computed(store: Store) -> None:
    """Only calls of which both are known count; a cost that is only the report is not compared with itself."""
    talk = Talk()
    tape = Tape("reported")
    tape.begin()
    tape.reply(tape.call(), usage=Usage(output=1), cost=Cost(state="reported", total=70), reported_cost=70)
    silent = Tape("silent")
    silent.begin()
    silent.reply(silent.call())
    store.append(batch(talk.events, tape.events, silent.events))
    assert costs(store, _pk(store, talk.run)).compared == Compared(calls=1, reported=1_500, priced=1, computed=1_000)
    assert costs(store, _pk(store, tape.run)).compared == Compared(calls=1, reported=70, priced=0, computed=None)
    assert costs(store, _pk(store, silent.run)).compared is None


def test_a_run_without_calls_costs_nothing_known(store: Store) -> None:
    """There is no figure at all, which is not zero."""
    tape = Tape("idle")
    tape.begin()
    store.append(batch(tape.events))
    found = costs(store, _pk(store, tape.run))
    assert (found.whole.calls, found.whole.cost, found.whole.uncached_cost, found.groups) == (0, None, None, ())


def test_calls_are_paged_in_either_order(store: Store) -> None:
    """As they came or dearest first, each once; a cursor of another order is refused."""
    talk = Talk()
    store.append(batch(talk.events))
    pk, at = _pk(store, talk.run), talk.at_seq
    orders: dict[str, list[int]] = {}
    for order in ("first", "dearest"):
        cursor, seen = None, []
        while True:
            part = priced_calls(store, pk, CallsAsked(order=order, limit=1, cursor=cursor))
            seen += [row["step"] for row in part.rows]
            cursor = part.next_cursor
            if cursor is None:
                break
        orders[order] = seen
    assert orders["first"] == [at["first"], at["second"], at["third"]]
    assert orders["dearest"][0] == at["first"]
    assert sorted(orders["dearest"]) == orders["first"]
    other = priced_calls(store, pk, CallsAsked(limit=1)).next_cursor
    with pytest.raises(InvalidParameter):
        priced_calls(store, pk, CallsAsked(order="dearest", cursor=other))
