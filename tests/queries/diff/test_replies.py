from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from tachograph.queries.diff.replies import Reply, replies, reply_of
from tachograph.store.memory import MemoryStore
from tests.queries.diff.scenes import kept
from tests.strategies import Tape, json_values

ARGUMENTS = b'{"id":7,"since":1}'


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "Hm.", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"since": 1.0, "id": 7}'}}
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "What now?", "signature": "x"},
            {"type": "text", "text": "Hm."},
            {"type": "tool_use", "id": "toolu_2", "name": "find", "input": {"id": 7, "since": 1}},
        ]},
        {"role": "model", "parts": [
            {"text": "Hm."}, {"functionCall": {"name": "find", "args": {"id": 7, "since": 1}}}
        ]},
    ],
)  # fmt: skip
def test_a_reply_is_its_words_and_what_it_asks_for(message: dict[str, Any]) -> None:
    """Whatever the provider's shape, ids of calls and thoughts left out, arguments in one spelling."""
    found = reply_of(msgspec.json.encode(message))
    assert found == Reply("Hm.", (("find", ARGUMENTS),))
    assert found.shown() == 'Hm.\n→ find({"id":7,"since":1})'


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"no JSON", "no JSON"),
        (b"\xff", "\ufffd"),
        (b'"just text"', "just text"),
        (b'{"role":"tool","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}', "a\nb"),
        (b'{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":"7"}]}]}', "7"),
        (b'{"role":"assistant","content":[{"type":"refusal","refusal":"No."}]}', "No."),
        (b"7", ""),
        (b"[" * 5_000, "[" * 5_000),
    ],
)
def test_other_messages(message: bytes, text: str) -> None:
    """Results of tools, refusals, bare text, and what is no message at all."""
    assert reply_of(message) == Reply(text)


@given(json_values)
def test_no_message_is_too_odd(value: Any) -> None:
    """Any JSON has a reply, the same each time."""
    message = msgspec.json.encode(value)
    assert reply_of(message) == reply_of(message)


def test_messages_are_read_within_bounds() -> None:
    """The smallest first; what had no room is known by its payload's number, what is not there by nothing."""
    tape = Tape()
    tape.begin()
    for text in ("short", "long" * 100):
        call = tape.call()
        tape.reply(call, output=tape.say("assistant", {"role": "assistant", "content": text}, step=call))
    store = MemoryStore()
    kept(store, tape)
    read = replies(store, (1, 2, None, 99), most=150)
    assert read(1) == Reply("short")
    assert isinstance(read(2), int)
    assert (read(99), replies(store, ())(1)) == (None, None)
