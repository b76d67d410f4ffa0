"""The gate of the store: redaction, prices and content, whatever way an event came."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from tachograph.events import codec, ids
from tachograph.events.call import CallEnded, CallMetered, CallStarted
from tachograph.events.content import Content, canonical_hash, digest, inline
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note, Unknown
from tachograph.events.run import Failure, RunStarted, StepEnded
from tachograph.events.tool import ToolEnded
from tachograph.events.usage import Cost, Usage
from tachograph.record.admit import Admitter, Asked
from tachograph.record.scrub import Scrubber
from tests.strategies import any_runs

KEY = "sk-proj-" + "a1B2c3D4" * 6
PRICED = Cost("priced", 1, 2, 3)


def priced(asked: Asked, ended: CallEnded, at: int) -> Cost:
    """A price that says what it was asked."""
    return Cost("priced", 1, 2, 3, price_id=f"{asked.provider}/{asked.model}@{at}")


def admitter(**settings: object) -> Admitter:
    """A gate with these redaction settings."""
    return Admitter(Scrubber(**settings), priced)  # type: ignore[arg-type]


def event(body: object, seq: int = 1, step: int = 0) -> Event:
    """An event at second 7."""
    return Event("run", seq, 7, 7, step, body)  # type: ignore[arg-type]


def test_messages_always_leave_their_event() -> None:
    """However small, a message is stored once by hash, with the hash of its canonical form beside it."""
    text = '{"role":"user","content":"hi"}'
    batch = admitter().admit([event(MessageAppended(role="user", message=inline(text)))], scrubbed=True)
    name = digest(text.encode())
    assert batch.events[0].body == MessageAppended(role="user", message=Content(hash=name.hex(), size=len(text)))
    assert (batch.payloads, batch.canonical) == ({name: text.encode()}, {name: canonical_hash(text)})


@pytest.mark.parametrize(("size", "inside"), [(510, True), (511, False)])
def test_other_content_leaves_above_the_inline_size(size: int, inside: bool) -> None:
    """512 bytes of JSON stay in the event, 513 go to the payloads."""
    text = '"' + "x" * size + '"'
    batch = admitter().admit([event(StepEnded(status="completed", output=inline(text)))], scrubbed=True)
    body = batch.events[0].body
    assert isinstance(body, StepEnded)
    assert body.output is not None
    assert ((body.output.text == text), (digest(text.encode()) in batch.payloads)) == (inside, not inside)


def test_a_result_that_stands_in_the_transcript_is_not_stored_again() -> None:
    """Its hash stays for comparing, its bytes only in the message."""
    ended = ToolEnded(state="completed", result=inline('"' + "x" * 999 + '"'), message=4)
    batch = admitter().admit([event(ended)], scrubbed=True)
    body = batch.events[0].body
    assert isinstance(body, ToolEnded)
    assert body.result is not None
    assert (body.result.level, body.result.size, body.result.text, dict(batch.payloads)) == ("message", 1001, None, {})


def test_what_comes_from_outside_is_redacted_in_every_place() -> None:
    """Content, names, tags, ids, errors, notes and fields of unknown events: no sink ever sees the key."""
    found = admitter().admit(
        [
            event(RunStarted(name=KEY, execution_id="exec_1", tags=(KEY,), user=KEY, input=inline(f'"{KEY}"')), 0),
            event(MessageAppended(role="user", message=inline(f'{{"content":"{KEY}"}}'))),
            event(StepEnded(status="failed", error=Failure("E", f"bad key {KEY}", traceback=KEY))),
            event(Note(name="n", data=inline(f'"{"x" * 600} {KEY}"'))),
            event(Unknown("new", {"a": [KEY]})),
        ],
        scrubbed=False,
    )
    seen = b"".join([*map(codec.to_json, found.events), *found.payloads.values()])
    assert KEY.encode() not in seen
    assert seen.count(b"[redacted:openai_key]") == 9


def test_what_our_recorder_left_pending_is_redacted_here() -> None:
    """With scrubbing in the drain the journal's text is marked; nothing of ours is scrubbed twice."""
    pending = Content(text=f'"{KEY}"', size=9, level="pending")
    bodies = [Note(name="a", data=pending), Note(name="b", data=inline(f'"{KEY}"'))]
    batch = admitter().admit([event(body) for body in bodies], scrubbed=True)
    assert [found.body.data.text for found in batch.events] == ['"[redacted:openai_key]"', f'"{KEY}"']


def test_calls_are_priced_by_what_was_asked_and_how_it_ended() -> None:
    """The start may be in another batch, or only in the store; a cost that is there already stays."""
    asked = {("run", 9): Asked("google", "g", None)}
    gate = Admitter(Scrubber(), priced, lambda run, step: asked.get((run, step)))
    gate.admit([event(CallStarted(provider="openai", model="m"), 1, 1)], scrubbed=True)
    batch = gate.admit(
        [
            event(CallEnded(status="completed", usage=Usage(1, basis="provider")), 2, 1),
            event(CallEnded(status="completed"), 3, 9),
            event(CallEnded(status="completed", served_model="s"), 4, 17),
            event(CallEnded(status="completed", cost=PRICED), 5, 18),
        ],
        scrubbed=True,
    )
    assert [found.body.cost.price_id for found in batch.events] == ["openai/m@7", "google/g@7", "/s@7", ""]


def test_late_usage_is_priced_as_at_the_end_of_its_call() -> None:
    """By what served the call, at the prices of its last day, from memory or from the store; a stated cost stays."""
    stored = {("run", 9): Asked("google", "g-served", "batch", 5), ("run", 12): Asked("google", "open", None)}
    gate = Admitter(Scrubber(), priced, lambda run, step: stored.get((run, step)))
    gate.admit([event(CallStarted(provider="openai", model="m"), 1, 1)], scrubbed=True)
    gate.admit([event(CallEnded(status="completed", served_model="m-served"), 2, 1)], scrubbed=True)
    late = [
        Event("run", 3 + n, 99, 99, call, CallMetered(call=call, usage=Usage(1)))
        for n, call in enumerate((1, 9, 12, 50))
    ]
    batch = gate.admit([*late, event(CallMetered(call=1, usage=Usage(1), cost=PRICED), 9, 1)], scrubbed=True)
    assert [found.body.cost.price_id for found in batch.events] == [
        "openai/m-served@7", "google/g-served@5", "google/open@99", "/@99", "",
    ]  # fmt: skip


def test_a_grouping_id_is_redacted_unless_it_was_made_here() -> None:
    """A program may group by anything; what we made is a number and a time, and must stay findable."""
    made = ids.execution_id(1_750_000_000_000_000_000, ids.run_id(1, b"abcdef"))
    gate = admitter(redact=("phone",))
    batch = gate.admit([event(RunStarted(name="n", execution_id=text), 0) for text in (made, KEY)], scrubbed=False)
    assert [found.body.execution_id for found in batch.events] == [made, "[redacted:openai_key]"]


@pytest.mark.parametrize("level", ["none", "hashed", "redacted", "full"])
def test_every_capture_level_keeps_what_it_says(level: str) -> None:
    """none: nothing; hashed: a keyed hash; redacted and full: text, with or without addresses."""
    text = '{"role":"user","content":"write to joe@example.com"}'
    gate = admitter(level=level, key=b"k")
    batch = gate.admit([event(MessageAppended(role="user", message=inline(text)))], scrubbed=False)
    message = batch.events[0].body.message
    kept = [data.decode() for data in batch.payloads.values()]
    assert (message.level, message.hash is None, kept) == {
        "none": ("none", True, []),
        "hashed": ("hashed", False, []),
        "redacted": ("redacted", False, ['{"role":"user","content":"write to [redacted:email]"}']),
        "full": ("full", False, [text]),
    }[level]
    assert (message.hash == digest(text.encode()).hex()) == (level == "full")


@given(any_runs)
def test_any_events_pass_and_keep_their_place(events: list[Event]) -> None:
    """Whatever comes in, as many events come out, in order; what they name by hash is among the payloads."""
    batch = admitter().admit(events, scrubbed=False)
    assert [(found.run, found.seq, type(found.body)) for found in batch.events] == [
        (given_.run, given_.seq, type(given_.body)) for given_ in events
    ]
    assert all(digest(data) == name for name, data in batch.payloads.items())
    for found in batch.events:
        if isinstance(found.body, MessageAppended) and found.body.message.level == "full":
            assert found.body.message.text is None
    msgspec.msgpack.encode([found for found in batch.events if not isinstance(found.body, Unknown)])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"a":"\\ud800"}', '{"a":"\\ufffd"}'),
        ("not json", '"not json"'),
        ("[" * 200 + "]" * 200, None),
        ('{"b":1,  "a":2}', '{"b":1,  "a":2}'),
    ],
)
def test_foreign_json_that_would_poison_a_reader_is_mended(text: str, kept: str | None) -> None:
    """Lone surrogates, text that is no JSON, endless depth; what is sound stays byte for byte."""
    batch = admitter().admit([event(Note(name="n", data=inline(text)))], scrubbed=False)
    body = batch.events[0].body
    assert isinstance(body, Note)
    assert body.data is not None
    assert body.data.value() is not None
    if kept is not None:
        assert body.data.value() == msgspec.json.decode(kept)


def test_fields_of_a_later_version_are_redacted_too() -> None:
    """What is kept aside for a reader who knows it may hold a secret as well; from our recorder it is left alone."""
    aside = {"": {"later": KEY}, "body": {"more": [KEY]}}
    told = Event("run", 1, 7, 7, 0, Note(name="n"), aside)
    (outside,) = admitter().admit([told], scrubbed=False).events
    (ours,) = admitter().admit([told], scrubbed=True).events
    masked = "[redacted:openai_key]"
    assert (outside.extra, ours.extra) == ({"": {"later": masked}, "body": {"more": [masked]}}, aside)


def test_what_was_redacted_elsewhere_is_still_counted() -> None:
    """The counts of both sides add up, and the level of the stricter side stays."""
    sent = Content(text=f'"[redacted:jwt] {KEY}"', size=9, redacted={"jwt": 1, "openai_key": 2}, level="redacted")
    for level, kept in (("full", "redacted"), ("redacted", "redacted"), ("none", "none")):
        (found,) = admitter(level=level).admit([event(Note(name="n", data=sent))], scrubbed=False).events
        assert found.body.data.level == kept
    (found,) = admitter().admit([event(Note(name="n", data=sent))], scrubbed=False).events
    assert found.body.data.redacted == {"jwt": 1, "openai_key": 3}


def test_a_price_may_be_left_to_who_comes_after() -> None:
    """As where another server stores the events."""
    gate = Admitter(Scrubber(), lambda asked, ended, at: None)
    ended, metered = CallEnded(status="completed"), CallMetered(call=1, usage=Usage())
    batch = gate.admit([event(ended, 2, 1), event(metered, 3, 1)], scrubbed=True)
    assert [found.body for found in batch.events] == [ended, metered]


def test_a_text_outside_any_event_is_masked() -> None:
    """Reasons and details of losses come from outside, too."""
    assert admitter().plain(f"near {KEY}") == "near [redacted:openai_key]"
