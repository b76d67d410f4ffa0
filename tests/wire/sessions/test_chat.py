from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tachograph.wire.sessions import chat


def _message(value: Any) -> chat.Message:
    return msgspec.json.decode(json.dumps(value).encode(), type=chat.Message)


NESTED = {"id": "c", "function": {"name": "add", "arguments": '{"a": 1}'}}
FLAT = {"id": "c", "name": "add", "arguments": {"a": 1}}
BLOCK = {"type": "tool_use", "id": "c", "name": "add", "input": {"a": 1}}


@pytest.mark.parametrize(
    ("message", "call_id"),
    [
        ({"role": "assistant", "tool_calls": [NESTED]}, "c"),
        ({"role": "assistant", "tool_calls": [FLAT]}, "c"),
        ({"role": "assistant", "function_call": NESTED["function"]}, None),
        ({"role": "assistant", "content": [{"type": "text", "text": "well"}, BLOCK]}, "c"),
    ],
    ids=["OpenAI", "flat", "older", "blocks"],
)
def test_every_shape_of_a_tool_call_is_the_same(message: dict[str, Any], call_id: str | None) -> None:
    """Name, id and arguments as JSON, however the message spells them."""
    ((name, found, arguments),) = chat.asked(_message(message))
    assert (name, found, arguments and arguments.value()) == ("add", call_id, {"a": 1})


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ({"role": "tool", "tool_call_id": "c", "content": "3"}, [("c", "3", False)]),
        ({"role": "tool", "id": "c", "content": "no", "error": True}, [("c", "no", True)]),
        ({"role": "tool", "tool_call_ids": ["c"], "content": None}, [("c", None, False)]),
        ({"role": "function", "name": "add", "content": "3"}, [(None, "3", False)]),
        (
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "c", "content": "no", "is_error": True}],
            },
            [("c", "no", True)],
        ),
        ({"role": "user", "content": "3"}, []),
    ],
    ids=["OpenAI", "tau2", "SWE-agent", "older", "blocks", "none"],
)
def test_every_shape_of_a_tool_result_is_the_same(message: dict[str, Any], wanted: list[Any]) -> None:
    """Id, content and whether it failed."""
    found = [
        (item.call_id, item.result and item.result.value(), item.failed) for item in chat.answered(_message(message))
    ]
    assert found == wanted


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("It is 3.", "It is 3."),
        ("  ", None),
        (None, None),
        ([{"type": "text", "text": "It"}, {"type": "image"}, {"type": "text", "text": "is"}], "It\nis"),
        ([{"type": "text", "text": " "}], None),
        ([], None),
        (["loose", 3], None),
    ],
)
def test_the_words_of_a_message(content: Any, wanted: str | None) -> None:
    """Text, or the text parts together; blank is nothing."""
    found = chat.said(_message({"role": "assistant", "content": content}))
    assert (None if found is None else found.value()) == wanted


def test_an_outcome_needs_an_answer_at_the_end() -> None:
    """Only words of a model that ask for nothing complete a conversation."""
    answer = _message({"role": "assistant", "content": "done"})
    asking = _message({"role": "assistant", "content": "let me", "tool_calls": [NESTED]})
    user = _message({"role": "user", "content": "thanks"})
    assert [chat.outcome(last)[:2] for last in (answer, asking, user, None)] == [
        ("completed", "final_answer"),
        *[("abandoned", "process_died")] * 3,
    ]


def test_a_completion_says_what_the_call_was() -> None:
    """The first answer, its reason, and what LiteLLM counted."""
    raw = {
        "id": "r", "model": "litellm_proxy/gpt-4.1", "service_tier": "flex",
        "choices": [{"finish_reason": "stop", "message": {"role": "assistant"}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }  # fmt: skip
    completion = msgspec.json.decode(json.dumps(raw).encode(), type=chat.Completion)
    facts = completion.facts()
    assert (facts.pop("usage").total, facts) == (
        9,
        {"finish_reason": "stop", "served_model": "gpt-4.1", "served_tier": "flex", "response_id": "r"},
    )
    assert bytes(chat.Completion().message) == b"null"
    assert chat.Completion().facts()["usage"].basis == "missing"
