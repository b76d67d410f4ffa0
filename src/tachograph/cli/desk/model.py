"""Models that follow a script, called through the door as a real client would be.

A scripted model costs what its real namesake would: tokens are counted from the texts that go in and out (four letters
each), and a prompt that begins like the one before it is read from the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.cli.desk.pace import Pace
from tachograph.events.usage import Usage
from tachograph.record.intent import LLMCall
from tachograph.record.step import CallStep, step

PROVIDERS = {"gpt-4o-mini": "openai", "claude-sonnet-4-5": "anthropic", "claude-haiku-4-5": "anthropic"}
"""Whose the models are; a model that is not here runs in the back room, and nobody has a price for it."""
LETTERS_PER_TOKEN = 4
_encode = msgspec.json.Encoder().encode

Message = dict[str, Any]


class Ask(Struct, frozen=True):
    """A tool that a reply asks for."""

    tool: str
    arguments: dict[str, Any]


class Reply(Struct, frozen=True):
    """What the model says next: text, requests for tools, or an error instead of either."""

    text: str = ""
    asks: Sequence[Ask] = ()
    seconds: float = 0.9
    """How long it thinks before the first word."""
    overloaded: bool = False


class Overloaded(Exception):
    """The provider has too much to do. HTTP 529."""


class Model:
    """One conversation with a scripted model."""

    def __init__(self, name: str, pace: Pace, instructions: str, tools: Sequence[Message] = ()) -> None:
        self.name, self._pace, self._tools = name, pace, list(tools)
        self.messages: list[Message] = [{"role": "system", "content": instructions}]
        self._cached = 0
        self._turn = 0

    def hear(self, message: Message) -> None:
        """A message joins the conversation."""
        self.messages.append(message)

    def ask(self, script: Iterator[Reply], attempts: int = 3) -> CallStep:
        """The next request; while the provider is overloaded it is repeated after a growing pause.

        Raises Overloaded when the last attempt failed as well.
        """
        self._turn += 1
        first: int | None = None
        for attempt in count(1):
            request = step(self._call(attempt, first))
            try:
                with request:
                    self._answer(request, next(script))
            except Overloaded:
                if attempt == attempts:
                    raise
                first = first or request.number
                self._pace.wait(0.5 * 2**attempt)
            else:
                return request
        raise AssertionError("count has no end")

    def _call(self, attempt: int, first: int | None) -> LLMCall:
        return LLMCall(
            model=self.name,
            provider=PROVIDERS.get(self.name, "back-room"),
            messages=list(self.messages),
            tools=self._tools or None,
            params={"temperature": 0.2, "max_tokens": 1024},
            streaming=True,
            attempt=attempt,
            retry_of=first,
            iteration=self._turn,
        )

    def _answer(self, request: CallStep, reply: Reply) -> None:
        self._pace.wait(reply.seconds)
        if reply.overloaded:
            request.http_status = 529
            raise Overloaded("the model has too many visitors, please come back in a moment")
        for word in _pieces(reply.text):
            request.add(word)
            self._pace.wait(0.02)
        message = _message(reply, f"call_{self._turn}")
        request.reply = message
        request.finish_reason = "tool_calls" if reply.asks else "stop"
        request.served_model, request.http_status = self.name, 200
        request.usage = self._usage(message)
        self.messages.append(message)

    def _usage(self, answer: Message) -> Usage:
        prompt = _tokens([*self.messages, *self._tools])
        cached = self._cached if self._cached >= 256 else 0
        self._cached = prompt
        return Usage(
            input_uncached=prompt - cached, cache_read=cached, cache_write=0, output=_tokens([answer]), basis="provider"
        )


def _pieces(text: str) -> Iterator[str]:
    for word in text.split():
        yield f"{word} "


def _message(reply: Reply, call_id: str) -> Message:
    message: Message = {"role": "assistant", "content": reply.text or None}
    if reply.asks:
        message["tool_calls"] = [
            {
                "id": f"{call_id}_{index}",
                "type": "function",
                "function": {"name": ask.tool, "arguments": _encode(ask.arguments).decode()},
            }
            for index, ask in enumerate(reply.asks)
        ]
    return message


def _tokens(messages: Sequence[Message]) -> int:
    return sum(len(_encode(message)) for message in messages) // LETTERS_PER_TOKEN
