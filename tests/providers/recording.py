"""Recording what a scripted model says, for tests that replay it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

import tachograph
from tachograph.errors import ModelError
from tachograph.events.chat import ToolUse, assistant, result, system, user
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.events.usage import Usage
from tachograph.providers.port import Delta, Exchange, Reply, Request, TextDelta, ToolSpec
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.testing import capture

ADD = ToolSpec("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
USE = ToolUse("call_1", "add", '{"a": 1}')
FIRST = Request(messages=(system("Be brief."), user("1 and what is 3?")), tools=(ADD,))
SECOND = Request(messages=(*FIRST.messages, assistant("", USE), result(USE, "2")), tools=(ADD,))
SCRIPT = (
    Say(calls=(Call("add", '{"a": 1}'),), usage=Usage(input_uncached=9, output=4, basis="provider")),
    Say("2, of course", chunks=3, finish="length", served_model="m-2026", reasoning="1 + 2"),
)


def drain(model: Any, request: Request) -> list[Delta | Reply]:
    """Everything that one request brings."""

    async def main() -> list[Delta | Reply]:
        return [piece async for piece in model.ask(request)]

    return asyncio.run(main())


def reply(model: Any, request: Request) -> Reply:
    """What one request brings in the end."""
    last = drain(model, request)[-1]
    assert isinstance(last, Reply)
    return last


def recorded(script: Sequence[Any], *requests: Request, fails: type[BaseException] = ModelError) -> list[Event]:
    """The events of a run that sends these requests to a scripted model, each as one attempt."""
    model = ScriptedModel(script, name="m", provider="p")
    with capture() as events, tachograph.run("answer"):
        for request in requests:
            with_attempt(model, request, fails)
    return list(events)


def with_attempt(model: ScriptedModel, request: Request, fails: type[BaseException]) -> None:
    """One attempt through the door, recorded as the agent loop records it; the error it `fails` with is swallowed."""
    told = [{"type": "function", "function": msgspec.to_builtins(tool)} for tool in request.tools]
    call = tachograph.LLMCall("m", request.messages, "p", tools=told or None, streaming=True)
    try:
        with tachograph.step(call) as step:
            try:
                for piece in drain(model, request):
                    if isinstance(piece, Reply):
                        step.reply, step.usage, step.finish_reason = piece.message, piece.usage, piece.finish
                        step.served_model = piece.served_model
                    else:
                        step.add(piece.text if isinstance(piece, TextDelta) else None)
            except ModelError as error:
                step.http_status = error.status
                step.reply = error.partial.message if isinstance(error.partial, Reply) else None
                exchanges = [one for one in error.exchanges if isinstance(one, Exchange)]
                step.metadata = {"http": [msgspec.to_builtins(one) for one in exchanges]} if exchanges else None
                raise
    except fails:
        pass


def with_contents(events: list[Event], change: Callable[[str, Content], Content]) -> list[Event]:
    """The same events with other contents of their messages."""
    replace = msgspec.structs.replace
    return [
        replace(event, body=replace(event.body, message=change(event.body.role, event.body.message)))
        if isinstance(event.body, MessageAppended)
        else event
        for event in events
    ]
