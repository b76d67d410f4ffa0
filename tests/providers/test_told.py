"""What is recorded of a request and of what came of it."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from tachograph.errors import ModelError
from tachograph.events.chat import assistant, user
from tachograph.events.usage import Usage
from tachograph.providers import models, told
from tachograph.providers.port import Exchange, Params, Reply, Request, Thinking, ToolSpec
from tachograph.providers.scripted import ScriptedModel
from tachograph.record.intent import LLMCall
from tachograph.record.step import CallStep

PORT = ScriptedModel([])
EXCHANGE = Exchange(method="POST", url="http://a/b", status=429, request_id="r2", retry_after=1.5)
SAID = {
    "method": "POST", "url": "http://a/b", "status": 429, "request_id": "r2", "headers": {}, "rates": (),
    "retry_after": 1.5, "sent": 0, "received": 0, "first_byte_ns": None, "duration_ns": 0, "error": "",
}  # fmt: skip


def request(**facts: Any) -> Request:
    """A request of one message."""
    return Request(messages=(user("x"),), **facts)


def facts(call: CallStep) -> dict[str, Any]:
    """What a call was told."""
    names = (
        "usage", "finish_reason", "served_model", "served_tier", "response_id", "request_id", "http_status",
        "reported_cost", "metadata", "sent",
    )  # fmt: skip
    return {name: value for name in names if (value := getattr(call, name)) is not None}


def test_what_is_not_said_is_not_recorded() -> None:
    """A bare request has no parameters."""
    assert told.params_of(PORT, request()) == {}


def test_every_parameter_is_recorded_but_no_header_s_value() -> None:
    """In the words of OpenAI chat completions; fields of the body that have no name here as they are."""
    params = Params(
        temperature=0.5, top_p=0.9, seed=7, stop=("END",), thinking=Thinking("low", 99), tier="flex",
        parallel_tool_calls=False, extra={"top_k": 3}, headers={"x-key": "secret", "accept": "a"},
    )  # fmt: skip
    asked = request(
        max_tokens=5, params=params, tools=(ToolSpec("t"),), tool_choice="required", output_schema={"type": "object"}
    )
    assert told.params_of(PORT, asked) == {
        "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["END"], "service_tier": "flex",
        "parallel_tool_calls": False, "thinking": {"effort": "low", "budget": 99}, "tool_choice": "required",
        "output_schema": {"type": "object"}, "headers": ["accept", "x-key"], "top_k": 3,
    }  # fmt: skip


def test_the_model_s_own_configuration_is_sent_too() -> None:
    """Under what the request says."""
    config = models.config_of(
        "gpt-4o", provider="openai", params={"temperature": 0.1, "top_k": 3}, headers={"x-a": "secret"}
    )
    port: Any = SimpleNamespace(config=config)
    assert told.params_of(port, request()) == {"temperature": 0.1, "headers": ["x-a"], "top_k": 3}
    assert told.params_of(port, request(params=Params(temperature=0.9)))["temperature"] == 0.9


def test_a_reply_tells_everything_but_its_message() -> None:
    """The last exchange is the one that brought it; all of them are kept."""
    call = CallStep(LLMCall("m"))
    usage = Usage(1, output=2, basis="provider")
    told.replied(
        call,
        Reply(
            message=assistant("x"), finish="length", usage=usage, raw_finish="max_tokens", served_model="m-1",
            served_tier="flex", response_id="c1", reported_cost=Decimal("0.1"), citations=("http://c",),
            exchanges=(EXCHANGE, Exchange(method="POST", url="http://a/b", status=200, request_id="r3")),
        ),
    )  # fmt: skip
    http = [SAID, {**SAID, "status": 200, "request_id": "r3", "retry_after": None}]
    assert facts(call) == {
        "usage": usage, "finish_reason": "max_tokens", "served_model": "m-1", "served_tier": "flex",
        "response_id": "c1", "request_id": "r3", "http_status": 200, "reported_cost": Decimal("0.1"),
        "metadata": {"citations": ["http://c"], "http": http},
    }  # fmt: skip
    assert call.reply is None


@pytest.mark.parametrize(("before", "after"), [(None, {}), ({"a": 1}, {"a": 1}), (["a"], {"metadata": ["a"]})], ids=str)
def test_metadata_that_is_there_stays(before: Any, after: dict[str, Any]) -> None:
    """Whatever it is."""
    call = CallStep(LLMCall("m"))
    call.metadata = before
    told.replied(call, Reply(message=assistant("x"), finish="stop", exchanges=(EXCHANGE,)))
    assert call.metadata == {**after, "http": [SAID]}
    assert call.finish_reason == "stop"


def test_a_failure_tells_what_it_knows() -> None:
    """What came, how it was answered, and whether it may have cost something."""
    call, partial = CallStep(LLMCall("m")), Reply(message=assistant("x"), finish="length", response_id="c1")
    error = ModelError("rate_limit", "later", status=400, safe=True, partial=partial, exchanges=(EXCHANGE,))
    assert told.failed(call, error) is partial
    assert facts(call) == {
        "usage": partial.usage, "response_id": "c1", "request_id": "r2", "http_status": 429,
        "metadata": {"http": [SAID]}, "sent": False,
    }  # fmt: skip


def test_a_failure_that_knows_nothing_tells_that_it_was_sent() -> None:
    """Unless it says otherwise, a request may have cost something."""
    call = CallStep(LLMCall("m"))
    assert told.failed(call, ModelError("network", "gone", status=500, partial="what", exchanges=("what",))) is None
    assert facts(call) == {"http_status": 500, "sent": True}
