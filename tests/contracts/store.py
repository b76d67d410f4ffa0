"""What every store must do. Each backend's test module has a subclass that says how one is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.errors import SequenceGap
from tachograph.events.call import CallRepriced
from tachograph.events.content import Content, canonical_hash, digest, inline
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.note import Loss, Note, Score, Unknown
from tachograph.events.run import Failure
from tachograph.events.usage import Cost
from tachograph.fold.totals import fold
from tachograph.store.ports import Appended, Batch, OpenStep, Position
from tachograph.store.query import Measure, Query, Where
from tachograph.store.relations import PROJECTIONS, RELATIONS
from tachograph.store.rows import ImportRow, JournalRow, LossRow
from tests.contracts.erasing import ErasingContract
from tests.contracts.feed import FeedContract
from tests.contracts.kept import EXAMPLES, call_run, dump, named, unordered
from tests.contracts.resuming import ResumingContract
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape, batches, bodies, runs


class StoreContract(ErasingContract, FeedContract, ResumingContract):
    """Subclass it as `Test…` and implement `open`."""

    # ---- the log --------------------------------------------------------------------------------------------------

    @EXAMPLES
    @given(events=batches())
    def test_reads_back_what_was_appended(self, events: Sequence[Event]) -> None:
        """A batch of interleaved runs reads back event for event, run by run, from any point on."""
        with self.fresh() as store:
            sent = batch(events)
            assert store.append(sent) == Appended(stored=len(events))
            for run in {event.run for event in events}:
                expected = [event for event in sent.events if event.run == run]
                assert list(store.read(run)) == expected
                assert list(store.read(run, after=2)) == expected[3:]
                assert list(store.read(run, after=0, limit=2)) == expected[1:3]
                assert list(store.read(run, limit=0)) == []
                assert store.next_seq(run) == len(expected)

    @EXAMPLES
    @given(body=bodies)
    def test_takes_any_body(self, body: Any) -> None:
        """Whatever an event says, it is stored, read back the same, and survives a rebuild."""
        with self.fresh() as store:
            tape = Tape()
            tape.begin()
            tape.add(body, 0)
            store.append(Batch(tape.events))
            assert list(store.read(tape.run)) == tape.events
            before = dump(store, PROJECTIONS)
            store.rebuild()
            assert dump(store, PROJECTIONS) == before

    def test_knows_nothing_of_a_run_it_has_not_seen(self, store: Any) -> None:
        """An unknown run has no events and starts at 0; an unknown journal stands at its beginning."""
        assert list(store.read("0197742f-d020-78b1-86bf-ee1200000000")) == []
        assert store.next_seq("0197742f-d020-78b1-86bf-ee1200000000") == 0
        assert store.position("nobody") == (0, 0)
        assert store.open_steps("nobody") == []
        assert store.fetch([digest(b"x")]) == {}

    @EXAMPLES
    @given(events=batches())
    def test_events_that_are_there_are_not_stored_again(self, events: Sequence[Event]) -> None:
        """The same batch twice changes nothing the second time."""
        with self.fresh() as store:
            store.append(batch(events))
            before = dump(store)
            assert store.append(batch(events)) == Appended(stored=0, repeated=len(events))
            assert dump(store) == before

    def test_stores_nothing_of_a_batch_with_a_gap(self, store: Any) -> None:
        """A hole in one run keeps the whole batch out: other runs, contents and the position too."""
        good, bad = call_run("good"), call_run("bad")
        holed = [*bad.events[:2], *bad.events[3:]]
        before = dump(store)
        whole = batch(good.events, holed)
        with pytest.raises(SequenceGap) as caught:
            store.append(Batch(whole.events, whole.payloads, whole.canonical, Position("j", 1, 9)))
        assert (caught.value.run, caught.value.expected, caught.value.found) == (bad.run, 2, 3)
        assert dump(store) == before
        assert store.position("j") == (0, 0)
        assert store.fetch(list(whole.payloads)) == {}
        assert store.append(batch(good.events, bad.events)).stored == len(good.events) + len(bad.events)

    def test_moves_a_journal_by_compare_and_set(self, store: Any) -> None:
        """A batch that starts where the store does not stand stores nothing, and says so."""
        first, second = call_run("first"), call_run("second")
        assert store.append(Batch(first.events, position=Position("j", 1, 100))).moved
        late = Batch(second.events, position=Position("j", 1, 200))
        assert store.append(late) == Appended(moved=False)
        assert store.next_seq(second.run) == 0
        assert store.position("j") == (1, 100)
        assert store.append(msgspec.structs.replace(late, position=Position("j", 2, 50, (1, 100)))).moved
        assert store.position("j") == (2, 50)

    @EXAMPLES
    @given(events=batches(), data=st.data())
    def test_batches_may_be_cut_anywhere(self, events: Sequence[Event], data: st.DataObject) -> None:
        """However a stream is cut into batches, with repeats between them, the store holds the same."""
        with self.fresh() as whole, self.fresh() as parts:
            whole.append(batch(events))
            cut = 0
            while cut < len(events):
                size = data.draw(st.integers(1, 12))
                back = data.draw(st.integers(0, 2))
                parts.append(batch(events[max(0, cut - back) : cut + size]))
                cut += size
            assert named(dump(parts)) == named(dump(whole))
            assert parts.check() == []

    # ---- open steps -----------------------------------------------------------------------------------------------

    def test_names_open_steps_innermost_first(self, store: Any) -> None:
        """Steps that have not ended, of this owner's runs only; none once the run is over."""
        tape = Tape()
        tape.begin(owner="me")
        outer = tape.step("outer")
        call = tape.call(parent=outer)
        done = tape.tool("search", parent=outer)
        tape.result(done, state="rejected")
        store.append(batch(tape.events))
        assert store.open_steps("me") == [
            OpenStep(tape.run, call, "llm", tape.events[call].at),
            OpenStep(tape.run, outer, "custom", tape.events[outer].at),
            OpenStep(tape.run, 0, "run", BEGAN),
        ]
        assert store.open_steps("") == []
        start = len(tape.events)
        tape.reply(call, "abandoned")
        tape.done(outer, "abandoned")
        tape.finish("abandoned")
        store.append(batch(tape.events[start:]))
        assert store.open_steps("me") == []

    # ---- contents -------------------------------------------------------------------------------------------------

    @EXAMPLES
    @given(contents=st.lists(st.binary(max_size=600) | st.text(max_size=900).map(str.encode), max_size=8))
    def test_gives_contents_back_byte_for_byte(self, contents: Sequence[bytes]) -> None:
        """Contents of any size and any bytes come back by their hashes; the others are absent."""
        with self.fresh() as store:
            payloads = {digest(data): data for data in contents}
            store.append(Batch(payloads=payloads))
            store.append(Batch(payloads=payloads))
            assert store.fetch([*payloads, digest(b"other")]) == payloads

    def test_takes_in_bytes_that_come_later(self, store: Any) -> None:
        """A content that was first only named is there as soon as its bytes are."""
        tape = Tape()
        text = '{"role":"user","content":"later"}'
        tape.begin()
        tape.say("user", text, by_hash=True)
        store.append(Batch(tape.events))
        name = digest(text.encode())
        assert store.fetch([name]) == {}
        assert list(store.read(tape.run)) == tape.events
        store.append(Batch(payloads={name: text.encode()}, canonical={name: canonical_hash(text)}))
        assert store.fetch([name]) == {name: text.encode()}
        assert len(store.find(Query("payloads")).rows) == 1

    def test_shares_messages_between_runs(self, store: Any) -> None:
        """Two runs that begin alike share their payloads and nodes up to where they part."""
        for source, last in (("one", "yes"), ("two", "no")):
            tape = Tape(source)
            tape.begin()
            first = tape.say("system", {"role": "system", "content": "be brief"})
            second = tape.say("user", {"role": "user", "content": "is it?"}, first)
            tape.say("assistant", {"role": "assistant", "content": last}, second)
            store.append(batch(tape.events))
        nodes = store.find(Query("nodes", order=("id",), limit=None)).rows
        assert [(row["parent"], row["payload"], row["role"]) for row in nodes] == [
            (0, 1, "system"), (1, 2, "user"), (2, 3, "assistant"), (2, 4, "assistant"),
        ]  # fmt: skip

    # ---- projections ----------------------------------------------------------------------------------------------

    @EXAMPLES
    @given(events=runs())
    def test_totals_are_those_of_the_fold(self, events: list[Event]) -> None:
        """What a run's row counts is what folding its events counts."""
        with self.fresh() as store:
            store.append(batch(events))
            row, totals = store.find(Query("runs")).rows[0], fold(events)
            assert {name: row[name] for name in _SAME_AS_FOLD} == {
                name: getattr(totals, of_fold) for name, of_fold in _SAME_AS_FOLD.items()
            }
            assert row["usage_missing"] == totals.bases.get("missing", 0)
            assert row["next_seq"] == len(events)
            assert row["lost"] == sum(event.body.events for event in events if isinstance(event.body, Loss))

    @EXAMPLES
    @given(events=batches(), data=st.data())
    def test_a_rebuild_gives_the_same_rows(self, events: Sequence[Event], data: st.DataObject) -> None:
        """Every projection made again from the log is what live recording made."""
        with self.fresh() as store:
            cut = data.draw(st.integers(0, len(events)))
            store.append(batch(events[:cut]))
            store.append(batch(events[cut:]))
            before = dump(store)
            counts = store.rebuild()
            assert unordered(dump(store)) == unordered(before)
            assert counts == {table: len(before[table]) for table in PROJECTIONS}
            assert store.append(batch(events)).stored == 0

    @EXAMPLES
    @given(old=batches(), new=batches())
    def test_a_replaced_run_leaves_no_trace(self, old: Sequence[Event], new: Sequence[Event]) -> None:
        """Rows of runs that were replaced are those of their new events alone, in their sessions too."""
        with self.fresh() as replaced, self.fresh() as plain:
            replaced.append(batch(old))
            gone = frozenset(event.run for event in old)
            replaced.append(batch(new, replace=gone))
            plain.append(batch(new))
            left, expected = named(dump(replaced)), named(dump(plain))
            assert {table: left[table] for table in _OF_EVENTS} == {table: expected[table] for table in _OF_EVENTS}
            assert replaced.check() == []

    def test_says_what_each_table_holds(self, store: Any) -> None:
        """A run with a call and a tool call, row by row."""
        tape = call_run(session="s", user="u", tags=("a", "b"), metadata=inline('{"k":1}'), agent_type="desk")
        tape.add(LimitHit(metric="llm_calls", mode="stop", used=2, threshold=1, evidence=(3,)))
        tape.add(Score(name="reward", value=0.5, kind="benchmark"))
        tape.add(Note(name="seen", data=Content(text="1", size=1, full_size=5, redacted={"key": 2}, marks=("nan",))))
        tape.finish("completed", stop_reason="final_answer", output=inline('"done"'))
        store.append(batch(tape.events))
        run = store.find(Query("runs", columns=RELATIONS["runs"].stored)).rows[0]
        assert {name: run[name] for name in _RUN_FACTS} == _RUN_FACTS
        call = store.find(
            Query("calls", columns=(*RELATIONS["calls"].stored, "price_id", "price_date", "session"))
        ).rows[0]
        assert {name: call[name] for name in _CALL_FACTS} == _CALL_FACTS
        tool = store.find(Query("tool_calls", columns=RELATIONS["tool_calls"].stored)).rows[0]
        assert {name: tool[name] for name in _TOOL_FACTS} == _TOOL_FACTS
        steps = store.find(Query("steps", columns=("step", "parent", "kind", "name", "status", "agent_type"))).rows
        assert [tuple(row.values()) for row in steps] == [
            (0, None, "run", "desk", "completed", "desk"),
            (2, 0, "llm", "gpt-4o", "completed", "clerk"),
            (5, 0, "tool", "find_order", "completed", "desk"),
        ]
        hit, score = store.find(Query("limit_hits")).rows[0], store.find(Query("scores")).rows[0]
        assert (hit["metric"], hit["mode"], hit["evidence"]) == ("llm_calls", "stop", "[3]")
        assert (score["name"], score["value"], score["target"]) == ("reward", 0.5, 0)

    @pytest.mark.parametrize(
        ("state", "status"),
        [
            ("completed", "completed"), ("failed", "failed"), ("rejected", "failed"), ("skipped", "cancelled"),
            ("cancelled", "cancelled"), ("abandoned", "abandoned"),
        ],
    )  # fmt: skip
    def test_a_tool_calls_state_becomes_a_status(self, store: Any, state: str, status: str) -> None:
        """The tool table keeps the six states; the step has the status nearest to it."""
        tape = Tape()
        tape.begin()
        tape.result(tape.tool("pay"), state=state, error=Failure("E", "no"), reason="because")
        store.append(batch(tape.events))
        assert store.find(Query("tool_calls", columns=("state", "reason", "error_type"))).rows == [
            {"state": state, "reason": "because", "error_type": "E"}
        ]
        assert store.find(Query("steps", (Where("step", "eq", 1),), ("status",))).rows == [{"status": status}]

    def test_the_last_price_counts(self, store: Any) -> None:
        """Pricing a call again changes its row, its run and its session by the difference."""
        tape = call_run(session="s")
        tape.finish()
        store.append(batch(tape.events))
        for cost, expected in ((Cost("priced", 1, 2, 3), (3, 0, 3)), (Cost(reason="no_price"), (0, 1, None))):
            start = len(tape.events)
            tape.add(CallRepriced(call=2, cost=cost))
            store.append(batch(tape.events[start:]))
            run = store.find(Query("runs")).rows[0]
            session = store.find(Query("sessions")).rows[0]
            call = store.find(Query("calls")).rows[0]
            assert (run["cost_nano"], run["unpriced"], call["cost_nano"]) == expected
            assert (session["cost_nano"], session["unpriced"]) == expected[:2]
        assert store.check() == []

    def test_keeps_what_it_does_not_understand(self, store: Any) -> None:
        """Unknown types and fields are in the log as they came, and change no row."""
        tape = Tape()
        tape.begin()
        store.append(Batch(tape.events))
        before = dump(store, ("steps", "calls", "tool_calls", "limit_hits", "scores"))
        event = Event(tape.run, 1, tape.at, tape.mono, 0, Unknown("from_tomorrow", {"x": [1]}), {"": {"y": 2}})
        store.append(Batch([event]))
        assert list(store.read(tape.run, after=0)) == [event]
        assert {**dump(store, tuple(before)[:-1]), "events": 0} == {**before, "events": 0}

    def test_a_session_adds_up_its_runs(self, store: Any) -> None:
        """Counters are sums, times the outermost; status and user are those of the run that started last."""
        first, last = call_run("first", session="s", user="ann"), call_run("last", session="s", user="bob")
        last.events = [msgspec.structs.replace(event, at=event.at + 10**9) for event in last.events]
        last.finish("completed", stop_reason="human_handoff")
        store.append(batch(last.events))
        store.append(batch(first.events))
        row = store.find(Query("sessions")).rows[0]
        assert (row["runs"], row["llm_calls"], row["tool_calls"], row["cost_nano"], row["total_tokens"]) == (
            2,
            2,
            2,
            60,
            44,
        )
        assert (row["status"], row["user"], row["last_run"]) == ("handed_off", "bob", last.run)
        assert (row["started_at"], row["updated_at"]) == (BEGAN, last.events[-2].at)

    # ---- questions ------------------------------------------------------------------------------------------------

    def test_refuses_names_it_does_not_know(self, store: Any) -> None:
        """Tables, columns and orders that are not there are refused, wherever they stand in a query."""
        for query in (
            Query("nowhere"),
            Query("runs", columns=("nothing",)),
            Query("runs", (Where("nothing", "eq", 1),)),
            Query("runs", order=("-nothing",)),
            Query("runs", group=("status",)),
            Query("runs", measures=(Measure("sum", "nothing"),)),
            Query("runs", measures=(Measure("count"),), after=(1,)),
            Query("runs", after=(1, 2)),
        ):
            with pytest.raises(ValueError, match=r"nothing|nowhere|measures|after"):
                store.find(query)

    def test_pages_meet_every_row_once(self, store: Any) -> None:
        """Following `after` from page to page gives all rows in order, whether values are NULL or equal."""
        for number in range(7):
            tape = Tape(f"run {number}", at=BEGAN + number // 2 * 10)
            tape.begin(user=None if number % 3 else f"u{number}")
            store.append(batch(tape.events))
        for order in (("started_at",), ("-started_at",), ("user",), ("-user", "started_at"), ("user", "-started_at")):
            query = Query("runs", columns=("pk", "user"), order=order, limit=None)
            everything = list(store.find(query).rows)
            page = store.find(msgspec.structs.replace(query, limit=2, total=True))
            assert page.total == 7
            found = list(page.rows)
            while page.after is not None:
                page = store.find(msgspec.structs.replace(query, limit=2, after=page.after))
                found += page.rows
            assert found == everything
            skipped = store.find(msgspec.structs.replace(query, limit=3, offset=3)).rows
            assert list(skipped) == everything[3:6]

    def test_groups_and_measures(self, store: Any) -> None:
        """Counts, sums and extremes by group, in the order asked for; without a group one row, even of nothing."""
        for number in range(5):
            tape = call_run(f"run {number}", user="ab"[number % 2], tags=("x",) if number else ())
            store.append(batch(tape.events))
        measures = (
            Measure("count"),
            Measure("sum", "cost_nano"),
            Measure("max", "started_at"),
            Measure("count", "tags"),
        )
        query = Query("runs", group=("user",), measures=measures, order=("-sum_cost_nano",), total=True)
        page = store.find(query)
        assert [tuple(row.values()) for row in page.rows] == [("a", 3, 90, BEGAN, 2), ("b", 2, 60, BEGAN, 2)]
        assert page.total == 2
        nothing = store.find(Query("scores", measures=(Measure("count"), Measure("sum", "value"))))
        assert nothing.rows == [{"count": 0, "sum_value": None}]

    def test_borrows_columns_of_the_run(self, store: Any) -> None:
        """A call can be asked by its run's session, step's parent and price."""
        store.append(batch(call_run("one", session="s", platform="chat").events, call_run("two").events))
        query = Query(
            "calls",
            (Where("session", "eq", "s"), Where("price_id", "prefix", "openai/"), Where("parent", "eq", 0)),
            ("run_id", "platform", "tags", "iteration", "execution_id"),
        )
        tape = call_run("one")
        assert store.find(query).rows == [
            {"run_id": tape.run, "platform": "chat", "tags": None, "iteration": None,
             "execution_id": tape.events[0].body.execution_id}
        ]  # fmt: skip
        by_session = Query("calls", group=("session",), measures=(Measure("sum", "cost_nano"),))
        assert store.find(by_session).rows == [
            {"session": None, "sum_cost_nano": 30}, {"session": "s", "sum_cost_nano": 30},
        ]  # fmt: skip

    @pytest.mark.parametrize(("needle", "expected"), [("ORDER", 2), ("on its", 2), ("\u00c4rger", 1), ("absent", 0)])
    def test_finds_messages_by_their_text(self, store: Any, needle: str, expected: int) -> None:
        """Search folds case, looks through escapes, and names run and event, newest run first."""
        first, last = call_run("first"), call_run("last")
        last.events = [msgspec.structs.replace(event, at=event.at + 1) for event in last.events]
        last.say("user", {"role": "user", "content": '\u00e4rger "quoted"'})
        store.append(batch(last.events, first.events))
        found = store.search(needle)
        assert len(found) == expected
        assert store.search('"QUOTED"')[0]["run_id"] == last.run
        if needle == "ORDER":
            assert [(hit["run_id"], hit["seq"], hit["role"]) for hit in found] == [
                (last.run, 1, "user"), (first.run, 1, "user"),
            ]  # fmt: skip
            assert len(store.search(needle, limit=1)) == 1

    # ---- beside the log -------------------------------------------------------------------------------------------

    def test_notes_stand_beside_the_log(self, store: Any) -> None:
        """An import is what it was last; a loss noted twice is one; a journal's state does not move it."""
        store.note(ImportRow(key="/a", size=1, mtime_ns=1))
        store.note(ImportRow(key="/a", size=2, mtime_ns=3, digest=b"d", facts="{}"))
        assert store.find(Query("imports")).rows == [
            {"key": "/a", "size": 2, "mtime_ns": 3, "digest": b"d", "facts": "{}"}
        ]
        store.note(LossRow(at=1, journal="j", reason="damage", detail="1:20", bytes=9))
        store.note(LossRow(at=2, journal="j", reason="damage", detail="1:20", bytes=9))
        store.note(LossRow(at=2, journal="j", reason="damage", detail="2:20", events=1))
        losses = store.find(Query("losses", columns=("id", "at", "detail"))).rows
        assert [tuple(row.values()) for row in losses] == [(1, 2, "1:20"), (2, 2, "2:20")]
        store.append(Batch(position=Position("j", 3, 4)))
        store.note(JournalRow(id="j", state="gone", seen_at=5))
        store.note(JournalRow(id="k", state="open", seen_at=6))
        rows = store.find(Query("journals")).rows
        assert [tuple(row.values()) for row in rows] == [("j", 3, 4, "gone", 5), ("k", 0, 0, "open", 6)]
        assert store.position("j") == (3, 4)

    def test_tells_its_size(self, store: Any) -> None:
        """Facts count events, runs and what was lost."""
        tape = call_run()
        tape.add(Loss(reason="journal_full", events=3))
        store.append(batch(tape.events))
        facts = store.facts()
        assert {name: facts[name] for name in ("events", "runs", "calls", "open_runs", "lost", "payloads")} == {
            "events": len(tape.events), "runs": 1, "calls": 1, "open_runs": 1, "lost": 3, "payloads": 2,
        }  # fmt: skip

    @EXAMPLES
    @given(events=batches())
    def test_counts_what_is_there(self, events: Sequence[Event]) -> None:
        """However it is found out, each number is that of the rows there are."""
        with self.fresh() as store:
            store.append(batch(events))
            store.erase([event.run for event in events[:1]], 1)
            facts = store.facts()
            for table in ("runs", "steps", "calls", "tool_calls", "sessions"):
                assert facts[table] == len(store.find(Query(table, limit=None)).rows), table
            found = store.find(Query("runs", limit=None)).rows
            assert facts["lossy_runs"] == sum(run["lost"] > 0 for run in found)
            assert [facts[name] for name in ("lost", "unpriced", "usage_missing")] == [
                sum(run[name] for run in found) for name in ("lost", "unpriced", "usage_missing")
            ]

    def test_closes_twice(self, store: Any) -> None:
        """Closing is safe to repeat."""
        store.append(batch(call_run().events))
        store.close()
        store.close()


_OF_EVENTS = (*PROJECTIONS, "events")
_SAME_AS_FOLD = {
    "iterations": "iterations",
    "steps": "steps",
    "llm_calls": "attempts",
    "tool_calls": "tool_calls",
    "errors": "errors",
    "interventions": "interventions",
    "uncached_tokens": "input_uncached",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "output_tokens": "output",
    "reasoning_tokens": "reasoning",
    "cost_nano": "cost",
    "unpriced": "unpriced",
    "reported_cost_nano": "reported_cost",
}

_RUN_FACTS = {
    "pk": 1, "name": "desk", "session": "s", "user": "u", "tags": '["a","b"]', "metadata": '{"k":1}',
    "agent_type": "desk", "status": "completed", "stop_reason": "final_answer", "billable": True, "discarded": False,
    "output": '"done"', "started_at": BEGAN, "duration_ns": 10_000_000, "updated_at": BEGAN + 10_000_000,
    "next_seq": 11, "iterations": 1, "llm_calls": 1, "tool_calls": 1, "interventions": 1, "truncated": 1,
    "redacted": 2, "sanitized": 1, "errors": 0, "usage_missing": 0,
}  # fmt: skip
_CALL_FACTS = {
    "run": 1, "step": 2, "provider": "openai", "model": "gpt-4o", "agent_type": "clerk", "purpose": "answer",
    "status": "completed", "started_at": BEGAN + 2_000_000, "duration_ns": 2_000_000, "input_node": 1,
    "output_node": 2, "uncached_tokens": 10, "cache_read_tokens": 5, "cache_write_tokens": None, "output_tokens": 7,
    "reasoning_tokens": 2, "usage_basis": "provider", "cost_state": "priced", "cost_nano": 30, "input_cost_nano": 10,
    "output_cost_nano": 20, "reported_cost_nano": 31, "price": 1, "finish_reason": "stop", "streaming": False,
    "price_id": "openai/gpt-4o@1", "price_date": "2026-11-01", "session": "s",
}  # fmt: skip
_TOOL_FACTS = {
    "name": "find_order", "agent_type": "desk", "state": "completed", "call_id": "c1", "requested_by": 2,
    "arguments": '{"b": 1, "a": 2}', "result": '"found"', "duration_ns": 1_000_000, "result_payload": None,
    "arguments_hash": int.from_bytes(canonical_hash('{"a":2,"b":1}')[:8], "big", signed=True),
    "result_hash": int.from_bytes(digest(b'"found"')[:8], "big", signed=True),
}  # fmt: skip
