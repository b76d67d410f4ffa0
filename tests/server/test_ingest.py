from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tachograph.errors import SequenceGap
from tachograph.events import codec
from tachograph.events.content import Content, digest, inline
from tachograph.events.envelope import Body, Event
from tachograph.events.message import MessageAppended
from tachograph.events.note import Loss, Note
from tachograph.events.run import RunStarted
from tachograph.events.tool import ToolEnded
from tachograph.events.usage import Usage
from tachograph.queries.events import events as events_of
from tachograph.server.bodies import PACKED
from tachograph.server.bodies import events_of as events_of_body
from tachograph.server.callers.access import LOCAL, Caller
from tachograph.server.ingest import Received, journal_of, take
from tachograph.server.problems import Refusal
from tachograph.server.service import Service
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Position, Store
from tachograph.store.query import Query
from tachograph.store.sqlite.store import SqliteStore
from tests.record.fakes import TOKENS
from tests.server.serving import service_over
from tests.strategies import Tape, bodies, json_values, runs, texts

JOURNAL = "019a0000-0000-7000-8000-000000000000"
ACME, OTHER = Caller("acme", "acme", "write"), Caller("other", "other", "write")
WRITER = Caller("writer", None, "write")


def send(service: Service, events: list[Event], caller: Caller = LOCAL, position: Position | None = None) -> Received:
    """Events, sent."""
    return take(service, caller, events, position, 1)


def refused(action: Callable[[], object]) -> tuple[int, str, str]:
    """Status, kind and parameter of the refusal."""
    with pytest.raises(Refusal) as caught:
        action()
    problem = caught.value.problem
    return problem.status, problem.type.rpartition(":")[2], problem.parameter


def tape(label: str = "one", **facts: Any) -> Tape:
    """A run with a message, a call and an end."""
    made = Tape(label)
    made.begin(**facts)
    call = made.call(input=made.say("user", {"role": "user", "content": "where is it?" * 100}))
    made.reply(call)
    made.finish()
    return made


def changed(event: Event, **facts: Any) -> list[Event]:
    """The event with other values, alone."""
    return [msgspec.structs.replace(event, **facts)]


def stored_by_hash(service: Service, run: str) -> str:
    """The hash by which a run names its first message."""
    bodies = (event.body for event in service.store.read(run))
    return next(body.message.hash or "" for body in bodies if isinstance(body, MessageAppended))


def stored(service: Service, run: str) -> list[Event]:
    """A run's events with their texts."""
    return list(events_of(service.store, run))


def test_events_are_stored_and_read_back(service: Service) -> None:
    """What was sent is what is read, but for the price that every ended call gets."""
    made = tape()
    assert send(service, made.events) == Received(5, 0, 0, True, {made.run: 5})
    found = stored(service, made.run)
    assert [event for event in found if event.seq != 3] == [event for event in made.events if event.seq != 3]
    assert found[3].body.cost is not None


def test_what_was_stored_before_is_not_stored_twice(service: Service) -> None:
    """The same batch again, or one that overlaps, adds what is new; the answer counts both."""
    made = tape()
    send(service, made.events[:3])
    assert send(service, made.events) == Received(2, 3, 0, True, {made.run: 5})
    assert send(service, made.events) == Received(0, 5, 0, True, {made.run: 5})
    assert [event.seq for event in stored(service, made.run)] == [0, 1, 2, 3, 4]


def test_a_gap_stores_nothing_at_all(service: Service) -> None:
    """Not even the events of other runs in the same request."""
    whole, holed = tape("whole"), tape("holed")
    with pytest.raises(SequenceGap) as caught:
        send(service, [*whole.events, *holed.events[:2], *holed.events[3:]])
    assert (caught.value.run, caught.value.expected, caught.value.found) == (holed.run, 2, 3)
    assert service.store.find(Query("runs")).rows == []


@settings(max_examples=40)
@given(runs(max_size=20), st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), max_size=8))
def test_any_run_in_any_pieces_is_stored_once(events: list[Event], pieces: list[tuple[int, int]]) -> None:
    """However a run is cut into requests, and whichever of them are repeated, the store has it once, in order."""
    service, texts = service_over(), Tape("texts")
    texts.begin()
    for role in ("user", "assistant", "tool"):
        for number in range(4):
            texts.say(role, {"role": role, "content": str(number)})
    send(service, texts.events)
    sent = counted = 0
    for back, size in (*pieces, (0, len(events))):
        piece = events[max(0, sent - back) : sent + size]
        answer = send(service, piece)
        assert (answer.stored + answer.repeated, answer.moved) == (len(piece), True)
        counted += answer.stored
        sent = min(sent + size, len(events))
    assert counted == len(events)
    assert [event.seq for event in stored(service, events[0].run)] == [event.seq for event in events]


# ---- what cannot be stored ------------------------------------------------------------------------------------------

FIRST = tape().events[0]
RUN = FIRST.run


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"run": "run-1"}, "is no run id"),
        ({"run": RUN.upper()}, "is no run id"),
        ({"run": f"{RUN[:-1]}1"}, "is no run id"),
        ({"run": f"{RUN[:14]}4{RUN[15:]}"}, "is no run id"),
        ({"run": f"{RUN}\n"}, "is no run id"),
        ({"seq": -1}, "is not between 0 and 4294967295"),
        ({"seq": 1 << 32}, "is not between 0 and 4294967295"),
        ({"step": 1}, "is not between 0 and the event's seq, 0"),
        ({"step": -1}, "is not between 0 and the event's seq, 0"),
        ({"at": -1}, "is no time in UTC nanoseconds"),
        ({"at": 1 << 62}, "is no time in UTC nanoseconds"),
        ({"mono": 1 << 61}, "is no reading of a clock"),
        ({"mono": -(1 << 61)}, "is no reading of a clock"),
        ({"seq": 1}, "run_started is event 0 of its run"),
        ({"body": Note(name="first")}, "event 0 of a run is run_started"),
        ({"body": RunStarted(name="a", execution_id="b", input=Content(level="secret"))}, "content of level 'secret'"),
        ({"body": RunStarted(name="a", execution_id="b", input=Content(hash="ff"))}, "is no BLAKE2b-256 in hex"),
        ({"body": RunStarted(name="a", execution_id="b", input=Content(size=-1))}, "is no number of bytes"),
    ],
)
def test_an_event_that_would_break_a_store_is_named(service: Service, facts: dict[str, Any], reason: str) -> None:
    """The refusal says which event of the request, and why; the one before it is not stored either."""
    other = tape("other")
    with pytest.raises(Refusal) as caught:
        send(service, [*other.events, *changed(FIRST, **facts)])
    problem = caught.value.problem
    assert (problem.status, problem.parameter, problem.facts) == (422, "line 6", {"line": 6})
    assert reason in problem.detail
    assert service.store.find(Query("runs")).rows == []


def test_the_largest_numbers_that_are_taken_can_be_kept(service: Service) -> None:
    """Clocks at both ends of what is allowed go through the store and back."""
    made = Tape("far")
    made.begin()
    made.add(Note(name="late"))
    made.add(Note(name="early"))
    clocks = ((0, (1 << 61) - 1), ((1 << 62) - 1, 1 - (1 << 61)), (0, (1 << 61) - 1))
    events = [
        msgspec.structs.replace(event, at=at, mono=mono) for event, (at, mono) in zip(made.events, clocks, strict=True)
    ]
    assert send(service, events).stored == 3
    assert stored(service, made.run) == events


def test_only_an_admin_writes_what_was_done_to_the_records(service: Service) -> None:
    """An audit run is refused from a writer, and taken from an admin, as when an export is read back."""
    audit = tape("audit", source="audit").events
    assert refused(lambda: send(service, audit, WRITER)) == (403, "scope-needed", "")
    assert send(service, audit).stored == 5


# ---- redaction and contents -----------------------------------------------------------------------------------------


def test_secrets_do_not_pass_the_gate(service: Service) -> None:
    """Wherever in an event a secret stands, the store has it masked; unknown types and fields are no way around."""
    secret = TOKENS["anthropic_key"][0]
    said = {"role": "user", "content": f"my key is {secret}"}
    made = Tape("leaky")
    made.begin(f"run {secret}", tags=(secret,), metadata=inline(msgspec.json.encode({"key": secret}).decode()))
    made.say("user", said)
    made.add(Note(name="unknown", data=inline(f'"{secret}"')))
    events = [*made.events]
    events[2] = msgspec.structs.replace(events[2], extra={"": {"later": secret}, "body": {"later": [secret]}})
    send(service, events)
    found = stored(service, made.run)
    assert secret not in repr(found)
    assert repr(found).count("[redacted:anthropic_key]") == 7
    assert found[1].body.message.redacted == {"anthropic_key": 1}


def test_what_a_client_redacted_is_still_counted(service: Service) -> None:
    """The marks of redaction on the sender's side are kept beside those of this side."""
    made = Tape("twice")
    made.begin()
    secret = TOKENS["github_token"][0]
    text = f'{{"role":"user","content":"[redacted:api_key] {secret}"}}'
    made.say("user", text)
    said: Any = made.events[1].body
    message = msgspec.structs.replace(said.message, redacted={"api_key": 1, "github_token": 2}, level="redacted")
    body = msgspec.structs.replace(said, message=message)
    send(service, [made.events[0], *changed(made.events[1], body=body)])
    kept: Any = stored(service, made.run)[1].body.message
    assert (dict(kept.redacted), kept.level) == ({"api_key": 1, "github_token": 3}, "redacted")


def test_a_content_may_be_named_if_its_bytes_are_there(service: Service) -> None:
    """Bytes of an earlier request or of the same one; those that are nowhere are refused, with the line."""
    first, text = tape("first"), '{"role":"user","content":"%s"}' % ("where is it?" * 100)
    again = Tape("again")
    again.begin()
    again.say("user", text, by_hash=True)
    assert refused(lambda: send(service, again.events)) == (422, "malformed-event", "line 2")
    assert send(service, [*again.events, *first.events]).stored == 7
    third = Tape("third")
    third.begin()
    third.say("user", text, by_hash=True)
    assert send(service, third.events).stored == 2
    assert stored(service, third.run)[1].body.message.text == text


def test_a_content_that_was_only_hashed_stays_so(service: Service) -> None:
    """At the levels that keep no text nothing needs to be there, and nothing is asked of it."""
    made = Tape("hashed")
    made.begin(input=Content(hash="ab" * 32, size=12, level="hashed"), metadata=Content(size=3, level="none"))
    assert send(service, made.events).stored == 1
    assert stored(service, made.run) == made.events


@pytest.mark.parametrize("level", ["full", "redacted", "pending", "none", "message", "hashed"])
@pytest.mark.parametrize("place", ["data", "message", "result"])
@pytest.mark.parametrize("sqlite", [False, True])
def test_no_name_gives_a_tenant_the_bytes_of_another(tmp_path: Path, place: str, level: str, sqlite: bool) -> None:
    """Whatever the level: it is refused, or tells nothing. The bytes go when their own runs do."""
    store: Store = SqliteStore(tmp_path / "t.db") if sqlite else MemoryStore()
    service = service_over(store, home=tmp_path)
    red, blue = tape("red"), Tape("blue")
    send(service, red.events, ACME)
    name = stored_by_hash(service, red.run)
    blue.begin()
    content = Content(hash=name, size=9, level=level)
    places: dict[str, Body] = {
        "data": Note(name="n", data=content),
        "message": MessageAppended(role="user", message=content),
        "result": ToolEnded(state="completed", result=content),
    }
    blue.add(places[place])
    if level != "hashed" and (place, level) != ("result", "message"):
        assert refused(lambda: send(service, blue.events, OTHER)) == (422, "malformed-event", "line 2")
        blue.events.pop()
    assert send(service, blue.events, OTHER).runs == {blue.run: len(blue.events)}
    hash = bytes.fromhex(name)
    assert (list(store.fetch([hash], "acme")), store.fetch([hash], "other")) == ([hash], {})
    assert store.search("where is it", tenant="other") == []
    blue.add(Note(name="n", data=Content(hash=name, size=9)))
    assert refused(lambda: send(service, blue.events[-1:], OTHER)) == (422, "malformed-event", "line 1")
    store.erase([red.run], 1)
    assert store.fetch([hash]) == {}
    assert store.check() == []
    store.close()


# ---- tenants --------------------------------------------------------------------------------------------------------


def test_events_belong_to_the_tenant_of_the_key(service: Service) -> None:
    """Whatever they say; a key for every tenant leaves them theirs."""
    mine, theirs = tape("mine", tenant="somebody"), tape("theirs", tenant="somebody")
    send(service, mine.events, ACME)
    send(service, theirs.events, WRITER)
    rows = service.store.find(Query("runs", columns=("id", "tenant"), order=("id",))).rows
    assert {row["id"]: row["tenant"] for row in rows} == {mine.run: "acme", theirs.run: "somebody"}
    assert stored(service, mine.run)[0].body.tenant == "acme"


def test_a_run_of_another_tenant_is_as_good_as_none(service: Service) -> None:
    """To go on with it is the same gap as for a run that nobody knows; to begin it is refused. Nothing changes."""
    made, unknown = tape("made"), tape("unknown")
    send(service, made.events[:3], ACME)
    told = []
    for events in (made.events[3:], unknown.events[3:]):
        with pytest.raises(SequenceGap) as caught:
            send(service, events, OTHER)
        told.append((caught.value.expected, caught.value.found))
    assert told == [(0, 3), (0, 3)]
    assert refused(lambda: send(service, made.events, OTHER)) == (403, "run-refused", "")
    assert send(service, made.events, ACME) == Received(2, 3, 0, True, {made.run: 5})


def test_who_is_refused_does_not_change_what_a_call_of_another_costs(service: Service) -> None:
    """A call's end is priced by its own start, whatever model a stranger says that it asked for."""
    made = Tape("priced")
    made.begin()
    call = made.call(model="gpt-4o", provider="openai")
    send(service, made.events, ACME)
    stranger = msgspec.structs.replace(made.events[call].body, model="gpt-4o-mini")
    with pytest.raises(SequenceGap):
        send(service, [msgspec.structs.replace(made.events[call], body=stranger)], OTHER)
    made.reply(call, usage=Usage(1_000, output=1_000, basis="provider"))
    send(service, made.events[-1:], ACME)
    alone = service_over()
    send(alone, made.events, ACME)
    costs = [each.store.find(Query("calls", columns=("cost_nano",))).rows for each in (service, alone)]
    assert costs[0] == costs[1]
    assert costs[0][0]["cost_nano"] > 0


def test_a_content_of_another_tenant_cannot_be_named(service: Service) -> None:
    """Its hash opens nothing: the answer is that for a hash that nobody knows."""
    first = tape("first")
    send(service, first.events, ACME)
    text = stored(service, first.run)[1].body.message.text
    assert text is not None
    told = []
    for hash in (digest(text.encode()).hex(), "ab" * 32):
        thief = Tape("thief")
        thief.begin(input=Content(hash=hash, size=1))
        with pytest.raises(Refusal) as caught:
            send(service, thief.events, OTHER)
        told.append(caught.value.problem.detail.replace(hash, "?"))
    assert told[0] == told[1]
    mine = Tape("mine")
    mine.begin(input=Content(hash=digest(text.encode()).hex(), size=1))
    assert send(service, mine.events, ACME).stored == 1


def test_a_run_whose_start_was_lost_still_has_an_owner(service: Service) -> None:
    """A loss in the first place becomes a start without a name, so that the rest of the run can follow."""
    made = tape("damaged")
    lost = changed(made.events[0], body=Loss(reason="damage", events=1))
    assert send(service, [*lost, *made.events[1:]], ACME).stored == 5
    row = service.store.find(Query("runs", columns=("tenant", "name", "status", "sanitized"))).rows[0]
    assert dict(row) == {"tenant": "acme", "name": "", "status": "completed", "sanitized": 1}
    whole = tape("whole")
    send(service, changed(whole.events[0], body=Loss(reason="damage", events=1)), WRITER)
    assert stored(service, whole.run)[0].body == Loss(reason="damage", events=1)


# ---- journals -------------------------------------------------------------------------------------------------------


def test_a_position_moves_with_its_events(service: Service) -> None:
    """Whoever comes second, with the same position or an older one, is told that it moved, and nothing is stored."""
    made = tape()
    first = Position(JOURNAL, 1, 700, (0, 0))
    assert send(service, made.events[:2], position=first) == Received(2, 0, 0, True, {made.run: 2})
    assert send(service, made.events, position=first) == Received(0, 0, 0, False, {made.run: 2})
    assert service.store.position(JOURNAL) == (1, 700)
    assert send(service, made.events[2:], position=Position(JOURNAL, 2, 512, (1, 700))).stored == 3
    assert service.store.position(JOURNAL) == (2, 512)


def test_a_gap_leaves_the_position_where_it_was(service: Service) -> None:
    """Both are one transaction."""
    with pytest.raises(SequenceGap):
        send(service, tape().events[1:], position=Position(JOURNAL, 1, 700, (0, 0)))
    assert service.store.position(JOURNAL) == (0, 0)


def test_each_tenant_has_journals_of_its_own(service: Service) -> None:
    """The same name is another journal for another tenant: none can move what it does not own."""
    assert (journal_of(ACME, JOURNAL), journal_of(LOCAL, JOURNAL)) == (f"acme/{JOURNAL}", JOURNAL)
    for caller in (ACME, OTHER, LOCAL):
        made = tape(caller.name)
        assert send(service, made.events, caller, Position(journal_of(caller, JOURNAL), 1, 9, (0, 0))).stored == 5


def test_a_journal_of_another_machine_is_known_as_such(service: Service) -> None:
    """So that nobody here ends its runs."""
    send(service, tape().events, position=Position(JOURNAL, 1, 700, (0, 0)))
    rows = service.store.find(Query("journals", columns=("id", "state", "seen_at"))).rows
    assert [dict(row) for row in rows] == [{"id": JOURNAL, "state": "remote", "seen_at": 1}]


def test_erased_runs_take_nothing_and_say_so(service: Service) -> None:
    """Events that come late are dropped, whatever their seq, and the run is not in the answer."""
    made, other = tape("made"), tape("other")
    send(service, made.events[:2])
    service.store.erase([made.run], 5)
    assert send(service, [*made.events[2:], *other.events]) == Received(5, 0, 3, True, {other.run: 5})


def test_writers_that_come_all_at_once_are_all_served(service: Service) -> None:
    """Eight threads send runs of their own; every event is stored once."""
    tapes = [[tape(f"{writer}-{number}") for number in range(10)] for writer in range(8)]
    answers: list[Received] = []

    def write(mine: list[Tape]) -> None:
        answers.extend(send(service, each.events) for each in mine)

    threads = [threading.Thread(target=write, args=(mine,)) for mine in tapes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [answer.stored for answer in answers] == [5] * 80
    assert service.store.facts()["events"] == 400


# ---- anything at all ------------------------------------------------------------------------------------------------

_numbers = itertools.count()
_edges = st.sampled_from((0, 1, 2, -1, 2**31, 2**32, 2**61, 2**62, 2**63 - 1, -(2**63)))
_clocks = st.sampled_from(((0, 0), ((1 << 62) - 1, 1 - (1 << 61)), (0, (1 << 61) - 1)))
_extras = st.none() | st.fixed_dictionaries({"": st.dictionaries(texts, json_values, max_size=2)})


@settings(max_examples=100)
@given(st.builds(Event, st.sampled_from((RUN, "run")), _edges, _edges, _edges, _edges, bodies, _extras))
def test_an_event_of_any_shape_is_stored_or_refused(event: Event) -> None:
    """Whatever its numbers are, nothing fails."""
    with contextlib.suppress(Refusal, SequenceGap):
        send(service_over(), events_of_body(codec.encode_all([event]), {"content-type": PACKED}))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(bodies, _clocks, _extras), min_size=1, max_size=4), st.sampled_from((LOCAL, ACME)))
def test_a_run_with_any_events_can_be_read_again(
    service: Service, parts: list[tuple[Any, tuple[int, int], Any]], caller: Caller
) -> None:
    """Any values that the fields of an event may have go through the store and come back, or are malformed."""
    run = tape(f"any {next(_numbers)}").run
    events = [msgspec.structs.replace(FIRST, run=run)]
    for seq, (body, (at, mono), extra) in enumerate(parts, 1):
        events.append(Event(run, seq, at, mono, seq // 2, body, extra))
    try:
        send(service, events_of_body(codec.encode_all(events), {"content-type": PACKED}), caller)
    except Refusal as refusal:
        malformed = refusal.problem.status == 422
    else:
        malformed = False
        found = stored(service, run)
        assert [(event.seq, type(event.body)) for event in found] == [(event.seq, type(event.body)) for event in events]
        codec.encode_all(found)
    assert malformed or service.store.next_seq(run) == len(events)


def test_events_of_a_run_that_was_taken_over_are_not_stored(service: Service) -> None:
    """The answer says how many they were; the journal moves on."""
    made = Tape()
    made.begin(owner=JOURNAL)
    made.finish("failed")
    assert send(service, made.events, WRITER, Position(JOURNAL, 1, 9)).stored == 2
    made.resume("another")
    assert send(service, made.events[2:]).stored == 1
    late = [msgspec.structs.replace(made.events[1], seq=seq, body=Note(name="late")) for seq in (2, 3)]
    found = send(service, late, WRITER, Position(JOURNAL, 1, 20, (1, 9)))
    assert found == Received(0, 0, 0, True, {made.run: 3}, 2)
    assert stored(service, made.run) == made.events
