"""Messages as chat models exchange them: what an assistant asked for, what tools answered, what was said in the end.

OpenAI's shape (`tool_calls`, role `tool`), its older one (`function_call`, role `function`), the flat ones of
tau2-bench and SWE-agent, and Anthropic's content blocks (`tool_use`, `tool_result`). One `Message` reads them all; the
message itself is stored as it was written.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from tachograph.events.content import Content
from tachograph.events.run import Status
from tachograph.events.usage import MISSING, Usage
from tachograph.wire import usage
from tachograph.wire.lines import NULL, elements, embedded, encoded, present, text, value, verbatim
from tachograph.wire.sessions.draft import Draft, failure
from tachograph.wire.vendors import served

SPEAKERS = ("assistant", "model", "ai")
"""Roles of messages that a model wrote."""


class Function(Struct):
    """What is called, and with what."""

    name: Any = None
    arguments: Raw = NULL


class Request(Struct):
    """One tool call inside a message; names and arguments stand below `function`, or beside the id."""

    id: Any = None
    name: Any = None
    arguments: Raw = NULL
    function: Function | None = None


class Block(Struct):
    """A part of a message's content, as Anthropic writes it."""

    type: Any = None
    text: Raw = NULL
    id: Any = None
    name: Any = None
    input: Raw = NULL
    tool_use_id: Any = None
    content: Raw = NULL
    is_error: Any = None


class Message(Struct):
    """The fields of a message that tell what it does."""

    role: Any = None
    content: Raw = NULL
    id: Any = None
    name: Any = None
    tool_calls: list[Request] | None = None
    tool_call_id: Any = None
    tool_call_ids: list[Any] | None = None
    function_call: Function | None = None
    error: Any = None


class Choice(Struct):
    """One answer of a reply."""

    message: Raw = NULL
    finish_reason: Any = None


class Completion(Struct):
    """A provider's whole reply in OpenAI's shape, which LiteLLM makes of every other."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] = []
    usage: Raw = NULL
    service_tier: str | None = None

    @property
    def message(self) -> Raw:
        """The message of the first answer; null when there is none."""
        return self.choices[0].message if self.choices else NULL

    @property
    def finish_reason(self) -> str | None:
        """Why the first answer ended."""
        reason = self.choices[0].finish_reason if self.choices else None
        return reason if isinstance(reason, str) else None

    def facts(self) -> dict[str, Any]:
        """What it says of the call, as fields of CallEnded."""
        found = value(self.usage)
        return {
            "usage": usage.read(found) if isinstance(found, dict) else MISSING,
            "finish_reason": self.finish_reason,
            "served_model": served(self.model).model if self.model else None,
            "served_tier": self.service_tier,
            "response_id": self.id,
        }


class Asked(NamedTuple):
    """A tool call that a message asks for."""

    name: str
    call_id: str | None
    arguments: Content | None


class Answered(NamedTuple):
    """What a tool call came to."""

    call_id: str | None
    result: Content | None
    failed: bool


class Speaker(NamedTuple):
    """Who writes the assistant's messages."""

    provider: str
    model: str
    agent_type: str | None = None


_block = msgspec.json.Decoder(Block)


def blocks(content: Raw | bytes) -> list[Block]:
    """The parts of a content that is a list of objects; empty when it is text."""
    found = []
    for raw in elements(content) or ():
        try:
            found.append(_block.decode(raw))
        except msgspec.DecodeError:
            continue
    return found


def asked(message: Message) -> list[Asked]:
    """The tool calls that a message asks for, in order."""
    if message.tool_calls:
        return [_asked(call.function or Function(call.name, call.arguments), call.id) for call in message.tool_calls]
    if message.function_call is not None and message.function_call.name:
        return [_asked(message.function_call, None)]
    return [
        Asked(_name(block.name), _id(block.id), present(block.input))
        for block in blocks(message.content)
        if block.type == "tool_use"
    ]


def answered(message: Message) -> list[Answered]:
    """The tool results that a message carries, in order."""
    if message.role in ("tool", "function"):
        ids = message.tool_call_ids or [message.tool_call_id if message.tool_call_id is not None else message.id]
        call_id = None if message.role == "function" else _id(ids[0])
        return [Answered(call_id, present(message.content), message.error is True)]
    return [
        Answered(_id(block.tool_use_id), present(block.content), block.is_error is True)
        for block in blocks(message.content)
        if block.type == "tool_result"
    ]


def said(message: Message) -> Content | None:
    """The text of a message as a JSON string; None when it has none."""
    whole = text(message.content)
    if whole is not None:
        return verbatim(message.content) if whole.strip() else None
    parts = [part for block in blocks(message.content) if block.type in (None, "text") and (part := text(block.text))]
    return encoded("\n".join(parts)) if any(part.strip() for part in parts) else None


def reply(
    draft: Draft,
    call: int,
    at: int,
    message: Message,
    raw: Raw | bytes,
    *,
    agent_type: str | None = None,
    counted: bool = True,
    **ended: Any,
) -> None:
    """A model call's reply: joins the transcript, ends the call, starts the tools it asks for.

    `agent_type` says whose tools they are, `counted` whether they belong to an iteration, `ended` are fields of
    CallEnded.
    """
    output = draft.say(at, _name(message.role), raw, call)
    draft.end_call(call, at, output=output, **ended)
    facts: dict[str, Any] = {"requested_by": call, "agent_type": agent_type}
    if not counted:
        facts["iteration"] = None
    for index, tool in enumerate(asked(message)):
        draft.ask(at, tool.name, tool.call_id, tool.arguments, index=index, **facts)


def listen(draft: Draft, at: int, message: Message, raw: Raw | bytes) -> None:
    """A message nobody's model wrote: joins the transcript and ends the tool calls it answers."""
    results = answered(message)
    only = draft.pending(results[0].call_id) if len(results) == 1 else None
    seq = draft.say(at, _name(message.role), raw, only or 0)
    for result in results:
        step = draft.pending(result.call_id)
        if step is not None:
            error = failure("ToolError", "the tool reported an error") if result.failed else None
            state: Any = "failed" if result.failed else "completed"
            draft.answer(step, at, state, result=result.result, message=seq, error=error)


def exchange(
    draft: Draft, at: int, message: Message, raw: Raw | bytes, speaker: Speaker, *, used: Usage = MISSING, **ended: Any
) -> None:
    """One message of a conversation: a model call when a model wrote it, else something the models hear."""
    if message.role not in SPEAKERS:
        return listen(draft, at, message, raw)
    call = draft.call(speaker.provider, speaker.model, agent_type=speaker.agent_type)
    reply(draft, call, at, message, raw, usage=used, agent_type=speaker.agent_type, **ended)
    return None


def outcome(last: Message | None) -> tuple[Status, str, Content | None]:
    """How a conversation ended that does not say so: (status, stop reason, answer) from its last message.

    Completed when a model's text stands last and asks for nothing; otherwise the log breaks off.
    """
    if last is not None and last.role in SPEAKERS and not asked(last) and (answer := said(last)):
        return "completed", "final_answer", answer
    return "abandoned", "process_died", None


def _asked(function: Function, call_id: Any) -> Asked:
    arguments = text(function.arguments)
    content = present(function.arguments) if arguments is None else embedded(arguments)
    return Asked(_name(function.name), _id(call_id), content)


def _name(thing: Any) -> str:
    return thing if isinstance(thing, str) and thing else "unknown"


def _id(thing: Any) -> str | None:
    return None if thing is None else str(thing)
