from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    Row,
    Shelf,
    merged,
    project_of,
    refresh,
    summed,
)
from tests.strategies import BEGAN, Tape

_names = st.sampled_from(("", "a", "b"))
_times = st.lists(st.integers(0, 10**12), max_size=6)


def _row(keys: tuple[str, ...], sums: list[int], times: list[int]) -> Row:
    packed = histogram.of(times).pack() or None
    return {
        **dict(zip(KEYS, keys, strict=True)), **dict(zip(SUMS, sums, strict=True)),
        "duration_min_ns": min(times, default=None), "duration_max_ns": max(times, default=None),
        "hist": packed, "first_token_hist": packed,
    }  # fmt: skip


_rows_of_keys = st.builds(
    _row,
    st.tuples(*(_names for _ in KEYS)),
    st.lists(st.integers(0, 2**40), min_size=len(SUMS), max_size=len(SUMS)),
    _times,
)
_key_sets = st.sampled_from(((), ("model",), ("tenant", "step", "status"), KEYS))


def _ordered(rows: Sequence[Row]) -> list[list[tuple[str, Any]]]:
    return sorted((sorted(row.items()) for row in rows), key=repr)


@given(st.lists(st.lists(_rows_of_keys, max_size=5), max_size=4), _key_sets)
def test_rows_merge_in_any_order_and_grouping(parts: list[list[Row]], keys: tuple[str, ...]) -> None:
    """Merging rows that were merged before gives what merging all of them at once does."""
    whole = merged([row for part in parts for row in part], keys)
    assert _ordered(merged([row for part in parts for row in merged(part, keys)], keys)) == _ordered(whole)
    assert _ordered(merged([row for part in reversed(parts) for row in merged(part, KEYS)], keys)) == _ordered(whole)


def test_a_merged_row_holds_these_figures() -> None:
    """Sums add up, the least and the most stay, histograms are those of all values; keys that are not asked for go."""
    one = _row(("a",) * len(KEYS), list(range(len(SUMS))), [4, 8])
    two = _row(("b",) * len(KEYS), [1] * len(SUMS), [])
    assert merged([one, two], ()) == [
        {
            **{name: number + 1 for number, name in enumerate(SUMS)}, "duration_min_ns": 4, "duration_max_ns": 8,
            "hist": histogram.of([4, 8]).pack(), "first_token_hist": histogram.of([4, 8]).pack(),
        }
    ]  # fmt: skip
    assert merged([], ("tenant",)) == []


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


def test_steps_add_up_to_these_figures(store: Store) -> None:
    """Calls bring tokens, money and first tokens, other steps only their times; what is unknown adds nothing."""
    tape = Tape("figures", at=BEGAN)
    tape.begin(agent_type="desk", tags=("project:shop",), session="s")
    usage, cost = Usage(5, 4, 3, 2, 1, basis="provider"), Cost("priced", input=20, output=10, total=30)
    tape.reply(tape.call(model="m"), usage=usage, cost=cost, reported_cost=31, first_token_ns=2)
    tape.reply(tape.call(model="m"), "failed")
    tape.call(model="m")
    tape.result(tape.tool(), state="rejected")
    store.append(Batch(tape.events))
    second = histogram.of([1_000_000]).pack()
    nothing = dict.fromkeys(SUMS, 0)
    times = {"duration_min_ns": 1_000_000, "duration_max_ns": 1_000_000}
    no_times = dict.fromkeys(("duration_min_ns", "duration_max_ns", "hist", "first_token_hist"))
    assert _ordered(summed(store, BEGAN, None, ("step", "project", "model", "session"))) == _ordered(
        [
            {
                **nothing, **times, "step": "llm", "project": "shop", "model": "m", "session": "s", "count": 3,
                "completed": 1, "failed": 1, "timed": 2, "duration_ns": 2_000_000, "uncached_tokens": 5,
                "cache_read_tokens": 4, "cache_write_tokens": 3, "output_tokens": 2, "reasoning_tokens": 1,
                "usage_missing": 1, "cost_nano": 30, "input_cost_nano": 20, "output_cost_nano": 10, "unpriced": 1,
                "reported_cost_nano": 31, "hist": histogram.of([1_000_000] * 2).pack(),
                "first_token_hist": histogram.of([2]).pack(),
            },
            {
                **nothing, **times, "step": "tool", "project": "shop", "model": "", "session": "s", "count": 1,
                "failed": 1, "timed": 1, "duration_ns": 1_000_000, "hist": second, "first_token_hist": None,
            },
            {**nothing, **no_times, "step": "run", "project": "shop", "model": "", "session": "s", "count": 1},
        ]
    )  # fmt: skip


def test_steps_are_limited_by_time_and_by_their_run(store: Store) -> None:
    """Steps belong to the period in which they started; conditions are about their runs."""
    store.append(Batch([*_run("a", 0).events, *_run("b", 1, "other").events]))
    first, second = FIRST * HOUR, (FIRST + 1) * HOUR

    def counts(since: int, until: int | None, *where: Where) -> dict[tuple[str, str], int]:
        rows = summed(store, since, until, ("tenant", "step"), where)
        return {(row["tenant"], row["step"]): row["count"] for row in rows}

    own, other = {("default", "run"): 1, ("default", "llm"): 2}, {("other", "run"): 1, ("other", "llm"): 2}
    assert counts(first, None) == own | other
    assert counts(first, second) == own
    assert counts(first, None, Where("tenant", "eq", "other")) == other
    assert counts(0, first) == {}
