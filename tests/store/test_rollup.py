from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.events.run import Failure
from tachograph.events.usage import Cost, Usage
from tachograph.fold import histogram
from tachograph.store.open import open_store
from tachograph.store.ports import Batch, Store
from tachograph.store.query import Query, Where
from tachograph.store.rollup import (
    DAY_HOURS,
    FACETS,
    HOUR,
    KEYS,
    SUMS,
    VALUES,
    Fact,
    Row,
    Shelf,
    counted,
    facts,
    merged,
    project_of,
    refresh,
)
from tests.strategies import BEGAN, Tape

_small = st.none() | st.integers(0, 10**12)
_names = st.sampled_from(("", "a", "b"))
_facts = st.builds(
    Fact,
    row=st.fixed_dictionaries({"session": st.sampled_from((None, "s"))}),
    tenant=_names,
    project=_names,
    agent=_names,
    status=st.sampled_from(("started", "completed", "failed", "cancelled", "abandoned")),
    error=_names,
    started_at=st.integers(0, 3 * HOUR),
    duration_ns=_small,
    step=st.sampled_from(("run", "llm", "tool")),
    provider=_names,
    model=_names,
    first_token_ns=_small,
    uncached_tokens=_small,
    output_tokens=_small,
    usage_missing=st.none() | st.booleans(),
    cost_nano=_small,
    unpriced=st.none() | st.booleans(),
)
_KEY_SETS = ((), ("model",), ("tenant", "step", "status"), ("hour",), ("session", "day"), KEYS)


def _ordered(rows: Sequence[Row]) -> list[list[tuple[str, Any]]]:
    return sorted((sorted(row.items()) for row in rows), key=repr)


@given(st.lists(st.lists(_facts, max_size=8), max_size=4), st.sampled_from(_KEY_SETS))
def test_merging_rows_is_counting_all_steps(parts: list[list[Fact]], keys: tuple[str, ...]) -> None:
    """Rows of parts merge to the rows of the whole, however the steps were split."""
    whole = counted([fact for part in parts for fact in part], keys)
    assert _ordered(merged([row for part in parts for row in counted(part, keys)], keys)) == _ordered(whole)


@given(st.lists(_facts, max_size=12))
def test_fewer_keys_are_sums_of_more(steps: list[Fact]) -> None:
    """A marginal made from finer rows is the marginal made from the steps."""
    fine = counted(steps, KEYS)
    for keys in combinations(KEYS, 2):
        assert _ordered(merged(fine, keys)) == _ordered(counted(steps, keys))


def test_a_row_holds_these_figures() -> None:
    """Sums, least and most, and packed histograms of one group, spelled out; what is unknown adds nothing."""
    call: dict[str, Any] = {"tenant": "t", "project": "", "agent": "", "error": "", "started_at": 0, "step": "llm"}
    known = Fact(
        {}, **call, status="completed", duration_ns=8, first_token_ns=2, uncached_tokens=5, cache_read_tokens=4,
        cache_write_tokens=3, output_tokens=2, reasoning_tokens=1, usage_missing=False, cost_nano=30,
        input_cost_nano=20, output_cost_nano=10, unpriced=False, reported_cost_nano=31,
    )  # fmt: skip
    unknown = Fact({}, **call, status="failed", duration_ns=4, usage_missing=True, unpriced=True)
    still_open = Fact({}, **call, status="started", duration_ns=None)
    assert counted([known, unknown, still_open], ("tenant",)) == [
        {
            "tenant": "t", "count": 3, "completed": 1, "failed": 1, "cancelled": 0, "abandoned": 0, "timed": 2,
            "duration_ns": 12, "uncached_tokens": 5, "cache_read_tokens": 4, "cache_write_tokens": 3,
            "output_tokens": 2, "reasoning_tokens": 1, "usage_missing": 1, "cost_nano": 30, "input_cost_nano": 20,
            "output_cost_nano": 10, "unpriced": 1, "reported_cost_nano": 31, "duration_min_ns": 4, "duration_max_ns": 8,
            "hist": histogram.of([8, 4]).pack(), "first_token_hist": histogram.of([2]).pack(),
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tags", "project"),
    [(None, ""), ("[]", ""), ('["a"]', ""), ('["a","project:shop","project:b"]', "shop"), ('["xproject:no"]', "")],
    ids=["none", "empty", "other", "first-of-two", "inside-a-word"],
)
def test_project_comes_from_the_tags(tags: str | None, project: str) -> None:
    """The first tag that begins with `project:` names the project."""
    assert project_of(tags) == project


# --- refresh ---


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    opened = open_store("memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'rollup.db'}")
    yield opened
    opened.close()


def _run(source: str, hour: int, tenant: str = "default", model: str = "m") -> Tape:
    tape = Tape(source, at=BEGAN + hour * HOUR)
    tape.begin(tenant=tenant)
    usage, cost = Usage(10, 0, 0, 5, basis="provider"), Cost("priced", total=7)
    tape.reply(tape.call(model=model), usage=usage, cost=cost)
    tape.reply(tape.call(model=model), "failed", error=Failure("Timeout"))
    return tape


def _rows(store: Store, table: str, **where: Any) -> list[Row]:
    conditions = tuple(Where(name, "eq", value) for name, value in where.items())
    span = table.removeprefix("rollup_")
    return list(store.find(Query(table, conditions, ("facet", span, *KEYS, *VALUES), limit=None)).rows)


def _calls(rows: Sequence[Row]) -> dict[tuple[Any, ...], tuple[int, int]]:
    return {
        (row["tenant"], row.get("hour", row.get("day"))): (row["count"], row["cost_nano"])
        for row in rows
        if row["step"] == "llm"
    }


FIRST = BEGAN // HOUR
DAY = FIRST // DAY_HOURS


def test_closed_hours_and_their_day_are_computed(store: Store) -> None:
    """Every closed hour that is marked gets its rows, its day theirs; the open hour keeps its mark and has none."""
    store.append(Batch([*_run("a", 0).events, *_run("b", 1, "other").events, *_run("c", 1).events]))
    assert store.refresh((FIRST + 1) * HOUR) == 1
    assert _calls(_rows(store, "rollup_hour", facet="model")) == {("default", FIRST): (2, 7)}
    assert {mark["hour"] for mark in store.find(Query("dirty_hours", limit=None)).rows} == {FIRST + 1}
    assert store.refresh((FIRST + 2) * HOUR) == 1
    assert _calls(_rows(store, "rollup_hour", facet="model")) == {
        ("default", FIRST): (2, 7), ("default", FIRST + 1): (2, 7), ("other", FIRST + 1): (2, 7),
    }  # fmt: skip
    assert _calls(_rows(store, "rollup_day", facet="model")) == {("default", DAY): (4, 14), ("other", DAY): (2, 7)}
    assert store.refresh((FIRST + 9) * HOUR) == 0


def test_every_facet_holds_every_step(store: Store) -> None:
    """All facets but `error` add up to the same; `error` holds the steps that had one, by its type."""
    store.append(Batch([*_run("a", 0).events, *_run("b", 1, model="n").events]))
    store.refresh((FIRST + 2) * HOUR)
    for table in ("rollup_hour", "rollup_day"):
        sums = {
            facet: [{name: row[name] for name in SUMS} for row in merged(_rows(store, table, facet=facet), ())]
            for facet in FACETS
        }
        assert sums["each"] == sums["model"] == sums["agent"] == sums["project"]
        assert sums["each"][0]["count"] == 6
        errors = _rows(store, table, facet="error")
        assert [(row["error"], row["status"], row["model"], row["count"]) for row in merged(errors, KEYS)] == [
            ("Timeout", "", "", 2),
        ]
        assert {row["status"] for row in _rows(store, table, facet="model")} == {""}


def test_doing_it_again_changes_nothing(store: Store) -> None:
    """What comes later for a closed hour replaces its rows: nothing is ever added twice."""
    tape = _run("a", 0)
    store.append(Batch(tape.events))
    store.refresh((FIRST + 1) * HOUR)
    before = _rows(store, "rollup_hour"), _rows(store, "rollup_day")
    late = _run("late", 0)
    store.append(Batch(late.events))
    store.refresh((FIRST + 1) * HOUR)
    assert _calls(_rows(store, "rollup_day", facet="agent")) == {("default", DAY): (4, 14)}
    store.append(Batch(late.events[:1], replace=frozenset((late.run,))))
    store.refresh((FIRST + 1) * HOUR)
    after = (
        _rows(store, "rollup_hour", facet="model", step="llm"),
        _rows(store, "rollup_day", facet="model", step="llm"),
    )
    assert after == tuple([row for row in rows if row["facet"] == "model" and row["step"] == "llm"] for rows in before)


def test_what_comes_while_an_hour_is_done_is_not_lost(store: Store) -> None:
    """A mark that is renewed between reading the steps and writing the rows stays, and the next refresh sees to it."""

    class Slow(Shelf):
        def find(self, query: Query) -> Any:
            return store.find(query)

        def replace_rollups(
            self, done: Sequence[Row], hours: Mapping[int, Sequence[Row]], days: Mapping[int, Sequence[Row]]
        ) -> None:
            store.append(Batch(_run("meanwhile", 0).events))
            store.replace_rollups(done, hours, days)  # type: ignore[attr-defined]

    store.append(Batch(_run("a", 0).events))
    assert refresh(Slow(), (FIRST + 1) * HOUR) == 1
    assert _calls(_rows(store, "rollup_day", facet="model")) == {("default", DAY): (2, 7)}
    assert store.refresh((FIRST + 1) * HOUR) == 1
    assert _calls(_rows(store, "rollup_day", facet="model")) == {("default", DAY): (4, 14)}


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5))
@settings(max_examples=20)
def test_days_are_the_sums_of_their_hours(hours: list[int]) -> None:
    """After any sequence of appends and refreshes each day's rows are those of its hours."""
    store = open_store("memory:")
    for number, hour in enumerate(hours):
        store.append(Batch(_run(f"run {number}", hour, tenant=f"t{number % 2}").events))
        store.refresh((FIRST + 30) * HOUR)
    by_day: dict[int, list[Row]] = {}
    for row in _rows(store, "rollup_hour"):
        by_day.setdefault(row["hour"] // DAY_HOURS, []).append(row)
    expected = [{**row, "day": day} for day, rows in by_day.items() for row in merged(rows, ("facet", *KEYS))]
    assert _ordered(_rows(store, "rollup_day")) == _ordered(expected)
    store.close()


def test_steps_are_read_by_time_and_by_their_run(store: Store) -> None:
    """Facts are the steps that started in the period, calls with their figures, limited by what their run says."""
    store.append(Batch([*_run("a", 0).events, *_run("b", 1, "other").events]))
    every = list(facts(store, 0))
    assert sorted((fact.tenant, fact.hour - FIRST, fact.step) for fact in every) == [
        ("default", 0, "llm"), ("default", 0, "llm"), ("default", 0, "run"),
        ("other", 1, "llm"), ("other", 1, "llm"), ("other", 1, "run"),
    ]  # fmt: skip
    first = (FIRST + 1) * HOUR
    assert [fact.tenant for fact in facts(store, 0, first)] == ["default"] * 3
    assert [fact.hour for fact in facts(store, 0, where=(Where("tenant", "eq", "other"),))] == [FIRST + 1] * 3
    done = [fact for fact in every if fact.step == "llm" and fact.status == "completed"]
    assert [(fact.model, fact.uncached_tokens, fact.cost_nano, fact.duration_ns) for fact in done] == [
        ("m", 10, 7, 1_000_000)
    ] * 2
