from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.store.memory import MemoryStore
from tachograph.store.query import Measure, Query, Where
from tachograph.store.relations import RELATIONS, plan
from tachograph.store.sqlite import sql
from tachograph.store.sqlite.store import SqliteStore
from tests.contracts.kept import EXAMPLES
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

_TEXTS = st.text(st.sampled_from("aAbBäÄ%_'\"é"), max_size=3)
_COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "user": _TEXTS, "session": _TEXTS, "started_at": st.integers(BEGAN, BEGAN + 3), "discarded": st.booleans(),
    "duration_ns": st.integers(0, 4_000_000), "llm_calls": st.integers(0, 2), "tags": _TEXTS,
}  # fmt: skip
_TEXT_COLUMNS = ("user", "session")


@st.composite
def _wheres(draw: st.DrawFn) -> Where:
    column = draw(st.sampled_from(sorted(_COLUMNS)))
    value = _COLUMNS[column]
    if column == "tags":
        return Where(column, "contains", draw(value))
    operators = ["eq", "ne", "lt", "le", "gt", "ge", "in", "null", "not_null"]
    operator: Any = draw(st.sampled_from(operators + ["contains", "prefix"] * (column in _TEXT_COLUMNS)))
    return Where(column, operator, draw(st.lists(value, max_size=3).map(tuple) if operator == "in" else value))


_orders = st.lists(st.sampled_from(sorted(_COLUMNS)), max_size=3, unique=True).flatmap(
    lambda names: st.tuples(*(st.sampled_from((name, f"-{name}")) for name in names))
)
_wheres_of = st.lists(_wheres(), max_size=3).map(tuple)
_queries = st.builds(
    Query, table=st.just("runs"), where=_wheres_of, order=_orders, limit=st.none() | st.integers(1, 4),
    offset=st.integers(0, 3), total=st.booleans(), columns=st.sampled_from(((), ("id", "user", "discarded"))),
)  # fmt: skip
_groups = st.builds(
    Query, table=st.just("runs"), where=_wheres_of, limit=st.none() | st.integers(1, 4), total=st.booleans(),
    group=st.lists(st.sampled_from(("user", "session", "discarded")), max_size=2, unique=True).map(tuple),
    measures=st.just((Measure("count"), Measure("sum", "llm_calls"), Measure("min", "user"), Measure("count", "user"))),
    order=st.sampled_from(((), ("-count",), ("min_user", "-sum_llm_calls"))),
)  # fmt: skip
_run_facts = st.lists(
    st.tuples(st.none() | _TEXTS, st.none() | _TEXTS, st.lists(_TEXTS, max_size=2), st.integers(0, 3), st.booleans()),
    max_size=7,
)


@EXAMPLES
@given(facts=_run_facts, queries=st.lists(_queries | _groups, min_size=1, max_size=12))
def test_sql_means_what_the_specification_says(facts: list[Any], queries: list[Query]) -> None:
    """Any query gives the same page, the same total and the same way on in SQLite as in plain Python."""
    memory = MemoryStore()
    with tempfile.TemporaryDirectory() as folder:
        sqlite = SqliteStore(Path(folder) / "sql.db")
        for number, (user, session, tags, later, discarded) in enumerate(facts):
            tape = Tape(f"run {number}", at=BEGAN + later)
            tape.begin(user=user, session=session, tags=tuple(tags))
            tape.call()
            if later:
                tape.wait(later * 1_000_000).finish(discarded=discarded)
            memory.append(batch(tape.events))
            sqlite.append(batch(tape.events))
        for query in queries:
            expected = memory.find(query)
            assert sqlite.find(query) == expected
            if expected.after is not None:
                following = msgspec.structs.replace(query, after=expected.after, offset=0)
                assert sqlite.find(following) == memory.find(following)
        sqlite.close()


def test_only_links_that_are_needed_are_joined() -> None:
    """A query about a call's own columns reads no other table."""
    own, _ = sql.select(plan(Query("calls", columns=("model",))))
    borrowed, _ = sql.select(plan(Query("calls", columns=("model", "price_id", "session"))))
    assert own == 'SELECT t."model", t."run", t."step" FROM calls t ORDER BY t."run", t."step" LIMIT ? OFFSET ?'
    assert borrowed.count("JOIN") == 2
    assert 'LEFT JOIN prices ON prices."id" = t."price"' in borrowed


@pytest.mark.parametrize("value", ["'; DROP TABLE runs; --", '"', "?"])
def test_values_are_never_part_of_the_text(value: str) -> None:
    """Whatever is asked for is bound."""
    query = Query("runs", (Where("user", "eq", value), Where("name", "contains", value), Where("id", "in", (value,))))
    text, values = sql.select(plan(query))
    assert value not in text.replace("?", "") or value in '"?'
    assert values[:3] == [value] * 3


def test_whole_rows_are_written_by_key() -> None:
    """INSERT names all columns in order; UPDATE and UPSERT change all but the key; FETCH reads them back."""
    relation = RELATIONS["imports"]
    assert sql.insert(relation) == (
        'INSERT INTO imports ("key", "size", "mtime_ns", "digest", "facts") VALUES (?, ?, ?, ?, ?)'
    )
    assert sql.update(relation) == (
        'UPDATE imports SET "size" = ?2, "mtime_ns" = ?3, "digest" = ?4, "facts" = ?5 WHERE "key" = ?1'
    )
    assert sql.fetch(relation).endswith('FROM imports WHERE "key" = ?1')
    assert sql.upsert(relation).endswith('"facts" = excluded."facts"')
