from __future__ import annotations

from typing import Any

import pytest

from tachograph.events.content import Content
from tachograph.events.message import MessageAppended
from tachograph.events.run import Failure
from tachograph.queries.logs import said
from tachograph.queries.logs.said import SILENCE, Spoken, Words, words
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.strategies import Tape


def _told(store: Store, tape: Tape, calls: list[int], each: int = 1_000) -> Words:
    store.append(batch(tape.events))
    return words(store, {1: tape.run}, [(1, call) for call in calls], each)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ({"role": "user", "content": "What is AI?"}, "What is AI?"),
        ("What is AI?", "What is AI?"),
        ({"role": "assistant", "content": "Art.", "refusal": None, "annotations": []}, "Art."),
        ({"role": "user", "content": ""}, ""),
        ({"role": "user", "content": "x", "name": "Ada"}, '[{"role":"user","content":"x","name":"Ada"}]'),
        ({"role": "user", "content": [{"text": "x"}]}, '[{"role":"user","content":[{"text":"x"}]}]'),
        ({"content": None}, '[{"content":null}]'),
        (7, "[7]"),
    ],
    ids=str,
)
def test_one_message(store: Store, message: Any, shown: str) -> None:
    """A message that is nothing but words is these words; any other is a JSON array with it."""
    tape = Tape()
    tape.begin()
    encoded = f'"{message}"' if isinstance(message, str) else message
    call = tape.call(input=tape.say("user", encoded))
    tape.reply(call)
    assert _told(store, tape, [call]).spoken == {(1, call): Spoken(shown, None)}


def _talk() -> tuple[Tape, int, int]:
    """Two calls of one conversation."""
    tape = Tape("talk")
    tape.begin()
    system = tape.say("system", '{"role":"system","content":"Be brief."}')
    question = tape.say("user", '{"role":"user","content":"Why?"}', system)
    first = tape.call(input=question)
    answer = tape.say("assistant", '{"role":"assistant","content":"So."}', question, step=first)
    tape.reply(first, output=answer)
    more = tape.say("user", '"And?"', answer)
    return tape, first, tape.call(input=more)


def test_a_conversation(store: Store) -> None:
    """Several messages are the JSON array of them as they were recorded; an open call has no response yet."""
    tape, first, second = _talk()
    sent = '{"role":"system","content":"Be brief."},{"role":"user","content":"Why?"}'
    came = '{"role":"assistant","content":"So."}'
    assert _told(store, tape, [second, first]) == Words(
        {(1, first): Spoken(f"[{sent}]", "So."), (1, second): Spoken(f'[{sent},{came},"And?"]', None)}, {}
    )


def test_words_are_cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words beyond the bound are cut and said to be; when the answer is full, later calls have none."""
    tape, first, second = _talk()
    long = '[{"role":"system","content":"Be brief."},{"role":"user","content":"Why?"}'
    told = _told(store, tape, [first, second], 50)
    assert told.spoken == {
        (1, first): Spoken(f"{long[:50]}…", "So.", ("prompt",)),
        (1, second): Spoken(f"{long[:50]}…", None, ("prompt",)),
    }
    monkeypatch.setattr(said, "TOGETHER_BYTES", 50)
    told = words(store, {1: tape.run}, [(1, first), (1, second)], 1_000)
    assert told.spoken == {
        (1, first): Spoken(f"{long[:50]}…", None, ("prompt", "response")),
        (1, second): Spoken(None, None, ("prompt",)),
    }


def test_a_cut_between_messages(store: Store) -> None:
    """What ends exactly with a message goes on behind it, and shows that."""
    tape, first, _ = _talk()
    assert _told(store, tape, [first], 39).spoken[1, first].prompt == '[{"role":"system","content":"Be brief."…'
    assert words(store, {1: tape.run}, [(1, first)], 40).spoken[1, first].prompt == (
        '[{"role":"system","content":"Be brief."}…'
    )


def test_what_was_not_kept(store: Store) -> None:
    """A message whose text was not kept is null among others, and nothing where it stands alone."""
    tape = Tape("hidden")
    tape.begin()
    hidden = tape.add(MessageAppended(role="user", message=Content(hash="ab" * 32, size=4, level="hashed")))
    alone = tape.call(input=hidden)
    more = tape.say("user", '"x"', hidden)
    both = tape.call(input=more)
    assert _told(store, tape, [alone, both]).spoken == {
        (1, alone): Spoken(None, None), (1, both): Spoken('[null,"x"]', None),
    }  # fmt: skip


def test_a_call_whose_start_was_lost(store: Store) -> None:
    """Of a call without its start nothing is known that was sent, and what came back is told."""
    tape = Tape("lost")
    tape.begin()
    answer = tape.say("assistant", '"late"')
    tape.reply(1, output=answer)
    assert _told(store, tape, [1]).spoken == {(1, 1): Spoken(None, "late")}


def test_tracebacks(store: Store) -> None:
    """Every error that says where it came from does so, by the step it ended: runs, calls, tools and steps."""
    tape = Tape("errors")
    tape.begin()
    call, tool, step = tape.call(), tape.tool(), tape.step()
    tape.reply(call, "failed", error=Failure("A", traceback="a"))
    tape.result(tool, state="failed", error=Failure("B", traceback="b"))
    tape.done(step, "failed", error=Failure("C"))
    tape.finish("failed", error=Failure("D", traceback="d"))
    assert _told(store, tape, []) == Words({}, {(1, call): "a", (1, tool): "b", (1, 0): "d"})


def test_nothing_to_tell(store: Store) -> None:
    """Without runs nothing is read and nothing said."""
    assert words(store, {}, [], 10) == SILENCE
