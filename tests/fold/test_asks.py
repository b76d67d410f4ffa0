from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tachograph.fold.asks import Answer, Ask, answers, asks
from tests.strategies import json_values

ASKS: dict[str, tuple[Any, tuple[Ask, ...]]] = {
    "openai chat": (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q":1}'}},
                {"id": "c2", "type": "custom", "custom": {"name": "grep", "input": "foo"}},
            ],
        },
        (Ask("c1", "search", '{"q":1}'), Ask("c2", "grep", "foo")),
    ),
    "openai before tool calls": (
        {"role": "assistant", "function_call": {"name": "search", "arguments": "{}"}},
        (Ask(None, "search", "{}"),),
    ),
    "flat tool calls": (
        {"role": "assistant", "tool_calls": [{"id": "c1", "name": "search", "arguments": {"q": 1}}]},
        (Ask("c1", "search", {"q": 1}),),
    ),
    "openai responses": (
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "search", "arguments": "{}"},
        (Ask("c1", "search", "{}"),),
    ),
    "openai responses, a tool without a name": (
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "c1", "action": {"command": ["ls"]}},
        (Ask("c1", "local_shell_call", {"command": ["ls"]}),),
    ),
    "anthropic": (
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "let me see"},
                {"type": "tool_use", "id": "t1", "name": "search", "input": {"q": 1}},
                {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
            ],
        },
        (Ask("t1", "search", {"q": 1}),),
    ),
    "gemini": (
        {"role": "model", "parts": [{"text": "hm"}, {"functionCall": {"name": "search", "args": {"q": 1}}}]},
        (Ask(None, "search", {"q": 1}),),
    ),
    "gemini, python spelling, with id": (
        {"role": "model", "parts": [{"function_call": {"id": "g1", "name": "search", "args": {}}, "text": None}]},
        (Ask("g1", "search", {}),),
    ),
    "bedrock": (
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "b1", "name": "search", "input": {}}}]},
        (Ask("b1", "search", {}),),
    ),
    "ai sdk": (
        {"role": "assistant", "content": [{"type": "tool-call", "toolCallId": "v1", "toolName": "search", "args": 1}]},
        (Ask("v1", "search", 1),),
    ),
    "opentelemetry": (
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "o1", "name": "search", "arguments": {}}]},
        (Ask("o1", "search", {}),),
    ),
    "no message": ([{"type": "tool_use", "id": "t1"}], ()),
    "text that looks like it": ({"role": "user", "content": '{"tool_calls": []}', "tool_calls": "none"}, ()),
}

ANSWERS: dict[str, tuple[Any, tuple[Answer, ...]]] = {
    "openai chat": ({"role": "tool", "tool_call_id": "c1", "content": "4"}, (Answer("c1", None),)),
    "openai before tool calls": ({"role": "function", "name": "search", "content": "4"}, (Answer(None, "search"),)),
    "flat tool message": ({"role": "tool", "id": "c1", "content": "4"}, (Answer("c1", None),)),
    "ollama": ({"role": "tool", "tool_name": "search", "content": "4"}, (Answer(None, "search"),)),
    "openai responses": ({"type": "function_call_output", "call_id": "c1", "output": "4"}, (Answer("c1", None),)),
    "anthropic": (
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "4", "is_error": False},
                {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "5"}]},
                {"type": "text", "text": "go on"},
            ],
        },
        (Answer("t1", None), Answer("t2", None)),
    ),
    "gemini": (
        {"role": "user", "parts": [{"functionResponse": {"name": "search", "response": {"result": 4}}}]},
        (Answer(None, "search"),),
    ),
    "bedrock": ({"role": "user", "content": [{"toolResult": {"toolUseId": "b1"}}]}, (Answer("b1", None),)),
    "ai sdk": (
        {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "v1", "toolName": "search"}]},
        (Answer("v1", "search"),),
    ),
    "opentelemetry": (
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "o1", "response": 4}]},
        (Answer("o1", None),),
    ),
    "no message": (None, ()),
    "a user": ({"role": "user", "content": "4"}, ()),
}


@pytest.mark.parametrize("shape", ASKS)
def test_tool_calls_are_found_in_every_shape(shape: str) -> None:
    """A reply in any provider's shape tells which tools it asks for, with id, name and arguments, and answers none."""
    message, wanted = ASKS[shape]
    assert (asks(message), answers(message)) == (wanted, ())


@pytest.mark.parametrize("shape", ANSWERS)
def test_tool_results_are_found_in_every_shape(shape: str) -> None:
    """A message that carries tool results tells which calls they answer, and asks for nothing."""
    message, wanted = ANSWERS[shape]
    assert (answers(message), asks(message)) == (wanted, ())


@given(json_values)
def test_any_value_may_stand_where_a_message_should(value: Any) -> None:
    """Values of any shape, in place of a message, its parts or its fields, hold no tool calls and break nothing."""
    broken = (value, {"role": "tool", "content": value}, {"parts": [{"functionCall": {"id": value, "name": value}}]})
    assert [len(asks(each)) for each in broken] == [0, 0, 1]
    assert [len(answers(each)) for each in broken] == [0, 1, 0]
