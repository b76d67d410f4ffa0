"""Streams that are recorded as they pass, and how they end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tachograph import LimitExceeded, run, step
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.message import MessageAppended
from tachograph.events.run import StepStarted
from tachograph.events.usage import Usage
from tachograph.instrument.logging import LLMCallLogger
from tachograph.limits.guard import Intent, Notice, Refused, Spent, Ticket
from tachograph.record import scope
from tachograph.testing import Captured, capture

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


class Source:
    """A provider's stream, sync and async, that remembers what was done to it."""

    def __init__(self, *chunks: Any, fails: bool = False) -> None:
        self.chunks, self.fails, self.asked, self.closed = chunks, fails, 0, 0

    def _next(self) -> Any:
        self.asked += 1
        if self.asked <= len(self.chunks):
            return self.chunks[self.asked - 1]
        if self.fails:
            raise ConnectionError("cut")
        return None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        chunk = self._next()
        if chunk is None:
            raise StopIteration
        return chunk

    def close(self) -> None:
        """The consumer has gone."""
        self.closed += 1


class AsyncSource(Source):
    """The same, iterated by `async for`."""

    __iter__ = None  # type: ignore[assignment]

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        await asyncio.sleep(0)
        chunk = self._next()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """The consumer has gone."""
        self.closed += 1


def ended(events: Captured) -> CallEnded:
    """The one end of the one call."""
    (end,) = events.of(CallEnded)
    body = end.body
    assert isinstance(body, CallEnded)
    return body


def reply(events: Captured) -> list[str | None]:
    """Texts of the replies."""
    return [event.body.message.text for event in events.of(MessageAppended)[1:]]


def test_a_stream_that_is_used_up(events: Captured) -> None:
    """Chunks pass unchanged; text joined, counted, tokens and model taken from the chunk that has them."""
    source = Source("He", {"choices": [{"delta": {"content": "llo"}}], "model": "m-1"}, {"usage": USAGE})
    seen = list(LLMCallLogger().log_streaming_call("openai", "m", "hi", source))
    assert (seen, source.asked, source.closed) == (list(source.chunks), 4, 0)
    end = ended(events)
    assert (end.status, end.chunks, end.served_model) == ("completed", 3, "m-1")
    assert end.usage == Usage(3, output=2, basis="provider")
    assert end.first_token_ns is not None
    assert reply(events) == ['{"role":"assistant","content":"Hello"}']
    assert events.of(CallStarted)[0].body.streaming is True


def test_an_async_stream_that_is_used_up(events: Captured) -> None:
    """The same, also for a stream that has to be awaited first: then the request itself is part of the call."""

    async def request(source: AsyncSource) -> AsyncSource:
        assert len(events.of(CallStarted)) > 0
        await asyncio.sleep(0)
        return source

    async def use() -> list[list[Any]]:
        logger = LLMCallLogger()
        direct, awaited = AsyncSource("a", "b"), AsyncSource("c", {"usage": USAGE})
        one = [chunk async for chunk in logger.log_streaming_call("openai", "m", "hi", direct)]
        two = [chunk async for chunk in logger.log_streaming_call("openai", "m", "hi", request(awaited))]
        return [one, two]

    assert asyncio.run(use()) == [["a", "b"], ["c", {"usage": USAGE}]]
    assert [(event.body.status, event.body.chunks) for event in events.of(CallEnded)] == [("completed", 2)] * 2
    assert events.of(CallEnded)[1].body.usage == Usage(3, output=2, basis="provider")


def test_nothing_is_asked_or_recorded_before_the_first_chunk(events: Captured) -> None:
    """A stream that nobody iterates is no call."""
    source = Source("a")
    stream = LLMCallLogger().log_streaming_call("openai", "m", "hi", source)
    assert (source.asked, list(events)) == (0, [])
    del stream
    gc.collect()
    assert (source.asked, list(events)) == (0, [])


def test_a_stream_that_breaks(events: Captured) -> None:
    """The error passes; the partial text and the failure are kept, and nothing is asked twice."""
    source = Source("half ", fails=True)
    with pytest.raises(ConnectionError, match="cut"):
        list(LLMCallLogger().log_streaming_call("openai", "m", "hi", source))
    end = ended(events)
    assert (end.status, end.chunks, source.asked, source.closed) == ("failed", 1, 2, 0)
    assert end.error is not None
    assert (end.error.type, end.error.message) == ("ConnectionError", "cut")
    assert reply(events) == ['{"role":"assistant","content":"half "}']


@pytest.mark.parametrize("way", ["close", "drop", "break"])
def test_a_stream_that_is_left_early(events: Captured, way: str) -> None:
    """Closed, dropped or left by a loop: cancelled once, with the partial text, and the source is told."""
    source = Source("a", "b", "c")
    stream: Any = LLMCallLogger().log_streaming_call("openai", "m", "hi", source)
    if way == "break":
        for _ in stream:
            break
    else:
        next(stream)
    if way == "close":
        stream.close()
        stream.close()
    stream = None
    gc.collect()
    assert (ended(events).status, ended(events).chunks, source.closed) == ("cancelled", 1, 1)
    assert reply(events) == ['{"role":"assistant","content":"a"}']


@pytest.mark.parametrize("way", ["aclose", "cancel", "drop"])
def test_an_async_stream_that_is_left_early(events: Captured, way: str) -> None:
    """Closed, its task cancelled while it waits, or dropped: cancelled once, and the source is told where it waits."""

    class Endless(AsyncSource):
        async def __anext__(self) -> Any:
            if self.asked:
                await asyncio.sleep(60)
            return await super().__anext__()

    source = Endless("a", "b") if way == "cancel" else AsyncSource("a", "b")

    async def use() -> None:
        stream: Any = LLMCallLogger().log_streaming_call("openai", "m", "hi", source)
        await anext(stream)
        if way == "aclose":
            await stream.aclose()
        elif way == "cancel":
            task = asyncio.create_task(anext(stream))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        stream = None
        gc.collect()
        await asyncio.sleep(0.01)

    asyncio.run(use())
    assert (ended(events).status, source.closed) == ("cancelled", int(way != "cancel"))


def test_a_client_s_own_way_of_closing_is_used(events: Captured) -> None:
    """An async stream may have a `close` to be awaited, as those of client libraries; a plain one is never awaited."""

    class Client(AsyncSource):
        aclose = None  # type: ignore[assignment]

        async def close(self) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            self.closed += 1

    class Both(Source):
        async def aclose(self) -> None:
            raise AssertionError("a plain stream is not closed so")

    async def use() -> int:
        source = Client("a", "b")
        stream: Any = LLMCallLogger().log_streaming_call("openai", "m", "hi", source)
        await anext(stream)
        await stream.aclose()
        return source.closed

    both = Both("a", "b")
    stream = LLMCallLogger().log_streaming_call("openai", "m", "hi", both)
    next(stream)
    stream.close()
    assert (asyncio.run(use()), both.closed) == (1, 1)


def test_a_call_surrounds_its_source_and_not_its_consumer(events: Captured) -> None:
    """What the provider's own code records belongs below the call; what the loop body records does not."""

    def source() -> Iterator[str]:
        with step("inside"):
            yield "a"

    with run("desk") as desk:
        for _ in LLMCallLogger().log_streaming_call("openai", "m", "hi", source()):
            here = scope.current()
            assert here is not None
            assert here.step == desk.number
            with step("outside"):
                pass
    parents = {event.body.name: event.body.parent for event in events.of(StepStarted)}
    assert parents == {"inside": events.of(CallStarted)[0].seq, "outside": 0}


def test_a_refused_stream_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard says no before the first chunk."""

    class Closed:
        def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket | Refused:
            return Refused("max_llm_calls", 0, 1, 0)

        def settle(self, *_: Any) -> tuple[Notice, ...]:
            """Nothing was admitted."""
            return ()

    source = Source("a")
    with capture(Closed()) as events, pytest.raises(LimitExceeded):
        list(LLMCallLogger().log_streaming_call("openai", "m", "hi", source))
    assert (source.asked, events.of(CallStarted)) == (0, [])


def test_a_chunk_that_cannot_be_looked_at_passes(events: Captured) -> None:
    """It is counted as a chunk and as a fault of ours, and reaches the program."""

    class Touchy:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    chunk = Touchy()
    assert list(LLMCallLogger().log_streaming_call("openai", "m", "hi", [chunk, "a"])) == [chunk, "a"]
    assert (ended(events).status, ended(events).chunks) == ("completed", 2)
    assert sum(scope.recorder().health.faults.values()) == 2
