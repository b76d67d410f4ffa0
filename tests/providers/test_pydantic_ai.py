"""The adapter against a server on loopback: whole replies, faults, deadlines, and what is sent."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tachograph.errors import MissingExtra, ModelError
from tachograph.events.chat import Media, Message, Text, ToolUse, assistant, result, system, user
from tachograph.events.usage import MISSING, Usage
from tachograph.providers import pydantic_ai
from tachograph.providers.models import model
from tachograph.providers.port import (
    Exchange,
    ModelPort,
    Params,
    ReasoningDelta,
    Reply,
    TextDelta,
    Thinking,
    ToolDelta,
    ToolSpec,
)
from tests.providers.asking import TOOL, Came, ask, port, request
from tests.providers.replay_server import Answer, ReplayServer, Seen

pytestmark = pytest.mark.anyio

WIRES = ("chat", "responses", "anthropic", "gemini")
SSE = [("content-type", "text/event-stream")]
JSON = [("content-type", "application/json")]


@pytest.fixture
def anyio_backend() -> str:
    """The adapter lives on asyncio."""
    return "asyncio"


def sse(*payloads: Any) -> list[bytes]:
    """Events of a stream; those with a type carry it as their name."""
    found = []
    for payload in payloads:
        name = f"event: {payload['type']}\n" if isinstance(payload, dict) and "type" in payload else ""
        data = payload if isinstance(payload, str) else json.dumps(payload)
        found.append(f"{name}data: {data}\n\n".encode())
    return found


def chunk(finish: str | None = None, usage: Any = None, **delta: Any) -> dict[str, Any]:
    """A chunk of OpenAI chat."""
    choices = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
    made = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": choices}
    return {**made, "usage": usage} if usage else made


RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "model": "m-1", "output": [], "parallel_tool_calls": True,
    "tool_choice": "auto", "tools": [], "status": "in_progress",
}  # fmt: skip
SAID: dict[str, list[Any]] = {
    "chat": [
        chunk(role="assistant", content="Hel"),
        chunk(content="lo"),
        chunk("stop"),
        chunk(usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}),
        "[DONE]",
    ],
    "responses": [
        {"type": "response.created", "sequence_number": 0, "response": RESPONSE},
        {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0,
         "item": {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", "sequence_number": 2, "output_index": 0, "content_index": 0,
         "item_id": "msg_1", "part": {"type": "output_text", "text": "", "annotations": []}},
        {"type": "response.output_text.delta", "sequence_number": 3, "output_index": 0, "content_index": 0,
         "item_id": "msg_1", "delta": "Hel", "logprobs": []},
        {"type": "response.output_text.delta", "sequence_number": 4, "output_index": 0, "content_index": 0,
         "item_id": "msg_1", "delta": "lo", "logprobs": []},
        {"type": "response.completed", "sequence_number": 5, "response": {
            **RESPONSE, "status": "completed",
            "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": "Hello", "annotations": []}]}],
            "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
                      "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}}},
    ],
    "anthropic": [
        {"type": "message_start", "message": {
            "id": "m1", "type": "message", "role": "assistant", "model": "m-1", "content": [], "stop_reason": None,
            "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
         "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ],
    "gemini": [
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hel"}]}}], "modelVersion": "m-1",
         "responseId": "r1"},
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "lo"}]}, "finishReason": "STOP"}],
         "modelVersion": "m-1", "responseId": "r1",
         "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}},
    ],
}  # fmt: skip
"""The same small reply on each wire: Hello, 10 tokens in, 5 out."""
FIRST_TEXT = {"chat": 1, "responses": 4, "anthropic": 3, "gemini": 1}
"""How many of those events bring the first piece of text."""


def streamed(wire: str, upto: int | None = None, **changes: Any) -> Answer:
    """The small reply of a wire, or the beginning of it."""
    return Answer(sse(*SAID[wire][:upto]), headers=SSE, **changes)


async def once(server: ReplayServer, mount: str, answer: Answer, **changes: Any) -> tuple[Came, list[Seen]]:
    """Ask a fresh model once."""
    seen = server.play(mount, answer)
    asked = port(mount.partition("-")[0], server.url(mount), "m")
    came = await ask(asked, request(**{"stream": True, **changes}))
    await asked.close()
    return came, seen


async def failed(server: ReplayServer, mount: str, answer: Answer, **changes: Any) -> ModelError:
    """The error of a model asked once."""
    came, seen = await once(server, mount, answer, **changes)
    assert came.reply is None
    assert came.error is not None
    assert len(seen) == 1
    return came.error


def partial(error: ModelError) -> Message:
    """What an error says had come."""
    assert isinstance(error.partial, Reply)
    return error.partial.message


def statuses(error: ModelError) -> list[int | None]:
    """Those of the attempts behind an error."""
    return [exchange.status for exchange in error.exchanges if isinstance(exchange, Exchange)]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_reply_streams_and_is_whole_at_the_end(wire: str, provider_server: ReplayServer) -> None:
    """The pieces as they come, then one reply with text, finish, tokens, ids and the exchange."""
    came, _ = await once(provider_server, f"{wire}-whole", streamed(wire))
    assert came.error is None
    assert came.pieces == [TextDelta("Hel"), TextDelta("lo")]
    reply = came.reply
    assert (reply.message.text, reply.finish, reply.served_model) == ("Hello", "stop", "m-1")
    assert (reply.usage.input_total, reply.usage.output, reply.usage.basis) == (10, 5, "provider")
    [exchange] = reply.exchanges
    assert (exchange.method, exchange.status, exchange.error) == ("POST", 200, "")
    assert exchange.sent > 0
    assert exchange.received == len(b"".join(sse(*SAID[wire])))


async def test_a_model_that_does_not_stream_brings_the_reply_alone(provider_server: ReplayServer) -> None:
    """Without stream there is one piece: the reply, with a malformed tool call as the model wrote it."""
    call = {"id": "t1", "type": "function", "function": {"name": "lookup", "arguments": '{"key": '}}
    body = {
        "id": "c1", "object": "chat.completion", "created": 1, "model": "m-1", "service_tier": "flex",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]},
                     "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": 0.25,
                  "prompt_tokens_details": {"cached_tokens": 4}},
    }  # fmt: skip
    answer = Answer([json.dumps(body).encode()], headers=JSON, chunked=False)
    came, _ = await once(provider_server, "chat-plain", answer, stream=False)
    assert came.pieces == []
    reply = came.reply
    assert reply.message == Message("assistant", "", (ToolUse("t1", "lookup", '{"key": '),))
    assert reply.finish == "tool_calls"
    assert reply.usage == Usage(input_uncached=6, cache_read=4, output=5, basis="provider")
    assert (str(reply.reported_cost), reply.served_tier, reply.response_id) == ("0.250000000", "flex", "c1")


async def test_a_tool_call_streams_in_pieces(provider_server: ReplayServer) -> None:
    """Id and name first, then fragments of the arguments; text in tags of thinking stays text."""
    pieces = [
        chunk(content="<think>no</think>"),
        chunk(
            tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "lookup", "arguments": ""}}]
        ),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"key": "x'}}]),
        chunk("tool_calls", tool_calls=[{"index": 0, "function": {"arguments": '"}'}}]),
        "[DONE]",
    ]
    came, _ = await once(provider_server, "chat-tools", Answer(sse(*pieces), headers=SSE))
    assert came.pieces == [
        TextDelta("<think>no</think>"),
        ToolDelta(0, "a", "lookup"),
        ToolDelta(0, arguments='{"key": "x'),
        ToolDelta(0, arguments='"}'),
    ]
    assert came.reply.message.tool_calls == (ToolUse("a", "lookup", '{"key": "x"}'),)
    assert came.reply.usage is MISSING


async def test_an_empty_reply_is_a_reply(provider_server: ReplayServer) -> None:
    """Nothing said and a reason for the end: empty text, which the loop judges."""
    came, _ = await once(provider_server, "chat-empty", Answer(sse(chunk("stop"), "[DONE]"), headers=SSE))
    assert (came.reply.message.text, came.reply.finish, came.reply.message.tool_calls) == ("", "stop", ())


REFUSED = [
    (401, "auth", []),
    (403, "auth", []),
    (408, "timeout", []),
    (409, "overloaded", []),
    (404, "invalid_request", []),
    (422, "invalid_request", []),
    (429, "rate_limit", [("retry-after", "7")]),
    (500, "server_error", []),
    (502, "server_error", []),
    (503, "overloaded", []),
    (504, "server_error", []),
    (529, "overloaded", []),
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("status", "category", "headers"), REFUSED, ids=[str(row[0]) for row in REFUSED])
async def test_a_refusal_has_its_category_and_is_never_repeated(
    wire: str, status: int, category: str, headers: Sequence[tuple[str, str]], provider_server: ReplayServer
) -> None:
    """One request, the status' category, safe to repeat, with the waiting time that the header asks for."""
    body = json.dumps({"error": {"message": "no, not now", "type": "x"}}).encode()
    error = await failed(provider_server, f"{wire}-refused", Answer([body], status, [*JSON, *headers], chunked=False))
    assert (error.category, error.status, error.safe, error.partial) == (category, status, True, None)
    assert error.retry_after == (7.0 if status == 429 else None)
    assert "no, not now" in str(error)
    assert statuses(error) == [status]


@pytest.mark.parametrize(
    ("wire", "status", "body", "category", "code"),
    [
        ("chat", 400, {"code": "context_length_exceeded", "message": "too long"}, "context_overflow",
         "context_length_exceeded"),
        ("anthropic", 400, {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
         "context_overflow", "invalid_request_error"),
        ("gemini", 400, {"code": 400, "status": "INVALID_ARGUMENT",
                         "message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."},
         "context_overflow", "INVALID_ARGUMENT"),
        ("responses", 400, {"code": "context_length_exceeded", "message": "too long"}, "context_overflow",
         "context_length_exceeded"),
        ("chat", 429, {"code": "insufficient_quota", "message": "pay"}, "rate_limit", "insufficient_quota"),
        ("chat", 400, {"code": "x", "message": "bad"}, "invalid_request", "x"),
    ],
    ids=["chat full", "anthropic full", "gemini full", "responses full", "no quota", "bad"],
)  # fmt: skip
async def test_what_a_refusal_says_decides(
    wire: str, status: int, body: dict[str, Any], category: str, code: str, provider_server: ReplayServer
) -> None:
    """A context that is full and an exhausted quota are told from other refusals of the same status."""
    text = json.dumps({"type": "error", "error": body}).encode()
    error = await failed(provider_server, f"{wire}-says", Answer([text], status, JSON, chunked=False))
    assert (error.category, error.code, error.safe) == (category, code, True)


async def test_a_key_never_stands_in_an_error(provider_server: ReplayServer) -> None:
    """A provider that repeats the key in its message does not get it into ours."""
    body = json.dumps({"error": {"message": f"bad key {'k' * 20}"}}).encode()
    error = await failed(provider_server, "chat-leak", Answer([body], 401, JSON, chunked=False))
    assert str(error) == "openai m: auth: bad key [key]"
    assert "k" * 20 not in repr(error.exchanges)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_body_that_is_cut_off_is_no_reply(wire: str, provider_server: ReplayServer) -> None:
    """The connection breaks after the first text: a network error, not safe, with what had come."""
    error = await failed(provider_server, f"{wire}-cut", streamed(wire, FIRST_TEXT[wire], end="cut"))
    assert (error.category, error.safe) == ("network", False)
    assert partial(error).text == "Hel"
    assert statuses(error) == [200]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_clean_end_without_a_reason_is_no_reply(wire: str, provider_server: ReplayServer) -> None:
    """A stream that merely stops is never taken as complete."""
    error = await failed(provider_server, f"{wire}-stops", streamed(wire, FIRST_TEXT[wire]))
    assert (error.category, error.safe) == ("network", False)
    assert partial(error).text == "Hel"


async def test_half_a_tool_call_in_a_stream_that_stops_is_no_reply(provider_server: ReplayServer) -> None:
    """Half of the arguments and a clean end: an error that keeps the half."""
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "lookup", "arguments": '{"ke'}}
    error = await failed(provider_server, "chat-half", Answer(sse(chunk(tool_calls=[call]), "[DONE]"), headers=SSE))
    assert error.category == "network"
    assert partial(error).tool_calls == (ToolUse("a", "lookup", '{"ke'),)


IN_STREAM = {
    "chat": {"error": {"message": "busy", "type": "server_error", "code": 503}},
    "responses": {"type": "error", "code": "server_error", "message": "busy", "param": None, "sequence_number": 9},
    "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
    "gemini": {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}},
}


@pytest.mark.parametrize("wire", WIRES)
async def test_an_error_inside_a_stream_keeps_what_came(wire: str, provider_server: ReplayServer) -> None:
    """An error event after text: the provider's category, not safe, the text as partial."""
    events = [*SAID[wire][: FIRST_TEXT[wire]], IN_STREAM[wire]]
    error = await failed(provider_server, f"{wire}-inside", Answer(sse(*events), headers=SSE))
    assert error.category in ("overloaded", "server_error")
    assert "busy" in str(error)
    assert not error.safe
    assert partial(error).text == "Hel"


@pytest.mark.parametrize("wire", WIRES)
async def test_keep_alives_are_no_content(wire: str, provider_server: ReplayServer) -> None:
    """Comments for ever, and no content: the request ends at `first_content`, and the server sees the client go."""
    endless = Answer([b": hello\n\n"], headers=SSE, end="open", beat=b": still here\n\n", every=0.02)
    begun = time.monotonic()
    came, seen = await once(provider_server, f"{wire}-alive", endless, first_content=0.3)
    assert (came.error.category, came.error.safe) == ("timeout", False)
    assert time.monotonic() - begun < 5
    assert await asyncio.to_thread(seen[0].left.wait, 5)


@pytest.mark.parametrize("wire", WIRES)
async def test_silence_after_the_first_content_has_its_own_limit(wire: str, provider_server: ReplayServer) -> None:
    """Text, and then only comments: the request ends after `silence`, with the text as partial."""
    begun = streamed(wire, FIRST_TEXT[wire], end="open", beat=b": still here\n\n", every=0.02)
    error = await failed(provider_server, f"{wire}-silent", begun, silence=0.3, first_content=10.0)
    assert (error.category, partial(error).text) == ("timeout", "Hel")


async def test_a_request_has_a_deadline_whatever_arrives(provider_server: ReplayServer) -> None:
    """Content without end does not outlast the deadline."""
    flood = Answer([], headers=SSE, end="open", beat=sse(chunk(content="x"))[0], every=0.01)
    begun = time.monotonic()
    error = await failed(provider_server, "chat-flood", flood, timeout=0.5, silence=0.3)
    assert error.category == "timeout"
    assert partial(error).text.startswith("x")
    assert time.monotonic() - begun < 5


async def test_no_connection_is_safe_to_repeat() -> None:
    """Nobody listens: a network error, and nothing was sent."""
    asked = port("chat", "http://127.0.0.1:1", "m")
    came = await ask(asked, request(stream=True))
    await asked.close()
    assert (came.error.category, came.error.safe) == ("network", True)
    assert came.error is not None
    assert statuses(came.error) == [None]


async def test_a_page_instead_of_a_reply_is_an_error(provider_server: ReplayServer) -> None:
    """HTML with status 200 is no reply."""
    page = Answer([b"<html>Welcome</html>"], headers=[("content-type", "text/html")], chunked=False)
    error = await failed(provider_server, "chat-page", page, stream=False)
    assert (error.category, error.code) == ("server_error", "unreadable")


async def test_who_stops_listening_ends_the_request(provider_server: ReplayServer) -> None:
    """Closing the iterator early raises nothing, and the server sees the client go."""
    begun = streamed("chat", 1, end="open", beat=b": still here\n\n", every=0.02)
    seen = provider_server.play("chat-leaves", begun)
    asked = port("chat", provider_server.url("chat-leaves"), "m")
    pieces: AsyncIterator[Any] = asked.ask(request(stream=True))
    assert await anext(pieces) == TextDelta("Hel")
    await pieces.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert await asyncio.to_thread(seen[0].left.wait, 5)
    await asked.close()


async def test_a_cancelled_task_is_cancelled(provider_server: ReplayServer) -> None:
    """Cancellation passes as itself, and the connection is let go."""
    seen = provider_server.play("chat-cancel", Answer([], headers=SSE, end="open", beat=b": x\n\n", every=0.02))
    asked = port("chat", provider_server.url("chat-cancel"), "m")
    task = asyncio.create_task(ask(asked, request(stream=True)))
    while not seen or not seen[0].sent:  # noqa: ASYNC110 - the server runs in another thread
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(seen[0].left.wait, 5)
    await asked.close()


def test_a_model_works_in_one_event_loop_after_another(provider_server: ReplayServer) -> None:
    """Each loop has a client of its own, closed with its loop even if nobody closes the model."""
    asked = port("chat", provider_server.url("chat-loops"), "m")
    provider_server.play("chat-loops", *[streamed("chat")] * 3)
    for _ in range(3):
        came = asyncio.run(ask(asked, request(stream=True)))
        assert came.error is None
        assert came.reply.message.text == "Hello"
        assert len(asked._bound) == 1  # type: ignore[attr-defined]
    gc.collect()


async def test_one_model_serves_many_at_once(provider_server: ReplayServer) -> None:
    """Concurrent requests keep their exchanges apart."""
    provider_server.play("chat-many", *[streamed("chat")] * 8)
    asked = port("chat", provider_server.url("chat-many"), "m")
    came = await asyncio.gather(*(ask(asked, request(stream=True)) for _ in range(8)))
    assert [(one.error, one.reply.message.text, len(one.reply.exchanges)) for one in came] == [(None, "Hello", 1)] * 8
    await asked.close()


async def test_thinking_and_its_signature_come_back_to_who_wrote_them(provider_server: ReplayServer) -> None:
    """Anthropic's thinking: shown, kept as provider state, and sent back as it was with the next request."""
    start, end = SAID["anthropic"][0], SAID["anthropic"][-2:]
    thinking = [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hmm."}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "SIG"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "XYZ"}},
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "Yes"}},
        {"type": "content_block_stop", "index": 2},
    ]
    seen = provider_server.play(
        "anthropic-thinks", Answer(sse(start, *thinking, *end), headers=SSE), streamed("anthropic")
    )
    asked = port("anthropic", provider_server.url("anthropic-thinks"), "claude-sonnet-5-5")
    first = await ask(asked, request(stream=True))
    assert first.pieces == [ReasoningDelta("Hmm."), TextDelta("Yes")]
    said = first.reply.message
    assert (said.text, said.reasoning) == ("Yes", "Hmm.")
    await ask(asked, request(stream=True, messages=(user("a"), said, user("b"))))
    assert seen[1].body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hmm.", "signature": "SIG"},
        {"type": "redacted_thinking", "data": "XYZ"},
        {"type": "text", "text": "Yes"},
    ]
    await asked.close()


async def test_everything_that_a_request_says_is_sent(provider_server: ReplayServer) -> None:
    """Messages of all roles, media, tools, the choice of one, parameters, headers and fields of the body."""
    seen = provider_server.play("chat-sent", streamed("chat"))
    asked = port(
        "chat", provider_server.url("chat-sent"), "m",
        params={"temperature": 0.25, "top_k": 7, "user": "u"}, headers={"x-team": "blue"},
    )  # fmt: skip
    call = ToolUse("t1", "lookup", '{"key":"x"}')
    image = Media("image", "image/png", data=b"\x89PNG")
    messages = (system("Be brief."), user(["Look:", image]), assistant("", call), result(call, "found"), user("More?"))
    params = Params(
        top_p=0.5, seed=3, stop=("END",), thinking=Thinking("low"), tier="flex", parallel_tool_calls=False,
        extra={"user": "v"}, headers={"x-run": "r1"},
    )  # fmt: skip
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "title": "Number"}
    tools = (TOOL, ToolSpec("other"))
    sent = request(
        stream=True, messages=messages, tools=tools, params=params, tool_choice="lookup", output_schema=schema
    )
    assert (await ask(asked, sent)).error is None
    await asked.close()
    body, headers = seen[0].body, seen[0].headers
    assert (headers["x-team"], headers["x-run"], headers["authorization"]) == ("blue", "r1", f"Bearer {'k' * 20}")
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "lookup", "arguments": '{"key":"x"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "found"},
        {"role": "user", "content": "More?"},
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "lookup"}}
    assert body["response_format"]["json_schema"]["name"] == "Number"
    expected = {
        "model": "m", "temperature": 0.25, "top_p": 0.5, "seed": 3, "stop": ["END"], "reasoning_effort": "low",
        "service_tier": "flex", "parallel_tool_calls": False, "top_k": 7, "user": "v", "max_completion_tokens": 256,
        "stream": True,
    }  # fmt: skip
    assert {name: body.get(name) for name in expected} == expected


async def test_fields_that_the_library_cannot_say_reach_gemini(provider_server: ReplayServer) -> None:
    """Gemini's body takes any field, merged into the objects that are there."""
    seen = provider_server.play("gemini-extra", streamed("gemini"))
    asked = port(
        "gemini",
        provider_server.url("gemini-extra"),
        "m",
        params={"generationConfig": {"topK": 7}, "labels": {"a": "b"}},
    )
    assert (await ask(asked, request(stream=True))).error is None
    await asked.close()
    body = seen[0].body
    assert (body["generationConfig"]["topK"], body["generationConfig"]["maxOutputTokens"]) == (7, 256)
    assert body["labels"] == {"a": "b"}


async def test_cache_points_reach_anthropic(provider_server: ReplayServer) -> None:
    """A message with `cache` is marked as the end of what may be cached, whatever its role."""
    seen = provider_server.play("anthropic-cache", streamed("anthropic"))
    asked = port("anthropic", provider_server.url("anthropic-cache"), "claude-sonnet-5-5")
    messages = (Message("system", "S", cache=True), Message("user", "a", cache=True), assistant("b"), user("c"))
    assert (await ask(asked, request(stream=True, messages=messages))).error is None
    await asked.close()
    body = seen[0].body
    assert body["system"][0]["cache_control"]["type"] == "ephemeral"
    assert body["messages"][0]["content"][-1]["cache_control"]["type"] == "ephemeral"
    assert "cache_control" not in json.dumps(body["messages"][1:])


@pytest.mark.parametrize("wire", WIRES)
async def test_a_url_that_would_be_fetched_here_is_refused(wire: str, provider_server: ReplayServer) -> None:
    """Nothing is downloaded behind a program's back: no request is made at all."""
    seen = provider_server.play(f"{wire}-url", streamed(wire))
    asked = port(wire, provider_server.url(f"{wire}-url"), "m")
    sound = user([Text("Listen"), Media("audio", "audio/wav", "http://127.0.0.1:1/a.wav")])
    came = await ask(asked, request(stream=True, messages=(sound,)))
    await asked.close()
    assert (came.error.category, came.error.safe, seen) == ("invalid_request", True, [])
    assert "give its bytes" in str(came.error)


async def test_the_adapter_is_a_model_port(provider_server: ReplayServer) -> None:
    """Provider, model, context window and warning are there before anything is asked."""
    asked: ModelPort = model("gpt-5", keys={"OPENAI_API_KEY": "x" * 10})
    assert (asked.provider, asked.model, asked.context_window, asked.warning) == ("openai", "gpt-5", 400_000, None)
    assert "x" * 10 not in repr(asked)
    await asked.close()


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, a model says which package it needs and how to get it."""
    monkeypatch.setattr(pydantic_ai, "_is_installed", lambda package: package != "anthropic")
    with pytest.raises(MissingExtra, match=r"asking anthropic needs the package 'anthropic': .*tachograph\[agents\]"):
        model("claude-sonnet-5-5", keys={"ANTHROPIC_API_KEY": "x"})


def test_naming_a_model_loads_no_library() -> None:
    """The libraries are loaded with the first request: a command that asks nothing starts without them."""
    program = """if True:
        import sys
        from tachograph.providers.models import model
        model("gpt-5", keys={"OPENAI_API_KEY": "x"})
        print([name for name in ("pydantic_ai", "openai", "anthropic", "google.genai") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
