"""Models and loggers that misbehave, and what was recorded of their calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from tachograph import LLM
from tachograph.errors import ModelError
from tachograph.events.call import CallEnded
from tachograph.events.chat import assistant
from tachograph.events.envelope import ENDS, STARTS
from tachograph.events.message import MessageAppended
from tachograph.events.usage import Usage
from tachograph.instrument.logging import LLMCallLogger
from tachograph.providers.port import Delta, Finish, Reply, Request, TextDelta
from tachograph.testing import Captured
from tests.record.test_faults import explode

USED = Usage(1500, output=500, basis="provider")
HOLD = object()
"""In place of a piece: wait there for ever."""


class Model:
    """A model that says these pieces and then a reply, or an error. Counts how often it is asked and is done."""

    provider, model = "openai", "gpt-4"
    context_window: int | None = None
    warning: Mapping[str, Any] | None = None

    def __init__(self, *pieces: object, finish: Finish = "stop", error: BaseException | None = None) -> None:
        self.pieces, self.finish, self.error = pieces, finish, error
        self.asked = self.over = self.closed = 0
        self.requests: list[Request] = []

    async def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
        """The pieces, where the request streams, and the reply or the error."""
        self.asked += 1
        self.requests.append(request)
        try:
            for piece in self.pieces:
                if piece is HOLD:
                    await asyncio.sleep(60)
                if isinstance(piece, str):
                    await asyncio.sleep(0)
                    if request.stream:
                        yield TextDelta(piece)
            if self.error is not None:
                raise self.error
            text = "".join(piece for piece in self.pieces if isinstance(piece, str))
            yield Reply(message=assistant(text), finish=self.finish, usage=USED, served_model="gpt-4-0613")
        finally:
            self.over += 1

    async def close(self) -> None:
        """Counts."""
        self.closed += 1


async def heard(llm: LLM, prompt: Any = "x", **asked: Any) -> list[str]:
    """The pieces of a stream."""
    return [piece async for piece in llm.inference_stream(prompt, **asked)]


def ends(events: Captured) -> list[CallEnded]:
    """How the calls ended, oldest first; that each did, once."""
    started = {(event.run, event.seq) for event in events if isinstance(event.body, STARTS)}
    ended = [(event.run, event.step) for event in events if isinstance(event.body, ENDS)]
    assert sorted(ended) == sorted(started)
    return [event.body for event in events if isinstance(event.body, CallEnded)]


def messages(events: Captured) -> list[dict[str, Any]]:
    """What was said, in the order it was recorded."""
    return [said(event.body.message) for event in events.of(MessageAppended)]


def said(content: Any) -> Any:
    """Recorded content as a value."""
    return json.loads(content.text)


def models() -> tuple[Model, Model]:
    """One that answers, and one that fails in the middle."""
    return Model("a", "b"), Model("a", error=ModelError("overloaded", "later"))


def raising(at: str) -> LLMCallLogger:
    """A logger of the application that fails at one point, or all of them."""

    class Row:
        """No row of ours."""

    class Logger(LLMCallLogger):
        def log_llm_call(self, *args: Any, **facts: Any) -> Any:
            if at == "start":
                raise RuntimeError("no log")
            if at == "no row":
                return Row()
            row = super().log_llm_call(*args, **facts)
            for name in ("begin", "add", "finish") if at == "everywhere" else (at,):
                setattr(row, name, explode)
            return row

    return Logger()
