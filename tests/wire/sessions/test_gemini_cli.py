from __future__ import annotations

from typing import Any

import pytest

from tachograph.events.note import Note
from tachograph.events.usage import Usage
from tachograph.wire.sessions import gemini_cli
from tachograph.wire.sessions.draft import Origin, Problem, Recorded
from tests.wire.recordings import Facts
from tests.wire.samples import Record, encoded, gemini_chat, outcome, read, tools, transcript


def _lines(chat: Record) -> list[Record]:
    head = {key: value for key, value in chat.items() if key != "messages"}
    return [head, *chat["messages"]]


def test_a_user_message_is_a_run_and_a_reply_a_call() -> None:
    """Thoughts are output beside the candidates, cached tokens part of the input; tools come with their results."""
    first, second = read(gemini_cli.read, [gemini_chat()])
    start = Facts([first]).starts[0]
    assert (start.session, start.platform, start.input and start.input.value()) == ("chat-1", "gemini-cli", "read a")
    assert [(s.provider, s.model, end.usage) for s, end in Facts([first]).calls] == [
        ("google", "gemini-3-pro", Usage(input_uncached=30, cache_read=20, output=12, reasoning=7, basis="provider"))
    ] * 2
    response = [{"functionResponse": {"id": "g1", "name": "read_file", "response": {"output": "x"}}}]
    assert tools(first) == [("read_file", "g1", {"path": "a"}, "completed", response)]
    assert transcript(first) == [
        {"role": "user", "content": "read a"},
        {"role": "model", "content": "", "toolCalls": [{"id": "g1", "name": "read_file", "args": {"path": "a"}}]},
        {"role": "tool", "content": response},
        {"role": "model", "content": "it says x"},
    ]
    assert [outcome(run) for run in (first, second)] == [
        ("completed", "final_answer", "it says x"),
        ("failed", "provider_error", None),
    ]
    assert Facts([second]).starts[0].metadata.value()["continues"] == first.run
    assert [event.body.name for event in second.events if isinstance(event.body, Note)] == ["error"]


def test_a_line_for_each_change_tells_the_same() -> None:
    """The newer form, with updates and a rewind on the way, ends in the same runs as the document."""
    chat = gemini_chat()
    lines = _lines(chat)
    unfinished = {**lines[2], "toolCalls": None}
    lines[2:2] = [
        unfinished,
        {"$set": {"summary": "x"}},
        {"id": "u9", "type": "user", "content": "no"},
        {"$rewindTo": "u9"},
    ]
    whole, told = read(gemini_cli.read, [chat]), read(gemini_cli.read, lines)
    assert [run.events for run in told] == [run.events for run in whole]


def test_a_rewind_to_nowhere_drops_everything() -> None:
    """A rewind to a message that is not there leaves an empty chat, as the program itself takes it."""
    assert read(gemini_cli.read, [*_lines(gemini_chat()), {"$rewindTo": "unheard"}]) == []


@pytest.mark.parametrize(
    ("status", "state", "wanted"),
    [
        ("success", "completed", ("abandoned", "process_died", None)),
        ("error", "failed", ("abandoned", "process_died", None)),
        ("cancelled", "cancelled", ("cancelled", "user_cancel", None)),
        ("executing", "abandoned", ("abandoned", "process_died", None)),
    ],
)
def test_a_chat_that_ends_with_a_tool(status: str, state: str, wanted: tuple[str, str, Any]) -> None:
    """A tool the user stopped cancels the run; without an answer it is abandoned where the log ends."""
    chat = gemini_chat()
    chat["messages"] = chat["messages"][:2]
    chat["messages"][1]["toolCalls"][0]["status"] = status
    (run,) = read(gemini_cli.read, [chat])
    assert (tools(run)[0][3], outcome(run)) == (state, wanted)


def test_a_broken_line_is_reported_and_the_rest_goes_in() -> None:
    """A cut line and a message of no known shape are problems with their numbers."""
    lines: list[Any] = _lines(gemini_chat())
    lines[2:2] = [b'{"id": "x', {"id": 7, "type": "gemini"}]
    found = list(gemini_cli.read(encoded(lines), Origin("chat.jsonl")))
    assert [item.line for item in found if isinstance(item, Problem)] == [3, 4]
    assert [outcome(run)[1] for run in found if isinstance(run, Recorded)] == ["final_answer", "provider_error"]


def test_a_grown_chat_changes_nothing_that_was_told() -> None:
    """However far the lines are read, runs that a later message has ended are the same events, under the same ids."""
    lines = _lines(gemini_chat())
    whole = {run.run: run for run in read(gemini_cli.read, lines)}
    for end in range(1, len(lines)):
        told = read(gemini_cli.read, lines[:end])
        assert [run for run in told if not run.growing and run != whole[run.run]] == []
