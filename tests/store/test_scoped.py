from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.envelope import Event
from tachograph.events.run import RunStarted
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Batch, Store
from tachograph.store.query import Measure, Query, Where
from tachograph.store.relations import PROJECTIONS, RELATIONS
from tachograph.store.rows import KeyRow
from tachograph.store.scoped import Scoped
from tests.contracts.erasing import LATER, rich_run, swollen
from tests.contracts.kept import EXAMPLES, dump, named
from tests.queries.kept import batch
from tests.store.sqlite.blank import blank
from tests.strategies import batches

TENANTS = ("acme", "globex")
OF_TENANTS = (*PROJECTIONS, "rollup_hour", "rollup_day", "dirty_hours", "access_keys")
REFUSED = ("prices", "journals", "imports", "losses", "shares", "erased", "feed")
NUMBERS = tuple(range(300))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    opened = MemoryStore() if request.param == "memory" else blank(tmp_path / "scoped.db")
    yield opened
    opened.close()


def owned(events: Sequence[Event]) -> list[Event]:
    """The events, their runs divided among the tenants."""
    runs = sorted({event.run for event in events})
    tenant = {run: TENANTS[place % 2] for place, run in enumerate(runs)}
    return [
        msgspec.structs.replace(event, body=msgspec.structs.replace(event.body, tenant=tenant[event.run]))
        if isinstance(event.body, RunStarted)
        else event
        for event in events
    ]


def of(tenant: str, events: Sequence[Event]) -> list[Event]:
    """The events of one tenant's runs."""
    runs = {event.run for event in events if isinstance(event.body, RunStarted) and event.body.tenant == tenant}
    return [event for event in events if event.run in runs]


def rows(store: Any, table: str, **asked: Any) -> Sequence[Any]:
    """What a store, or a part of it, tells of a table."""
    return list(store.find(Query(table, limit=None, **asked)).rows)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@EXAMPLES
@given(events=batches(max_runs=4), cut=st.integers(0, 60))
def test_a_tenant_sees_a_store_that_holds_nobody_else(
    kind: str, tmp_path_factory: pytest.TempPathFactory, events: Sequence[Event], cut: int
) -> None:
    """Row by row, table by table, event by event: what is there is what would be there without the others."""
    events = owned(swollen(events))
    folder = tmp_path_factory.mktemp("scoped")
    made: Any = (lambda name: MemoryStore()) if kind == "memory" else (lambda name: blank(folder / f"{name}.db"))
    both = made("both")
    sent = batch(events)
    for part in (batch(events[:cut]), batch(events[cut:])):
        both.append(part)
    both.refresh(LATER - 10**15)
    for tenant in TENANTS:
        alone = made(tenant)
        alone.append(batch(of(tenant, events)))
        alone.refresh(LATER - 10**15)
        seen, expected = Scoped(both, tenant), dump(alone)
        alone.close()
        whole = dump(both)  # its numbers have names
        found = {
            **whole,
            **{table: _all(seen, table) for table in OF_TENANTS},
            "payloads": [{**row, "run": None} for row in whole["payloads"]],
            "shares": [],
            "events": [{"run": row["run"], "events": list(seen.read(row["run"]))} for row in expected["events"]],
        }
        told = {*OF_TENANTS, "events"} - {"dirty_hours"}
        left, right = named(found), named(expected)
        assert {table: left[table] for table in told} == {table: right[table] for table in told}
        own = {row["hash"] for row in expected["payloads"]}
        payloads = rows(seen, "payloads", where=(Where("id", "in", NUMBERS),))
        nodes = rows(seen, "nodes", where=(Where("id", "in", NUMBERS),))
        assert {row["hash"] for row in payloads} == own
        assert {row["payload"] for row in nodes} <= {row["id"] for row in payloads}
        assert set(seen.fetch(list(sent.payloads))) == own & set(sent.payloads)
        assert {stretch.run for stretch in seen.appended(0)} == {row["run"] for row in expected["events"]}
    both.close()


def _all(store: Any, table: str, *where: Where) -> Sequence[Any]:
    relation = RELATIONS[table]
    columns = tuple(
        name for name in (*relation.stored, *relation.generated)
        if name not in ("encoding", "body", "loose_pages", "ver")
    )  # fmt: skip
    return rows(store, table, where=where, columns=columns)


def two(store: Store) -> tuple[Any, Any]:
    """A run of each tenant; they share a prompt and an answer."""
    runs = tuple(rich_run(tenant, f"words of {tenant}", tenant=tenant, session="s") for tenant in TENANTS)
    store.append(batch(*(tape.events for tape in runs)))
    store.refresh(LATER)
    for place, tenant in enumerate(TENANTS):
        store.note(KeyRow(id=f"k{place}", name="n", hash=b"h", scope="read", tenant=tenant, created_at=1))
    return runs[0], runs[1]


@pytest.mark.parametrize("table", OF_TENANTS)
def test_counts_and_groups_are_the_tenants(store: Store, table: str) -> None:
    """Totals, measures and groups count the tenant's rows only, whatever else is asked for."""
    two(store)
    whole = {tenant: Scoped(store, tenant).find(Query(table, limit=1, total=True)).total for tenant in TENANTS}
    assert sum(count or 0 for count in whole.values()) == store.find(Query(table, limit=1, total=True)).total
    for tenant in TENANTS:
        seen = Scoped(store, tenant)
        assert rows(seen, table, measures=(Measure("count"),)) == [{"count": whole[tenant]}]
        groups = rows(seen, table, group=("tenant",), measures=(Measure("count"),))
        assert groups == ([{"tenant": tenant, "count": whole[tenant]}] if whole[tenant] else [])
        other = TENANTS[1 - TENANTS.index(tenant)]
        assert rows(seen, table, where=(Where("tenant", "eq", other),)) == []
        assert rows(seen, table, where=(Where("tenant", "in", TENANTS),)) == rows(seen, table)


def test_a_run_of_another_tenant_is_as_unknown(store: Store) -> None:
    """Neither its events nor where it stands are told, and not that it is there."""
    own, other = two(store)
    seen = Scoped(store, "acme")
    assert list(seen.read(other.run)) == list(seen.read("nobody")) == []
    assert (seen.next_seq(other.run), seen.next_seq("nobody")) == (0, 0)
    assert list(seen.read(own.run, after=3, limit=2)) == list(store.read(own.run, after=3, limit=2))
    assert seen.next_seq(own.run) == len(own.events)
    assert (seen.url, seen.head()) == (store.url, 2)
    assert [stretch.run for stretch in seen.appended(0)] == [own.run]
    assert list(seen.appended(1)) == []


def test_search_stays_within_the_tenant(store: Store) -> None:
    """A message that both said is found in the tenant's run; what only others said is not found."""
    own, _ = two(store)
    seen = Scoped(store, "acme")
    assert [(hit["run_id"], hit["role"]) for hit in seen.search("brief")] == [(own.run, "system")]
    assert [hit["seq"] for hit in seen.search("words of", limit=5)] == [2]
    assert seen.search("words of globex") == []


def test_contents_are_named_by_number_and_only_the_own(store: Store) -> None:
    """Numbers of other tenants' payloads and nodes find nothing; without a number nothing can be asked."""
    two(store)
    seen, other = Scoped(store, "acme"), Scoped(store, "globex")
    every = (Where("id", "in", NUMBERS),)
    payloads = {tenant: {row["id"] for row in rows(each, "payloads", where=every)} for tenant, each in
                (("acme", seen), ("globex", other))}  # fmt: skip
    assert len(payloads["acme"] & payloads["globex"]) == 2
    assert len(payloads["acme"]) == len(payloads["globex"]) == 16
    for number in payloads["globex"] - payloads["acme"]:
        assert rows(seen, "payloads", where=(Where("id", "eq", number),)) == []
    own = [row["payload"] for row in rows(seen, "nodes", where=every, columns=("id", "payload"))]
    assert set(own) <= payloads["acme"]
    for table in ("payloads", "nodes"):
        for where in ((), (Where("id", "gt", 0),)):
            with pytest.raises(ValueError, match="name them by `id`"):
                seen.find(Query(table, where))
    for query in (
        Query("payloads", every, ("id", "run")),
        Query("payloads", (*every, Where("run", "eq", 2)), ("id",)),
        Query("payloads", every, order=("run",)),
    ):
        with pytest.raises(ValueError, match="who else"):
            seen.find(query)


def test_what_is_nobodys_in_particular_is_refused(store: Store) -> None:
    """Tables about the store as a whole cannot be asked; a table that is not there neither."""
    two(store)
    seen = Scoped(store, "acme")
    for table in REFUSED:
        with pytest.raises(ValueError, match="belongs to no tenant"):
            seen.find(Query(table))
    with pytest.raises(ValueError, match="no table"):
        seen.find(Query("nowhere"))
    assert {*OF_TENANTS, *REFUSED, "payloads", "nodes"} == set(RELATIONS)
    assert len(rows(seen, "calls", columns=("price_id",))) == 1


def test_contents_without_an_owner_are_the_only_tenants(store: Store) -> None:
    """Payloads from before owners were noted are seen until a second tenant comes, and after a rebuild again."""
    tape = rich_run("acme", "words", tenant="acme")
    sent = batch(tape.events)
    store.append(Batch(payloads=sent.payloads))
    store.append(sent)
    seen = Scoped(store, "acme")
    assert seen.fetch(list(sent.payloads)) == sent.payloads
    store.append(batch(rich_run("globex", "others", tenant="globex").events))
    assert seen.fetch(list(sent.payloads)) == {}
    store.rebuild()
    assert seen.fetch(list(sent.payloads)) == sent.payloads
    assert Scoped(store, "globex").fetch([name for name, data in sent.payloads.items() if b"words" in data]) == {}
