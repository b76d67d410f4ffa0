"""What every store must do when runs are erased, and when their owner goes on recording as if they were not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.content import Content, digest, inline
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note
from tachograph.store.named import FIELDS
from tachograph.store.ports import Appended, Batch, Erased, Position
from tachograph.store.query import Query, Where
from tachograph.store.relations import OF_RUN, PROJECTIONS
from tests.contracts.kept import EXAMPLES, Contract, call_run, dump, named
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape, batches

LATER = BEGAN + 10**16
LONG = "x" * 600
OWN = 14
"""Contents of a `rich_run` that are its own."""


def swollen(events: Iterable[Event]) -> list[Event]:
    """The same events, every other one with contents so large that a store keeps them apart."""
    return [_swollen(event) if event.seq % 2 == 0 else event for event in events]


def _swollen(event: Event) -> Event:
    body = event.body
    put: dict[str, Any] = {}
    for name in FIELDS.get(type(body), ()):
        content = getattr(body, name)
        if isinstance(content, Content) and content.text is not None and not isinstance(body, MessageAppended):
            put[name] = inline(msgspec.json.encode([content.text, LONG]).decode())
    return msgspec.structs.replace(event, body=msgspec.structs.replace(body, **put)) if put else event


def rich_run(source: str = "rich", secret: str = "secret", **facts: Any) -> Tape:
    """A run that names a content in every way there is: `secret` is in each but the prompt and the answer."""
    tape = Tape(source)

    def own(where: str) -> Content:
        return inline(msgspec.json.encode([where, secret, LONG]).decode())

    tape.begin(input=own("run input"), metadata=own("run metadata"), **facts)
    shared = tape.say("system", {"role": "system", "content": f"be brief {LONG}"})
    asked = tape.say("user", {"role": "user", "content": secret}, shared)
    step = tape.step("work", input=own("step input"), metadata=own("step metadata"))
    call = tape.call(input=asked, parent=step, tools=own("tools"), params=own("params"))
    said = tape.say("assistant", {"role": "assistant", "content": "ok"}, asked)
    tape.reply(call, output=said, metadata=own("call metadata"))
    tool = tape.tool("find", own("arguments"), requested_by=call)
    tape.result(tool, own("result"))
    tape.done(step, output=own("step output"))
    tape.done(99, output=own("output of a step whose start was lost"))
    tape.add(Note(name="seen", data=own("note")))
    tape.finish(output=own("run output"))
    return tape


class ErasingContract(Contract):
    """A run that was erased has never been there, but that it does not come back."""

    @EXAMPLES
    @given(events=batches(max_runs=4), data=st.data())
    def test_what_was_erased_leaves_no_trace(self, events: Sequence[Event], data: st.DataObject) -> None:
        """Erase any runs at any time, while they go on: the store is one that never saw them."""
        events = swollen(events)
        runs = sorted({event.run for event in events})
        chosen = data.draw(st.sets(st.sampled_from(runs))) if runs else set()
        with self.fresh() as store, self.fresh() as never:
            cut = 0
            while cut < len(events):
                size = data.draw(st.integers(1, 20))
                part = events[cut : cut + size]
                done = store.append(batch(part))
                assert done.stored + done.dropped == len(part)
                store.erase([run for run in sorted(chosen) if data.draw(st.integers(0, 3)) == 0], LATER)
                assert store.check() == []
                cut += size
            store.erase(sorted(chosen), LATER)
            never.append(batch([event for event in events if event.run not in chosen]))
            for each in (store, never):
                each.refresh(LATER)
            left, expected = named(dump(store)), named(dump(never))
            told = expected.keys() - {"erased", "prices"}
            assert {table: left[table] for table in told} == {table: expected[table] for table in told}
            assert store.check() == []

    def test_everything_that_a_run_names_goes_with_it(self, store: Any) -> None:
        """However it was named, and only what the other runs do not name; their transcripts are whole."""
        gone, kept = rich_run("gone", "secret one", session="s"), rich_run("kept", "secret two", session="s")
        sent = batch(gone.events, kept.events)
        store.append(sent)
        own = {name for name, data in sent.payloads.items() if b"secret one" in data}
        assert len(own) == OWN
        done = store.erase([gone.run], LATER)
        assert (done.runs, done.events, done.payloads) == (1, len(gone.events), OWN)
        assert done.bytes > 0
        assert store.fetch(list(sent.payloads)) == {
            name: data for name, data in sent.payloads.items() if name not in own
        }
        assert list(store.read(gone.run)) == []
        assert list(store.read(kept.run)) == [event for event in sent.events if event.run == kept.run]
        assert [row["id"] for row in store.find(Query("runs", columns=("id",))).rows] == [kept.run]
        assert {row["runs"] for row in store.find(Query("sessions")).rows} == {1}
        assert len(store.find(Query("nodes")).rows) == 3
        assert store.check() == []

    def test_erasing_is_done_once(self, store: Any) -> None:
        """Runs that are not there are passed over, twice the same run is one; nothing of theirs is noted."""
        tape = call_run()
        store.append(batch(tape.events))
        before = dump(store)
        assert store.erase([], LATER) == Erased()
        assert store.erase(["nobody"], LATER) == Erased()
        assert dump(store) == before
        assert store.erase([tape.run, tape.run, "nobody"], LATER).runs == 1
        assert store.erase([tape.run], LATER) == Erased()
        assert [(row["run"], row["at"]) for row in store.find(Query("erased")).rows] == [(tape.run, LATER)]

    def test_an_open_run_can_be_erased(self, store: Any) -> None:
        """Nothing of it is open any more; what its owner goes on to record is dropped, with all that it brings."""
        tape, other = rich_run("gone", owner="me"), call_run("kept", owner="me")
        store.append(batch(tape.events[:5], other.events))
        store.erase([tape.run], LATER)
        before = dump(store)
        assert {step.run for step in store.open_steps("me")} == {other.run}
        assert store.next_seq(tape.run) == 0
        late = batch(tape.events[5:])
        assert store.append(late) == Appended(dropped=len(tape.events) - 5)
        assert store.append(batch(tape.events)) == Appended(dropped=len(tape.events))
        assert store.append(batch(tape.events, replace=[tape.run])) == Appended(dropped=len(tape.events))
        assert dump(store) == before
        assert store.check() == []

    def test_what_comes_with_dropped_events_is_stored_if_others_name_it(self, store: Any) -> None:
        """A batch of an erased run and of another one keeps what the other names, moves the journal, and has no gap."""
        gone, kept = rich_run("gone"), rich_run("kept", "other")
        store.append(batch(gone.events[:1]))
        store.erase([gone.run], LATER)
        mixed = batch(gone.events[3:], kept.events)
        position = Position("j", 1, 10)
        done = store.append(Batch(mixed.events, mixed.payloads, mixed.canonical, position))
        assert (done.stored, done.dropped) == (len(kept.events), len(gone.events) - 3)
        assert store.position("j") == (1, 10)
        found = store.fetch(list(mixed.payloads))
        assert set(found) == set(batch(kept.events).payloads)
        assert store.check() == []

    def test_no_number_is_given_twice(self, store: Any) -> None:
        """A reader that still holds a number of an erased run never finds another run's content under it."""
        first = rich_run("first")
        store.append(batch(first.events))
        highest = {
            table: max(row[key] for row in store.find(Query(table, limit=None)).rows) for table, key in _NUMBERED
        }
        store.erase([first.run], LATER)
        assert [len(store.find(Query(table)).rows) for table, _ in _NUMBERED] == [0, 0, 0]
        for source in ("second", "third"):
            store.append(batch(rich_run(source, source).events))
        for table, key in _NUMBERED:
            assert min(row[key] for row in store.find(Query(table, limit=None)).rows) > highest[table]

    def test_a_content_stays_as_long_as_anybody_names_it(self, store: Any) -> None:
        """It passes from run to run; with the last one it goes. Naming it again brings it back."""
        tapes = []
        for number in range(4):
            tape = Tape(f"run {number}")
            tape.begin()
            tape.say("system", {"role": "system", "content": "be brief"})
            tape.say("system", {"role": "system", "content": "be brief"})
            tapes.append(tape)
        for tape in tapes:
            store.append(batch(tape.events))
        sent = batch(tapes[0].events).payloads
        for tape in tapes[:3]:
            store.erase([tape.run], LATER)
            assert store.fetch(list(sent)) == sent
            assert len(store.find(Query("nodes")).rows) == 1
            assert store.check() == []
        store.erase([tapes[3].run], LATER)
        assert store.fetch(list(sent)) == {}
        assert (store.find(Query("nodes")).rows, store.find(Query("shares")).rows) == ([], [])
        again = Tape("again")
        again.begin()
        again.say("system", {"role": "system", "content": "be brief"})
        store.append(batch(again.events))
        assert store.fetch(list(sent)) == sent

    def test_a_node_goes_though_others_say_its_words_elsewhere(self, store: Any) -> None:
        """The same message at another place is another node."""
        one, two = Tape("one"), Tape("two")
        for tape, words in ((one, ("a", "b", "c")), (two, ("a", "c", "b"))):
            tape.begin()
            parent = None
            for word in words:
                parent = tape.say("user", {"role": "user", "content": word}, parent)
            store.append(batch(tape.events))
        assert len(store.find(Query("nodes")).rows) == 5
        store.erase([one.run], LATER)
        left = store.find(Query("nodes", order=("id",))).rows
        assert [(row["id"], row["parent"]) for row in left] == [(1, 0), (4, 1), (5, 4)]
        assert store.check() == []

    def test_a_new_version_of_a_run_lets_go_of_what_the_old_one_named(self, store: Any) -> None:
        """Contents and nodes of the old version go unless the new one, or another run, names them."""
        old, new, other = rich_run("same", "before"), rich_run("same", "after"), call_run("other")
        store.append(batch(old.events, other.events))
        store.append(batch(new.events, replace=[new.run]))
        expected = batch(new.events, other.events).payloads
        assert store.fetch([*batch(old.events).payloads, *expected]) == expected
        assert len(store.find(Query("nodes")).rows) == 5
        assert store.check() == []
        store.erase([new.run], LATER)
        assert store.fetch(list(expected)) == batch(other.events).payloads

    def test_a_content_that_nobody_is_known_to_name_is_kept_until_a_rebuild(self, store: Any) -> None:
        """As those of stores from before owners were noted: only the logs can tell who names them."""
        tape = rich_run()
        sent = batch(tape.events)
        store.append(Batch(payloads=sent.payloads, canonical=sent.canonical))
        store.append(sent)
        other = rich_run("other", "other")
        store.append(batch(other.events))
        owners = store.find(Query("payloads", columns=("run",), limit=len(sent.payloads))).rows
        assert {row["run"] for row in owners} == {None}
        store.rebuild()
        assert store.check() == []
        assert store.erase([tape.run], LATER).payloads == OWN
        late = rich_run("late", "late")
        sent = batch(late.events)
        store.append(Batch(payloads=sent.payloads, canonical=sent.canonical))
        store.append(sent)
        assert store.erase([late.run], LATER).payloads == 0
        assert set(store.fetch(list(sent.payloads))) == set(sent.payloads)
        assert store.check() == []

    def test_what_comes_with_events_that_are_stored_already_is_not_kept(self, store: Any) -> None:
        """Another text for an event that is there, and one that no event names: nobody could ever let go of them."""
        tape = rich_run("one", "first")
        store.append(batch(tape.events))
        before = dump(store)
        again = batch(rich_run("one", "second").events)
        assert store.append(again) == Appended(0, len(tape.events))
        assert dump(store) == before
        more = Tape("more")
        more.begin()
        said = more.say("user", {"role": "user", "content": "new"})
        mixed = batch(tape.events, more.events)
        loose = {digest(b"loose"): b"loose"}
        assert store.append(Batch(mixed.events, {**again.payloads, **loose, **mixed.payloads})).stored == said + 1
        rows = store.find(Query("payloads", columns=("id", "run"), limit=None)).rows
        assert [row["run"] for row in rows if row["run"] is None] == []
        assert len(rows) == len(before["payloads"]) + 1
        assert store.append(batch(rich_run("two", "third").events)).repeated == 0
        assert store.check() == []
        runs = [row["id"] for row in store.find(Query("runs", columns=("id",))).rows]
        store.erase(runs, LATER)
        assert store.find(Query("payloads")).rows == []

    @pytest.mark.parametrize("first", ["hash", "bytes"])
    def test_a_hash_alone_makes_no_user_of_bytes(self, store: Any, first: str) -> None:
        """Whichever came first: who told it neither fetches nor finds the bytes, and they go with their own run."""
        secret, told = rich_run("secret", "secret one", tenant="red"), Tape("told")
        sent = batch(secret.events)
        told.begin(tenant="blue")
        for event in sent.events:
            for name in FIELDS.get(type(event.body), ()):
                content = getattr(event.body, name)
                if content is not None and content.hash is not None:
                    bare = Content(hash=content.hash, size=content.size, level="hashed")
                    told.add(Note(name="n", data=bare))
                    told.add(MessageAppended(role="user", message=bare))
        hashed = Batch(told.events)
        for each in (hashed, sent) if first == "hash" else (sent, hashed):
            store.append(each)
        for _ in range(2):
            assert list(store.read(told.run)) == told.events
            assert store.fetch(list(sent.payloads), "blue") == {}
            assert store.fetch(list(sent.payloads), "red") == sent.payloads
            assert store.search("secret one", tenant="blue") == []
            own = {row["id"] for row in store.find(Query("payloads", columns=("id",), limit=None)).rows}
            assert len(own) == 2 * len(sent.payloads)
            assert len(store.named(tuple(own), "blue")) == len(store.named(tuple(own), "red")) == len(sent.payloads)
            assert store.check() == []
            store.rebuild()
        assert store.erase([secret.run], LATER).payloads == len(sent.payloads)
        assert store.fetch(list(sent.payloads)) == {}
        assert list(store.read(told.run)) == told.events
        assert store.check() == []
        store.erase([told.run], LATER)
        assert (store.find(Query("payloads")).rows, store.find(Query("nodes")).rows) == ([], [])

    def test_sessions_and_rollups_forget_the_run(self, store: Any) -> None:
        """A session shrinks, and goes with its last run; hours that were rolled up are again, without it."""
        first, last = call_run("first", session="s", user="ann"), call_run("last", session="s", user="bob")
        store.append(batch(first.events, last.events))
        store.refresh(LATER)
        rolled = Query("rollup_day", (Where("facet", "eq", "project"), Where("step", "eq", "llm")))
        assert [row["count"] for row in store.find(rolled).rows] == [2]
        store.erase([last.run], LATER)
        assert [(row["runs"], row["user"], row["llm_calls"]) for row in store.find(Query("sessions")).rows] == [
            (1, "ann", 1)
        ]
        assert store.refresh(LATER) == 1
        assert [row["count"] for row in store.find(rolled).rows] == [1]
        store.erase([first.run], LATER)
        assert store.refresh(LATER) == 1
        assert [store.find(Query(table)).rows for table in ("sessions", "rollup_day", "rollup_hour")] == [[], [], []]

    def test_an_audit_is_a_run_that_no_step_stands_for(self, store: Any) -> None:
        """It has a row, its end and its note; steps, roll-ups and what is open know nothing of it."""
        tape = Tape("audit")
        tape.begin("run_deleted", source="audit", tenant="acme", user="ann")
        tape.add(Note(name="run_deleted", data=inline('{"run":"r"}')))
        tape.finish("completed")
        store.append(batch(tape.events))
        run = store.find(Query("runs", (Where("source", "eq", "audit"),))).rows[0]
        assert {name: run[name] for name in _AUDITED} == _AUDITED
        assert [store.find(Query(table)).rows for table in (*OF_RUN, "dirty_hours")] == [[]] * (len(OF_RUN) + 1)
        before = dump(store, PROJECTIONS)
        store.rebuild()
        assert dump(store, PROJECTIONS) == before
        assert store.refresh(LATER) == 0
        assert store.check() == []

    @pytest.mark.parametrize("many", [1, 30])
    def test_room_is_given_back(self, store: Any, many: int) -> None:
        """Compacting an empty, a full and an erased store changes nothing that can be asked."""
        assert store.compact() >= 0
        tapes = [rich_run(f"run {number}", f"words of {number}" * 50) for number in range(many)]
        for tape in tapes:
            store.append(batch(tape.events))
        store.erase([tape.run for tape in tapes[:-1]], LATER)
        before = dump(store)
        assert store.compact() >= 0
        assert dump(store) == before
        store.append(batch(call_run().events))
        assert digest(b"nothing") not in store.fetch([digest(b"nothing")])
        assert store.check() == []


_NUMBERED = (("runs", "pk"), ("payloads", "id"), ("nodes", "id"))
_AUDITED = {
    "name": "run_deleted", "tenant": "acme", "user": "ann", "source": "audit", "status": "completed", "next_seq": 3,
    "duration_ns": 2_000_000, "steps": 0, "llm_calls": 0,
}  # fmt: skip
