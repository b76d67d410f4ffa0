from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tachograph.cli.desk import shop
from tachograph.cli.draw import messages
from tachograph.events.content import inline
from tachograph.queries.runs import Filter, runs
from tachograph.queries.transcript import Said, Transcript, transcript
from tachograph.store.sqlite.store import SqliteStore


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"role": "user", "content": "hello"}, ["hello"]),
        ({"content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "b"}]}, ["a", "b"]),
        ({"content": [{"type": "tool_result", "content": [{"text": "c"}]}]}, ["c"]),
        ({"content": [{"type": "tool_use", "id": "1", "name": "look", "input": {"x": 1}}]}, ['→ look({"x":1})']),
        (
            {"content": None, "tool_calls": [{"id": "1", "function": {"name": "look", "arguments": '{"x":2}'}}]},
            ['→ look({"x":2})'],
        ),
        ({"parts": [{"text": "g"}, {"functionCall": {"name": "look", "args": {"x": 3}}}]}, ["g", '→ look({"x":3})']),
        ({"content": [{"type": "image", "source": "…"}]}, ['{"type":"image","source":"…"}']),
        ("just text", ["just text"]),
        (None, []),
        ({"role": "user"}, []),
    ],
)
def test_what_a_message_says_is_read_in_any_shape(message: Any, said: list[str]) -> None:
    """Texts, thoughts, results and requests are found where each provider puts them; nothing is left out."""
    assert list(messages.lines(message)) == said


def test_a_conversation_is_told_with_the_reply_marked(filled: Path) -> None:
    """Who speaks stands above what is said; the model's answer is marked as one."""
    store = SqliteStore(filled)
    run = runs(store, Filter(session="demo-evening", top=True)).runs[0]
    found = transcript(store, run.id)
    store.close()
    blocks = [text.plain for text in messages.draw(found)]
    assert blocks[0] == f"call {found.call} · claude-sonnet-4-5"
    assert blocks[1] == f"\nsystem\n{shop.EDITOR}"
    assert blocks[-1] == f"\nassistant answers\n{shop.note()[-1].text}"


def test_what_was_not_kept_or_is_no_json_is_told_too() -> None:
    """A message without its text says so; one that is no JSON is shown as it stands, its controls made visible."""
    content = inline("x")
    sent = (
        Said(1, "user", None, content),
        Said(2, "tool", "\x1b[2J{", content),
        Said(3, "user", '{"content":""}', content),
    )
    found = Transcript("run", None, None, sent, ())
    assert [text.plain for text in messages.draw(found)] == [
        "the whole conversation",
        "\nuser\n(not kept)",
        "\ntool\n␛[2J{",
        "\nuser\n(empty)",
    ]
    assert next(messages.as_json(found))["message"] is None
