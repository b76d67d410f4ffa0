from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.usage import Usage
from tachograph.queries.stats import stats
from tachograph.store import schema
from tachograph.store.memory import MemoryStore
from tachograph.store.query import Measure, Query, Where
from tachograph.store.relations import plan
from tachograph.store.sqlite import lists, sql
from tachograph.store.sqlite.connections import connect
from tachograph.store.sqlite.lists import LISTS, NO_CALLS, answer, index_for, narrowed
from tachograph.store.sqlite.store import SqliteStore
from tests.contracts.kept import EXAMPLES
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

NAMES = ("plan", "observe", "search")
ONE_OF: Mapping[str, Sequence[Any]] = {
    "tenant": ("default", "acme"), "platform": ("web", "slack"), "session": ("s", "t"), "user": ("u", "v"),
    "tags": ("vip", 'v"ip', "p"), "source": ("", "audit"), "agent_type": ("clerk", "boss"),
    "status": ("started", "completed", "failed"), "state": ("completed", "rejected"), "name": (*NAMES, "desk"),
    "kind": ("llm", "tool", "run", "custom"), "action_type": ("make", "ask"), "report_id": ("r", "q"),
    "provider": ("openai", "local"), "model": ("gpt-4o", "tiny"), "streaming": (True, False), "run": (1, 2, 3),
    "parent": (0, 1), "pk": (1, 2), "started_at": (BEGAN, BEGAN + 1_000_000, BEGAN + 2_000_000),
    "updated_at": (BEGAN, BEGAN + 2_000_000), "run_status": ("started", "completed"),
}  # fmt: skip
OF_RUN = ("tenant", "platform", "session", "user", "tags", "run", "run_status", "started_at")
ASKED: Mapping[str, Sequence[str]] = {
    "steps": ("kind", "name", "agent_type", "action_type", "status", "report_id", *OF_RUN),
    "calls": ("provider", "model", "status", "streaming", "report_id", "parent", *OF_RUN),
    "tool_calls": ("name", "state", "agent_type", "report_id", *OF_RUN),
    "runs": ("pk", "agent_type", "status", "source", "tenant", "platform", "session", "user", "tags", "started_at"),
    "sessions": ("tenant", "session", "user", "status", "updated_at"),
}


@st.composite
def wheres(draw: st.DrawFn, table: str) -> Where:
    """A condition of a list."""
    column = draw(st.sampled_from(ASKED[table]))
    value = st.sampled_from(ONE_OF[column])
    if column == "tags":
        return Where(column, "contains", draw(value))
    operators = ("ge", "le", "gt", "lt") if column.endswith("_at") else ("eq", "eq", "eq", "ne", "in", "null")
    operator: Any = draw(st.sampled_from(operators))
    return Where(column, operator, draw(st.lists(value, max_size=2).map(tuple) if operator == "in" else value))


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """A list as people ask for it: mostly newest first, steps mostly without model calls."""
    table = draw(st.sampled_from(sorted(ASKED)))
    where = draw(st.lists(wheres(table), max_size=4))
    if table == "steps" and draw(st.integers(0, 3)):
        where.insert(draw(st.integers(0, len(where))), NO_CALLS)
    time = "updated_at" if table == "sessions" else "started_at"
    order = draw(st.sampled_from(((f"-{time}",), (f"-{time}",), (time,), (), ("status", f"-{time}"))))
    if table == "tool_calls":
        order = tuple(name for name in order if name != "status")
    return Query(
        table, tuple(where), order=order, limit=draw(st.sampled_from((None, 0, 1, 2, 3, 50))),
        offset=draw(st.integers(0, 2)), total=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def kept(draw: st.DrawFn, number: int) -> Tape:
    """A run with a few steps of every kind; many of them begin at the same moment."""
    one = {name: draw(st.sampled_from(values)) for name, values in ONE_OF.items()}
    names = ("platform", "session", "user", "agent_type")
    maybe: dict[str, Any] = {name: draw(st.none() | st.just(one[name])) for name in names}
    tape = Tape(f"run {number}", tick=draw(st.sampled_from((0, 1_000_000))))
    tape.begin(tenant=one["tenant"], tags=draw(st.sampled_from(((), ("vip", "p"), ('v"ip',)))), **maybe)
    for _ in range(draw(st.integers(0, 5))):
        refs = draw(st.none() | st.sampled_from(ONE_OF["report_id"]).map(lambda report: {"report_id": report}))
        status = draw(st.sampled_from(("started", "completed", "failed")))
        match draw(st.sampled_from(("step", "call", "tool"))):
            case "step":
                action = draw(st.none() | st.sampled_from(ONE_OF["action_type"]))
                step = tape.step(draw(st.sampled_from(NAMES)), action_type=action, refs=refs)
                end: Any = tape.done
            case "call":
                provider, model = draw(st.sampled_from((("openai", "gpt-4o"), ("local", "tiny"))))
                step = tape.call(provider, model, streaming=draw(st.booleans()), refs=refs, parent=0)
                end = tape.reply
            case _:
                step = tape.tool(draw(st.sampled_from(NAMES)), refs=refs)
                end = lambda step, status: tape.result(step, state=status)  # noqa: E731 - like the other two
        if status != "started":
            end(step, status=status)
    return tape


@EXAMPLES
@given(data=st.data(), asked=st.lists(queries(), min_size=5, max_size=15))
def test_a_list_is_what_the_specification_says(data: st.DataObject, asked: list[Query]) -> None:
    """Whatever is few or many: a list has the same pages from first to last, and the same total, as in plain Python."""
    memory = MemoryStore()
    with tempfile.TemporaryDirectory() as folder:
        sqlite = SqliteStore(Path(folder) / "lists.db")
        for number in range(data.draw(st.integers(0, 5))):
            events = data.draw(kept(number)).events
            memory.append(batch(events))
            sqlite.append(batch(events))
        for query in asked:
            few = data.draw(st.sampled_from((0, 1, 500)))
            with mock.patch.object(lists, "FEW_RUNS", few), mock.patch.object(lists, "FEW_STEPS", few):
                expected = memory.find(query)
                assert sqlite.find(query) == expected
                while expected.after is not None:
                    query = msgspec.structs.replace(query, after=expected.after, offset=0)  # noqa: PLW2901
                    expected = memory.find(query)
                    assert sqlite.find(query) == expected
        sqlite.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Three runs of one tenant, two platforms, each with a model call, a tool call and a step for a report."""
    opened = SqliteStore(tmp_path / "lists.db")
    for number, platform in enumerate(("web", "web", "slack")):
        tape = Tape(f"run {number}", at=BEGAN + number)
        tape.begin(platform=platform, tenant="acme", session="s", user="u")
        tape.step("plan", refs={"report_id": "r"})
        tape.call(refs={"report_id": "r"})
        tape.tool()
        opened.append(batch(tape.events))
    yield opened
    opened.close()


def read(store: SqliteStore, query: Query) -> tuple[str, str]:
    """How SQLite reads the page of a query, and how its total."""
    with store._connections.reader() as connection:
        made = narrowed(connection, plan(query))
        index = index_for(connection, made)
        ways = []
        for statement in (lists._select(made, index), lists._count(made, index)):
            text, values = statement
            ways.append("; ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)))
    return ways[0], ways[1]


def test_each_list_has_its_index() -> None:
    """With the column of its order first, then what makes rows different, then what the list is limited by."""
    found = {
        str(index.name): [column.name for column in index.columns]
        for table in schema.metadata.tables.values()
        for index in table.indexes
    }
    for table, (name, time) in LISTS.items():
        assert found[name][:3] == [time, *plan(Query(table)).relation.key]
    assert {"kind", "name", "agent_type", "action_type", "status", "report_id"} < set(found["steps_list"])


@pytest.mark.parametrize(
    "query",
    [
        Query(
            "steps", (NO_CALLS, Where("status", "eq", "failed"), Where("name", "eq", "plan")), order=("-started_at",)
        ),
        Query("steps", (Where("kind", "eq", "tool"), Where("action_type", "eq", "x")), order=("-started_at",)),
        Query("calls", (Where("provider", "eq", "x"), Where("streaming", "eq", True)), order=("-started_at",)),
        Query("tool_calls", (Where("name", "eq", "x"), Where("state", "eq", "failed")), order=("-started_at",)),
        Query("sessions", (Where("tenant", "eq", "x"), Where("user", "eq", "y")), order=("-updated_at",)),
    ],
)
def test_rare_rows_are_found_in_the_index_alone(store: SqliteStore, query: Query) -> None:
    """The table is read for the rows of the page only, and for the total not at all."""
    page, total = read(store, query)
    listed = f"SCAN t USING COVERING INDEX {LISTS[query.table][0]}"
    assert page.startswith(f"CO-ROUTINE k; {listed}; ")
    assert "SCAN k; SEARCH t USING PRIMARY KEY" in page
    assert total == listed


def test_a_tenant_finds_its_runs_in_their_order(store: SqliteStore) -> None:
    """Runs are found by the rarest thing that is said of them."""
    asked = (Where("tenant", "eq", "acme"), Where("status", "eq", "failed"))
    page, total = read(store, Query("runs", asked, order=("-started_at",)))
    assert "SEARCH t USING COVERING INDEX runs_list (tenant=?)" in page
    assert total == "SEARCH t USING COVERING INDEX runs_list (tenant=?)"
    for column, index in (("user", "runs_user"), ("session", "runs_session"), ("execution_id", "runs_execution")):
        page, _ = read(store, Query("runs", (*asked, Where(column, "eq", "u")), order=("-started_at",)))
        assert f"INDEX {index} ({column}=?" in page
    page, _ = read(store, Query("runs", (*asked, Where("pk", "in", (1, 2)))))
    assert "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)" in page


def test_few_runs_are_named_by_number(store: SqliteStore) -> None:
    """And only their rows are read; a tenant that is the only one is not asked for at all."""
    tenant, slack = Where("tenant", "eq", "acme"), Where("platform", "eq", "slack")
    with store._connections.reader() as connection:
        made = narrowed(connection, plan(Query("calls", (tenant, slack))))
        assert made.query.where == (Where("run", "in", (3,)),)
        assert narrowed(connection, plan(Query("calls", (tenant,)))).query.where == ()
        nobody = narrowed(connection, plan(Query("calls", (Where("tenant", "eq", "x"),))))
        assert nobody.query.where == (Where("run", "in", ()),)
        sums, session = (Measure("count"),), Where("session", "eq", "s")
        by_platform = narrowed(connection, plan(Query("calls", (tenant, slack), measures=sums)))
        by_session = narrowed(connection, plan(Query("calls", (tenant, session), measures=sums)))
    assert by_platform.query.where == (slack,)
    assert by_session.query.where == (Where("run", "in", (1, 2, 3)),)
    page, total = read(store, Query("calls", (tenant, slack), order=("-started_at",)))
    assert "SEARCH t USING PRIMARY KEY (run=?)" in page
    assert total == "SEARCH t USING PRIMARY KEY (run=?)"


def test_many_runs_are_looked_up_row_by_row_and_counted_as_a_set(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that fills soon must not wait for a set of runs; a total asks each row."""
    monkeypatch.setattr(lists, "FEW_RUNS", 1)
    page, total = read(store, Query("calls", (Where("platform", "eq", "web"),), order=("-started_at",)))
    assert "SCAN t USING COVERING INDEX calls_list; SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)" in page
    assert total == "SCAN t USING COVERING INDEX calls_list; LIST SUBQUERY 1; SCAN r USING COVERING INDEX runs_list"


def test_a_small_report_is_read_instead_of_the_list(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A big one is not sorted for a page of fifty rows."""
    report = Where("report_id", "eq", "r")
    for table, where in (("steps", (NO_CALLS, report)), ("calls", (report,))):
        query = Query(table, where, order=("-started_at",))
        page, total = read(store, query)
        assert "INDEX steps_report (report_id=?)" in page
        assert "INDEX steps_report (report_id=?)" in total
        with monkeypatch.context() as patch:
            patch.setattr(lists, "FEW_STEPS", 1)
            page, total = read(store, query)
        assert f"COVERING INDEX {LISTS[table][0]}" in page
        assert ("steps_list" if table == "steps" else "steps_report") in total


def test_a_page_and_its_total_are_of_one_moment(store: SqliteStore) -> None:
    """What is written between the two is in neither."""

    class Late:
        """A connection beside which somebody writes after the first statement that returns rows."""

        def __init__(self) -> None:
            self.real = connect(store.path)

        def execute(self, text: str, values: Any = ()) -> Any:
            found = self.real.execute(text, values)
            if text.startswith("SELECT") and "count(*)" not in text:
                late = Tape("late")
                late.begin()
                store.append(batch(late.events))
            return found

    late: Any = Late()
    assert answer(late, Query("runs", limit=10, total=True)).total == 3
    late.real.close()


def test_a_tag_is_found_whole(store: SqliteStore) -> None:
    """Part of a tag is none, whatever quotes it has; nothing of it becomes SQL."""
    tape = Tape("tagged")
    tape.begin(tags=('a"b', "über"))
    store.append(batch(tape.events))
    found = {
        tag: len(store.find(Query("runs", (Where("tags", "contains", tag),))).rows)
        for tag in ('a"b', "über", "b", 'b"', '"b', "ber", "%", "")
    }
    assert found == {'a"b': 1, "über": 1, "b": 0, 'b"': 0, '"b': 0, "ber": 0, "%": 0, "": 0}
    assert sql.select(plan(Query("runs", (Where("tags", "contains", "x"),))))[1][:2] == ['"x"', "x"]


def test_nonsense_that_adds_up_to_too_much_costs_nobody_the_answer(tmp_path: Path) -> None:
    """Sums beyond 64 bits stop at the greatest number; refreshing, asking and checking go on for everybody."""
    store = SqliteStore(tmp_path / "a.db")
    for place in range(6):
        tape = Tape(f"huge {place}", at=BEGAN)
        tape.begin()
        call = tape.call()
        tape.reply(call, usage=Usage(input_uncached=2**62, output=1, basis="provider"))
        store.append(batch(tape.events))
    query = Query("calls", measures=(Measure("sum", "uncached_tokens"), Measure("sum", "output_tokens")))
    assert store.find(query).rows == [{"sum_uncached_tokens": 2**63 - 1, "sum_output_tokens": 6}]
    assert store.refresh(BEGAN + 10**15) == 1
    assert stats(store, BEGAN + 10**15).total.tokens.output == 6
    store.check()
    store.close()
