from __future__ import annotations

from typing import Any

from tachograph.events.usage import Usage
from tachograph.wire.sessions import messages
from tachograph.wire.sessions.draft import Origin, Problem, Recorded
from tests.wire.recordings import Facts
from tests.wire.samples import anthropic_messages, encoded, openai_messages, outcome, read, tools, transcript


def test_all_shapes_of_a_conversation_tell_the_same() -> None:
    """An object with messages, an array of them, and one message a line: the same calls, tools and answer."""
    talk = openai_messages()
    for log in ([{"messages": talk}], [talk], talk):
        (run,) = read(messages.read, log)
        assert transcript(run) == talk
        assert tools(run) == [("add", "c1", {"a": 1, "b": 2}, "completed", "3")]
        assert outcome(run) == ("completed", "final_answer", "It is 3.")
        assert len(Facts([run]).calls) == 2


def test_each_conversation_is_one_run() -> None:
    """A line each: model and id are the conversation's, and tell its runs apart."""
    talk = {"messages": openai_messages(), "model": "gpt-4o-mini", "metadata": {"by": "ada"}}
    first, second, third = read(messages.read, [{**talk, "id": "a"}, {**talk, "id": "b"}, talk])
    assert len({first.run, second.run, third.run}) == 3
    assert {(start.provider, start.model) for start, _ in Facts([first]).calls} == {("openai", "gpt-4o-mini")}
    assert first.events[0].body.metadata.value() == {"by": "ada"}


def test_content_blocks_and_their_usage_are_read() -> None:
    """Anthropic's shape: tools inside the content, a failed result, what each reply used where it says so."""
    (run,) = read(messages.read, [anthropic_messages()])
    assert tools(run) == [("add", "u1", {"a": 1}, "failed", "no")]
    assert [(s.provider, end.usage) for s, end in Facts([run]).calls] == [
        ("anthropic", Usage(input_uncached=5, cache_read=100, cache_write=0, output=6, basis="provider")),
        ("anthropic", Usage()),
    ]
    assert outcome(run) == ("completed", "final_answer", "I cannot.")


def test_times_of_messages_are_used_where_they_have_them() -> None:
    """A call runs from the message before it to its own time; an earlier time does not turn the clock back."""
    talk = [
        {"role": "user", "content": "hi", "timestamp": 1_770_000_000},
        {"role": "assistant", "content": "hello", "timestamp": "2026-02-02T02:40:05Z"},
        {"role": "user", "content": "bye", "created_at": 1_770_000_001},
    ]
    (run,) = read(messages.read, talk)
    assert [event.mono // 10**9 for event in run.events] == [0, 0, 0, 5, 5, 5, 5]


def test_a_conversation_that_ends_with_the_user_is_abandoned() -> None:
    """Without an answer at its end nobody knows how it went on."""
    (run,) = read(messages.read, [openai_messages()[:3]])
    assert (outcome(run), run.growing) == (("abandoned", "process_died", None), True)
    assert tools(run)[0][3] == "abandoned"


def test_lines_that_are_no_messages_are_problems() -> None:
    """Each with its line; the rest is told."""
    log: list[Any] = [b"{", {"a": 1}, [3, {"role": "user", "content": "hi"}], {"messages": 5}, *openai_messages()]
    found = list(messages.read(encoded(log), Origin("chat.jsonl")))
    assert [item.line for item in found if isinstance(item, Problem)] == [1, 2, 3, 4]
    assert len([item for item in found if isinstance(item, Recorded)]) == 2
