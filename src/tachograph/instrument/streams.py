"""A model's stream, handed on chunk by chunk while its call is recorded. It ends once, however the stream ends.

Generators, so that the door sees their place: while one is suspended, its call is not what surrounds the program.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Generator
from typing import Any

from tachograph.instrument.chunks import Heard, text_of
from tachograph.instrument.llm_call_log import LLMCallLog
from tachograph.instrument.target import Target


def is_async(stream: Any) -> bool:
    """Whether a stream is iterated by `async for`, at once or when it has been awaited."""
    return hasattr(stream, "__aiter__") or inspect.isawaitable(stream)


def handed_on(target: Target, row: LLMCallLog, stream: Any) -> Generator[Any, None, None]:
    """The chunks of a stream, recorded as they pass; `row` has not been started. Closed early, it closes the stream."""
    with row:
        ear = _Ear(target, row)
        try:
            for chunk in stream:
                ear.take(chunk)
                yield chunk
        except GeneratorExit:
            _close(stream, "close")
            raise


async def handed_on_async(target: Target, row: LLMCallLog, stream: Any) -> AsyncGenerator[Any, None]:
    """The same for an async stream, or for an awaitable that gives one."""
    with row:
        if not hasattr(stream, "__aiter__"):
            stream = await stream
        ear = _Ear(target, row)
        try:
            async for chunk in stream:
                ear.take(chunk)
                yield chunk
        except GeneratorExit:
            closed = _close(stream, "aclose", "close")
            if inspect.isawaitable(closed):
                await closed
            raise


class _Ear:
    """Listens to one stream for its row."""

    def __init__(self, target: Target, row: LLMCallLog) -> None:
        self._target, self._row, self._heard = target, row, Heard()

    def take(self, chunk: Any) -> None:
        """Take in a chunk."""
        self._row.add(self._target.safely("stream_text", lambda: text_of(chunk), None))
        self._target.safely("stream_facts", lambda: self._note(chunk), None)

    def _note(self, chunk: Any) -> None:
        heard, row = self._heard, self._row
        heard.hear(chunk)
        row.usage, row.served_model, row.finish_reason = heard.usage, heard.model, heard.finish_reason


def _close(stream: Any, *names: str) -> Any:
    """Close a stream by the first of these methods that it has; what that gives."""
    close = next((method for name in names if callable(method := getattr(stream, name, None))), None)
    return None if close is None else close()
