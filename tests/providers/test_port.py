"""The port's values: what they are when nothing is said, and that they cannot be changed under somebody's feet."""

from __future__ import annotations

import msgspec
import pytest

from tachograph.events.chat import assistant, user
from tachograph.events.usage import MISSING
from tachograph.providers.port import Exchange, Params, Reply, Request, ToolSpec


def test_a_tool_without_parameters_takes_none() -> None:
    """Its schema is an object without properties, and each tool has one of its own."""
    first, second = ToolSpec("a"), ToolSpec("b")
    assert first.parameters == {"type": "object", "properties": {}}
    assert first.parameters is not second.parameters


def test_a_request_says_little_by_itself() -> None:
    """It streams, waits five minutes at most, and leaves the rest to the provider."""
    asked = Request(messages=(user("Hi."),))
    assert (asked.stream, asked.timeout, asked.first_content, asked.silence) == (True, 300.0, None, None)
    assert (asked.tools, asked.tool_choice, asked.max_tokens, asked.params) == ((), "auto", None, Params())
    with pytest.raises(AttributeError):
        asked.stream = False  # type: ignore[misc]  # that it cannot be set is what is tested


def test_the_exchange_of_a_reply_is_the_last() -> None:
    """The attempt that brought it; a model without HTTP has none, and usage that nobody told is missing."""
    tried, brought = (Exchange(method="POST", url="http://x", status=status) for status in (307, 200))
    said = Reply(message=assistant("Hello."), finish="stop")
    assert (said.exchange, said.usage) == (None, MISSING)
    assert msgspec.structs.replace(said, exchanges=(tried, brought)).exchange == brought
