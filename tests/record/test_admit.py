"""The gate of the store: redaction, prices and content, whatever way an event came."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from tachograph.events import codec
from tachograph.events.call import CallEnded, CallStarted
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
