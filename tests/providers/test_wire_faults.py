"""How requests fail, on each wire, over real HTTP: what kind of failure it is, what came of the reply, what was seen.

Whatever a provider does, it is asked exactly once, and a reply without its end is never one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from msgspec.structs import replace

from tachograph.errors import ModelError
from tachograph.events.chat import Message
from tachograph.events.usage import MISSING
from tachograph.providers.port import Exchange, Reply
from tests.providers.asking import Came, ask, port, request, value
from tests.providers.replay_server import Answer, ReplayServer, Seen
from tests.providers.wires import GEMINI, JSON, SSE, WIRES, Wire

SLACK = 0.25
"""Seconds after a deadline within which control is back, on a machine that is not busy with something else."""
TRIES = 4
"""How often that may be tried on one that is."""
KEY = "k" * 20
"""What `asking.port` sends as the key."""
NOBODY = "http://127.0.0.1:9"
_LOADED: set[str] = set()
"""Wires whose libraries are loaded: that takes seconds, and is no part of what is measured."""

each_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=list(WIRES))
streamed_or_not = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
Played = Callable[..., tuple[Came, list[Seen], float]]


@pytest.fixture
def played(provider_server: ReplayServer) -> Played:
    """Plays one answer on a wire and asks for it: what came, what the server saw, the seconds it took."""

    def play(wire: Wire, answer: Answer, *, stream: bool, **changes: Any) -> tuple[Came, list[Seen], float]:
        mount = f"{wire.name}-faults"
        seen = provider_server.play(mount, answer)
        asked = port(wire.name, provider_server.url(mount))

        async def main() -> tuple[Came, float]:
            if wire.name not in _LOADED:
                await ask(port(wire.name, NOBODY), request(stream=stream))
                _LOADED.add(wire.name)
            began = time.perf_counter()
            came = await ask(asked, request(stream=stream, **changes))
            took = time.perf_counter() - began
            await asked.close()
            return came, took

        came, took = asyncio.run(main())
        assert len(seen) == 1
        return came, seen, took

    return play


def punctual(
    played: Played, wire: Wire, answer: Answer, seconds: float, **changes: Any
) -> tuple[ModelError, Came, list[Seen]]:
    """Plays an answer without an end until control was back in time, as it is when the machine has time for us."""
    took = 0.0
    for _ in range(TRIES):
        came, seen, took = played(wire, answer, **changes)
        assert took >= seconds - 0.01
        assert seen[0].left.wait(3), "the server was not left"
        if took < seconds + SLACK:
            return failed(came), came, seen
    raise AssertionError(f"control was back after {took:.2f} s, {seconds:g} were allowed")


def stream_of(*pieces: bytes | float, **changes: Any) -> Answer:
    """A stream of these pieces."""
    return Answer(pieces, headers=(SSE, ("x-request-id", "req_9")), **changes)


def whole_of(body: bytes, status: int = 200, *headers: tuple[str, str], **changes: Any) -> Answer:
    """A response that does not stream."""
    return Answer([body], status, (JSON, ("x-request-id", "req_9"), *headers), chunked=False, **changes)


def failed(came: Came) -> ModelError:
    """The error that came in place of a reply."""
    assert came.reply is None
    assert came.error is not None
    return came.error


def partial(error: ModelError) -> Message:
    """The message as far as it came; an empty one where nothing did."""
    if error.partial is None:
        return Message("assistant")
    assert isinstance(error.partial, Reply)
    return replace(error.partial.message, provider_state=None)


def exchange_of(error: ModelError) -> Exchange:
    """The one HTTP attempt behind an error."""
    (exchange,) = error.exchanges
    assert isinstance(exchange, Exchange)
    return exchange


# ---- refused --------------------------------------------------------------------------------------------------------

REFUSALS: Sequence[tuple[int, str]] = (
    (401, "auth"), (408, "timeout"), (429, "rate_limit"), (500, "server_error"), (503, "overloaded"),
    (529, "overloaded"),
)  # fmt: skip


@each_wire
@streamed_or_not
@pytest.mark.parametrize(("status", "category"), REFUSALS)
def test_a_refusal_has_the_category_of_its_status(
    wire: Wire, status: int, category: str, stream: bool, played: Played
) -> None:
    """Safe to repeat, nothing partial; the exchange says what was seen, and no key stands anywhere."""
    body = wire.error(wire.kinds[status], "not today")
    came, seen, _ = played(wire, whole_of(body, status), stream=stream)
    error, exchange = failed(came), exchange_of(failed(came))
    assert (error.category, error.status, error.safe, error.retry_after) == (category, status, True, None)
    assert (came.pieces, error.partial, error.in_stream) == ([], None, False)
    assert (exchange.method, exchange.status, exchange.request_id) == ("POST", status, "req_9")
    assert (exchange.received, exchange.sent > 0, exchange.rates) == (len(body), True, ())
    assert exchange.url.endswith(":streamGenerateContent" if stream and wire is GEMINI else wire.path)
    assert "not today" in str(error)
    assert KEY not in f"{error} {error.exchanges}"
    assert KEY in f"{seen[0].headers} {seen[0].path}"


@each_wire
@streamed_or_not
def test_a_provider_says_how_long_to_wait(wire: Wire, stream: bool, played: Played) -> None:
    """Retry-After in seconds or as a date; the client itself does not wait."""
    body = wire.error(wire.kinds[429], "slow down")
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    for stated, least, most in (("7", 7.0, 7.0), (later, 30.0, 90.0)):
        came, _, took = played(wire, whole_of(body, 429, ("retry-after", stated)), stream=stream)
        error = failed(came)
        assert (error.category, error.safe, took < 7) == ("rate_limit", True, True)
        assert least <= (error.retry_after or 0) <= most
        assert exchange_of(error).retry_after == error.retry_after


@each_wire
@streamed_or_not
def test_a_full_context_is_told_from_a_bad_request(wire: Wire, stream: bool, played: Played) -> None:
    """Both are 400; only the first can be helped by sending less."""
    full, _, _ = played(wire, whole_of(wire.full, 400), stream=stream)
    other, _, _ = played(wire, whole_of(wire.error("invalid_request_error", "no such field"), 400), stream=stream)
    assert [failed(came).category for came in (full, other)] == ["context_overflow", "invalid_request"]
    assert [(failed(came).safe, failed(came).status) for came in (full, other)] == [(True, 400), (True, 400)]


@each_wire
@streamed_or_not
def test_nobody_there_is_safe_to_repeat(wire: Wire, stream: bool) -> None:
    """No connection: nothing was sent."""
    error = failed(asyncio.run(ask(port(wire.name, NOBODY), request(stream=stream))))
    assert (error.category, error.safe, error.status, error.partial) == ("network", True, None, None)


# ---- broken off -----------------------------------------------------------------------------------------------------


@each_wire
def test_an_error_inside_a_stream_keeps_what_came(wire: Wire, played: Played) -> None:
    """By its own word overloaded; what was said before is partial, and asking again would be answered twice."""
    came, _, _ = played(wire, stream_of(wire.begin, wire.text("Half an "), 0.05, wire.broken), stream=True)
    error = failed(came)
    assert (error.category, error.safe, error.in_stream) == ("overloaded", False, True)
    assert (came.text, partial(error)) == ("Half an ", Message("assistant", "Half an "))
    assert exchange_of(error).status == 200


@each_wire
def test_an_error_before_any_content_is_a_refusal(wire: Wire, played: Played) -> None:
    """The stream was open, and nothing had been said: it can be asked again."""
    came, _, _ = played(wire, stream_of(wire.begin, wire.broken), stream=True)
    error = failed(came)
    assert (error.category, error.safe, came.text) == ("overloaded", True, "")


@each_wire
def test_a_cut_connection_is_never_a_reply(wire: Wire, played: Played) -> None:
    """Cut inside the body, streamed or not: network, with the text so far, and not safe to repeat."""
    cut = stream_of(wire.begin, wire.text("Half an "), 0.05, end="cut")
    came, seen, _ = played(wire, cut, stream=True)
    error = failed(came)
    assert (error.category, error.safe, error.status) == ("network", False, None)
    assert partial(error) == Message("assistant", "Half an ")
    assert (exchange_of(error).received, exchange_of(error).error != "") == (seen[0].sent, True)
    came, _, _ = played(wire, whole_of(wire.whole("Half an answer")[:-9], end="cut"), stream=False)
    error = failed(came)
    assert (error.category, error.safe, error.partial) == ("network", False, None)


@each_wire
@pytest.mark.parametrize("tail", [b"", b"data: [DONE]\n\n"], ids=["nothing", "done"])
def test_a_stream_that_merely_stops_is_never_a_reply(wire: Wire, tail: bytes, played: Played) -> None:
    """It ends cleanly, and never said why; also where a marker says that nothing more comes."""
    came, _, _ = played(wire, stream_of(wire.begin, wire.text("Half an "), tail), stream=True)
    error = failed(came)
    assert (error.category, error.safe) == ("network", False)
    assert partial(error) == Message("assistant", "Half an ")


@each_wire
@streamed_or_not
def test_nothing_at_all_is_never_a_reply(wire: Wire, stream: bool, played: Played) -> None:
    """200 and an empty body: it may have been paid for."""
    came, _, _ = played(wire, stream_of() if stream else whole_of(b""), stream=stream)
    error = failed(came)
    assert (error.category in ("network", "server_error"), error.safe) == (True, False)
    assert partial(error) == Message("assistant")


@each_wire
def test_half_a_tool_call_is_kept_and_never_called_whole(wire: Wire, played: Played) -> None:
    """Arguments cut in the middle: partial when the stream broke, and text that is no JSON when the model ended it."""
    half = "{}" if wire is GEMINI else '{"key": "a'  # Gemini sends arguments whole
    came, _, _ = played(wire, stream_of(wire.begin, wire.call(half)), stream=True)
    (cut,) = partial(failed(came)).tool_calls
    assert (cut.name, cut.arguments) == ("lookup", half)
    came, _, _ = played(wire, stream_of(wire.begin, wire.call(half), wire.end_of_calls(), wire.over), stream=True)
    assert came.reply is not None, came.error
    (call,) = came.reply.message.tool_calls
    assert (call.name, call.arguments, came.reply.finish) == ("lookup", half, "tool_calls")
    assert call.id == "call_7" or wire is GEMINI


# ---- silent ---------------------------------------------------------------------------------------------------------


@each_wire
@pytest.mark.parametrize(
    ("limits", "seconds"), [({"timeout": 0.6}, 0.6), ({"first_content": 0.4}, 0.4)], ids=["deadline", "first content"]
)
def test_keep_alives_are_no_progress(wire: Wire, limits: dict[str, float], seconds: float, played: Played) -> None:
    """A stream of comments or pings goes on for ever: control is back at the limit, and the server is left."""
    endless = stream_of(wire.begin, end="open", beat=wire.keep_alive, every=0.02)
    error, came, _ = punctual(played, wire, endless, seconds, stream=True, **limits)
    assert (error.category, error.safe, came.text) == ("timeout", False, "")


@each_wire
def test_a_silence_inside_a_reply_ends_it(wire: Wire, played: Played) -> None:
    """Text, then keep-alives alone: what came is kept."""
    endless = stream_of(wire.begin, wire.text("And "), end="open", beat=wire.keep_alive, every=0.02)
    error, _, _ = punctual(played, wire, endless, 0.4, stream=True, silence=0.4)
    assert (error.category, error.safe, partial(error)) == ("timeout", False, Message("assistant", "And "))


@each_wire
def test_an_endless_stream_of_content_ends_with_its_deadline(wire: Wire, played: Played) -> None:
    """Content is progress, and the deadline counts all the same."""
    endless = stream_of(wire.begin, end="open", beat=wire.text("and "), every=0.02)
    limits = {"timeout": 0.8, "first_content": 0.7, "silence": 0.7}
    error, came, _ = punctual(played, wire, endless, 0.8, stream=True, **limits)
    assert (error.category, came.text.startswith("and and ")) == ("timeout", True)
    assert partial(error).text == came.text


@each_wire
@streamed_or_not
def test_no_answer_at_all_ends_with_the_deadline(wire: Wire, stream: bool, played: Played) -> None:
    """The head of the response came, the body never."""
    silent = Answer([], headers=(SSE if stream else JSON,), end="open")
    error, _, _ = punctual(played, wire, silent, 0.6, stream=stream, timeout=0.6)
    assert (error.category, error.safe, partial(error)) == ("timeout", False, Message("assistant"))


@each_wire
def test_leaving_a_stream_ends_the_request(wire: Wire, provider_server: ReplayServer) -> None:
    """Closing the iterator, or cancelling the task that reads it, hangs up: nothing goes on in the background."""
    mount = f"{wire.name}-leaving"
    endless = stream_of(wire.begin, end="open", beat=wire.text("and "), every=0.02)
    seen = provider_server.play(mount, endless, endless)
    asked = port(wire.name, provider_server.url(mount))

    async def close() -> None:
        stream = asked.ask(request(stream=True))
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # a generator

    async def cancel() -> None:
        async with asyncio.timeout(0.5):
            await ask(asked, request(stream=True))

    async def main() -> None:
        await close()
        with pytest.raises(TimeoutError):
            await cancel()
        await asked.close()

    asyncio.run(main())
    assert [one.left.wait(3) for one in seen] == [True, True]


# ---- whole, and odd -------------------------------------------------------------------------------------------------


@each_wire
@streamed_or_not
def test_a_good_reply_is_whole(wire: Wire, stream: bool, played: Played) -> None:
    """What the faults above are made of is right when nothing is wrong with it."""
    pieces = (wire.begin, wire.text("An "), wire.text("answer."), wire.end(), wire.over)
    came, _, _ = played(wire, stream_of(*pieces) if stream else whole_of(wire.whole("An answer.")), stream=stream)
    reply = came.reply
    assert reply is not None, came.error
    assert (reply.message.text, reply.finish) == ("An answer.", "stop")
    assert (reply.served_model, reply.response_id) == ("m-1", "r_1")
    assert (reply.usage.input_total, reply.usage.output, reply.usage.basis) == (11, 5, "provider")
    assert came.text == ("An answer." if stream else "")
    assert [(one.status, one.request_id, one.error) for one in reply.exchanges] == [(200, "req_9", "")]


@each_wire
@streamed_or_not
def test_usage_that_nobody_tells_is_missing(wire: Wire, stream: bool, played: Played) -> None:
    """The figures are missing, never 0; the reply is whole."""
    begin = wire.begin if wire.begin_without_usage is None else wire.begin_without_usage
    pieces = (begin, wire.text("An answer."), wire.end_without_usage(), wire.over)
    answer = stream_of(*pieces) if stream else whole_of(wire.whole_without_usage("An answer."))
    came, _, _ = played(wire, answer, stream=stream)
    assert came.reply is not None, came.error
    assert (came.reply.usage, came.reply.message.text, came.reply.finish) == (MISSING, "An answer.", "stop")


@each_wire
@streamed_or_not
def test_an_empty_reply_is_a_reply(wire: Wire, stream: bool, played: Played) -> None:
    """The model ended without a word: that is for the loop to judge, and it was paid for."""
    pieces = (wire.begin, wire.end(), wire.over)
    came, _, _ = played(wire, stream_of(*pieces) if stream else whole_of(wire.whole("")), stream=stream)
    reply = came.reply
    assert reply is not None, came.error
    assert (reply.message.text, reply.message.tool_calls, reply.finish) == ("", (), "stop")
    assert (reply.usage.input_total, reply.usage.output) == (11, 5)


@each_wire
def test_a_tool_call_is_whole(wire: Wire, played: Played) -> None:
    """Id, name and arguments, in pieces and in the reply."""
    pieces = (wire.begin, wire.call('{"key": "ä"}'), wire.end_of_calls(), wire.over)
    came, _, _ = played(wire, stream_of(*pieces), stream=True)
    assert came.reply is not None, came.error
    (call,) = came.reply.message.tool_calls
    assert (call.name, value(call.arguments), came.reply.finish) == ("lookup", {"key": "ä"}, "tool_calls")
    assert call.id == "call_7" or wire is GEMINI
    assert [(id_, name, value(said)) for id_, name, said in came.calls] == [(call.id, call.name, {"key": "ä"})]
