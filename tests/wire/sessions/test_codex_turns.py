from __future__ import annotations

import json
from typing import Any

import msgspec

from tachograph.events.usage import MISSING
from tachograph.wire.sessions.codex_turns import Line, Logged, Reply, Turn, Turns
from tests.wire.samples import codex_count, codex_line, codex_session

ITEM, EVENT = "response_item", "event_msg"


def _turns(log: list[Any]) -> list[Turn]:
    turns = Turns()
    found: list[Turn] = []
    for number, record in enumerate(log, 1):
        raw = json.dumps(record).encode()
        found += turns.feed(number, msgspec.json.decode(raw, type=Line), raw)
    last = turns.close()
    return [*found, last] if last is not None else found


def _shape(turn: Turn) -> list[str]:
    return [f"reply of {len(item.items)}" if isinstance(item, Reply) else item.item.type or "" for item in turn.items]


def test_items_are_grouped_into_replies() -> None:
    """What follows each other is one reply; a tool's answer or a new total begins the next."""
    first, second = _turns(codex_session())
    assert _shape(first) == ["message", "reply of 2", "function_call_output", "reply of 1"]
    assert _shape(second) == ["message", "reply of 1"]
    assert (first.number, second.number, first.concluded, second.concluded) == (4, 13, True, True)


def test_a_total_that_does_not_grow_is_no_reply() -> None:
    """The same totals twice, and totals without any reply, change nothing."""
    words = codex_line(ITEM, 2, type="message", role="assistant", content="a")
    log = [codex_count(0, 9, 9), codex_line(EVENT, 1, type="user_message", message="go"), codex_count(1, 9, 9), words]
    (turn,) = _turns(log)
    assert [item.usage for item in turn.items if isinstance(item, Reply)] == [MISSING]


def test_what_stands_between_turns_belongs_to_the_next() -> None:
    """Context after an answer waits for the prompt it was made for."""
    context = codex_line(ITEM, 11, type="message", role="developer", content="be kind")
    log = [*codex_session(), context, codex_line(EVENT, 12, type="user_message", message="more")]
    turns = _turns(log)
    assert [item.item.role for item in turns[2].items if isinstance(item, Logged)] == ["developer", "user"]
    assert len(turns[1].items) == 2
