from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tachograph.wire.sessions.claude_turns import Heard, Line, Reply, Turn, Turns
from tests.wire.samples import ClaudeLog, claude_odds


def _turns(log: ClaudeLog) -> list[Turn]:
    turns = Turns()
    found: list[Turn] = []
    for number, line in enumerate((line for line in log.lines if not line["isSidechain"]), 1):
        found += turns.feed(number, msgspec.json.decode(json.dumps(line).encode(), type=Line))
    last = turns.close()
    return [*found, last] if last is not None else found


@pytest.mark.parametrize(
    ("content", "fields", "kind"),
    [
        ("fix it", {}, "prompt"),
        ([{"type": "text", "text": "see"}, {"type": "image", "source": {}}], {}, "prompt"),
        ([{"type": "image", "source": {}}], {}, "prompt"),
        ("<b>bold</b>", {}, "prompt"),
        ("x", {"isMeta": True}, "meta"),
        ("x", {"isCompactSummary": True}, "summary"),
        ("[Request interrupted by user]", {}, "interrupt"),
        ("<command-message>review</command-message>", {}, "command"),
        ("<local-command-stdout>ok</local-command-stdout>", {}, "context"),
        ("<bash-input>ls</bash-input>", {}, "context"),
        ([{"type": "tool_result", "tool_use_id": "t"}, {"type": "text", "text": "more"}], {}, "result"),
    ],
)
def test_what_a_user_line_is(content: Any, fields: dict[str, Any], kind: str) -> None:
    """Only what a person typed is a prompt; the rest is told by marks, blocks and flags."""
    turns = _turns(ClaudeLog().user("go").call("Bash", {}, "t", "m").user(content, **fields).text("ok", "m2"))
    heard = [item for turn in turns for item in turn.items if isinstance(item, Heard) and item.number == 3]
    assert [item.kind for item in heard] == [kind]


def test_turns_end_where_the_next_begins() -> None:
    """Each prompt, and each command that is answered, begins a turn; what stood before it comes along."""
    turns = _turns(claude_odds())
    assert [(turn.number, turn.trigger and turn.trigger.kind) for turn in turns] == [
        (1, "prompt"),
        (6, "prompt"),
        (8, "prompt"),
        (17, "command"),
    ]
    assert [turn.concluded for turn in turns] == [True, True, True, True]
    assert [turn.interrupted for turn in turns] == [False, False, True, False]


def test_lines_of_a_message_are_one_reply() -> None:
    """Blocks of one id are in order, with the last usage and the stop reason that one of them has."""
    log = ClaudeLog().user("go").said({"type": "text", "text": "a"}, "m1", None, tokens=1)
    log.call("Bash", {}, "t1", "m1", tokens=9)
    (reply,) = [item for item in _turns(log)[0].items if isinstance(item, Reply)]
    assert [part.block.type for part in reply.parts] == ["text", "tool_use"]
    assert (reply.said.stop_reason, json.loads(bytes(reply.said.usage))["output_tokens"]) == ("tool_use", 9)
    assert reply.asks


def test_words_of_the_program_itself_are_no_reply() -> None:
    """A synthetic message that is no error is nobody's call."""
    silent = {"model": "<synthetic>", "id": "x", "content": [{"type": "text", "text": "No response requested."}]}
    (turn,) = _turns(ClaudeLog().user("go").text("done", "m1").add("assistant", message=silent))
    assert [type(item).__name__ for item in turn.items] == ["Heard", "Reply"]
