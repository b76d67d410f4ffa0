"""A model that follows a script: for tests, demonstrations and benchmarks, at a few microseconds a reply.

    model = ScriptedModel(["Hello.", Call("add", {"a": 1, "b": 2}), Say("3", usage=Usage(...)), ModelError(...)])

Each request takes the next answer of the script; a function of the request is asked for one each time. What is no
answer at all can be scripted too: an error, half a reply, a stream that never ends, a stream that says nothing.

Where an answer does not state its usage, a token is four characters, a begun one counts whole: input is the text of all
messages with the names and arguments of their tool calls, output the reply's own, its thinking included.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, repeat
from threading import Lock
from typing import Any, Self

import msgspec
from msgspec import Struct

from tachograph.errors import ModelError, ReplayMismatch
from tachograph.events.chat import Message, ToolUse
from tachograph.events.usage import Usage
from tachograph.providers.port import Delta, Finish, ReasoningDelta, Reply, Request, TextDelta, ToolDelta

_CHARACTERS = 4
"""In a token, where nobody states the usage."""


class Call(Struct, frozen=True):
    """A tool call that a scripted reply asks for."""

    name: str
    arguments: Mapping[str, Any] | str = {}
    """A mapping, or text that goes out as it is, malformed or not."""
    id: str | None = None
    """None numbers the model's calls: call_1, call_2, …"""


class Say(Struct, frozen=True):
    """A scripted reply, in detail."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    usage: Usage | None = None
    """None counts by the rule above; `MISSING` leaves it out, as providers do."""
    finish: Finish | None = None
    """None: tool_calls where there are any, else stop."""
    chunks: int | tuple[str, ...] = 1
    """In how many pieces the text (and each call's arguments) streams, or the pieces of the text themselves."""
    seconds: float = 0.0
    """Until the last piece; the pieces come evenly before."""
    reasoning: str = ""
    then: Exception | None = None
    """Raised where the reply would be whole; a ModelError then carries what came as its `partial`."""
    served_model: str | None = None


class Endless(Struct, frozen=True):
    """A stream that never ends: one piece of text after another. It stops where the request's time is over."""

    text: str = "and "
    seconds: float = 0.0
    """Between pieces."""
    heeds: bool = True
    """False: it goes on past the request's time too, as an adapter with a fault would."""


class Silent(Struct, frozen=True):
    """A stream that stays open and says nothing more after `text`."""

    text: str = ""
    heeds: bool = True
    """As for `Endless`."""


Answer = str | Say | Call | Endless | Silent | Sequence[Call] | Exception
"""What a script may hold; also a function of the request that gives one of these."""
Script = Iterable[Answer | Callable[[Request], Answer]] | Callable[[Request], Answer]


class ScriptedModel:
    """A model whose answers are written down. Usable from several threads and event loops; answers go out in order.

    A request after the last answer raises ReplayMismatch, and so does `done` (or leaving the context) while answers are
    unused. `strict=False` repeats the last answer for ever and lets answers be left over. `delay` is in seconds, before
    each answer. `requests` holds every request, in order.
    """

    warning: Mapping[str, Any] | None = None

    def __init__(
        self,
        script: Script,
        *,
        name: str = "scripted",
        provider: str = "scripted",
        context_window: int | None = None,
        delay: float = 0.0,
        strict: bool = True,
    ) -> None:
        self.provider, self.model, self.context_window = provider, name, context_window
        self.delay, self.strict = delay, strict
        self.requests: list[Request] = []
        self._function = script if callable(script) else None
        self._answers: Iterator[Any] = repeat(script) if callable(script) else iter(script)
        self._last: Any = None
        self._calls = count(1)
        self._lock = Lock()
        self._unexpected: ReplayMismatch | None = None
        self._counted: tuple[tuple[Message, ...], int] = ((), 0)

    async def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
        """The next answer: its pieces where the request streams, then the reply. Raises what the script says."""
        answer = self._next(request)
        patience = _Patience(request)
        if self.delay:
            await self._wait(patience, self.delay)
        if isinstance(answer, (Endless, Silent)):
            async for text in self._without_end(answer, patience):
                if request.stream:
                    yield text
        said = _in_detail(answer)
        message = Message("assistant", said.text, self._uses(said.calls), reasoning=said.reasoning)
        if request.stream or said.seconds:
            parts = list(pieces(message, said.chunks))
            for piece in parts:
                if said.seconds:
                    await self._wait(patience, said.seconds / len(parts))
                    patience.content()
                if request.stream:
                    yield piece
        if said.then is not None:
            raise _with_partial(said.then, message)
        yield self._reply(said, message, request)

    def done(self) -> None:
        """Raise ReplayMismatch if a request was unexpected, or (when strict) an answer is unused."""
        if self._unexpected is not None:
            raise self._unexpected
        if self.strict and self._function is None and next(self._answers, _NONE) is not _NONE:
            raise ReplayMismatch(len(self.requests) + 1, "the script has an answer that nobody asked for")

    def __enter__(self) -> Self:
        """The model; leaving without an error is `done`."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Check the script, unless something else went wrong."""
        if error is None:
            self.done()

    async def close(self) -> None:
        """Nothing to let go of."""

    # ---- the answers ------------------------------------------------------------------------------------------------

    def _next(self, request: Request) -> Any:
        with self._lock:
            self.requests.append(request)
            answer = next(self._answers, _NONE)
            if answer is _NONE and (self.strict or self._last is None):
                problem = f"the script has {len(self.requests) - 1} answers, and one more request came"
                self._unexpected = ReplayMismatch(len(self.requests), problem)
                raise self._unexpected
            answer = self._last if answer is _NONE else answer
            self._last = answer
        return answer(request) if callable(answer) else answer

    def _reply(self, said: Say, message: Message, request: Request) -> Reply:
        finish = said.finish or ("tool_calls" if said.calls else "stop")
        return Reply(
            message=message,
            finish=finish,
            usage=self._usage(request, message) if said.usage is None else said.usage,
            raw_finish=finish,
            served_model=said.served_model or self.model,
        )

    async def _without_end(self, answer: Endless | Silent, patience: _Patience) -> AsyncIterator[TextDelta]:
        """Text without end, or nothing without end, until the request's time is over."""
        sent, seconds = "", _LONG
        if isinstance(answer, Endless):
            seconds = answer.seconds
        elif answer.text:
            sent = answer.text
            patience.content()
            yield TextDelta(sent)
        while True:
            if answer.heeds:
                await self._wait(patience, seconds, sent)
            else:
                await asyncio.sleep(seconds)
            if isinstance(answer, Endless):
                sent = (sent + answer.text)[:_KEPT]
                patience.content()
                yield TextDelta(answer.text)

    def _uses(self, calls: Sequence[Call]) -> tuple[ToolUse, ...]:
        return tuple(
            ToolUse(
                f"call_{next(self._calls)}" if call.id is None else call.id,
                call.name,
                call.arguments if isinstance(call.arguments, str) else msgspec.json.encode(call.arguments).decode(),
            )
            for call in calls
        )

    def _usage(self, request: Request, reply: Message) -> Usage:
        """By the rule in the module's docstring; only messages that are new since the last request are counted."""
        before, characters = self._counted
        messages = request.messages
        if not before or messages[: len(before)] != before:
            before, characters = (), 0
        characters += sum(map(_characters, messages[len(before) :]))
        self._counted = messages, characters
        return Usage(input_uncached=_tokens(characters), output=_tokens(_characters(reply)), basis="provider")

    async def _wait(self, patience: _Patience, seconds: float, sent: str = "") -> None:
        """Wait, but not longer than the request does. Raises ModelError."""
        try:
            await patience.wait(seconds)
        except TimeoutError as late:
            error = ModelError("timeout", str(late), provider=self.provider, model=self.model, in_stream=bool(sent))
            raise _with_partial(error, Message("assistant", sent)) from late


class _Patience:
    """The time that one request has, from now on, by the clock of the running event loop."""

    __slots__ = ("_next", "_now", "_silence", "_until")

    def __init__(self, request: Request) -> None:
        self._now = asyncio.get_running_loop().time
        since = self._now()
        self._until = since + request.timeout
        self._next = None if request.first_content is None else since + request.first_content
        self._silence = request.silence

    def content(self) -> None:
        """Something arrived: what counts now is the silence after it."""
        self._next = None if self._silence is None else self._now() + self._silence

    async def wait(self, seconds: float) -> None:
        """Wait so long for content to come. Raises TimeoutError at the moment at which the request gives up."""
        until = self._until if self._next is None else min(self._until, self._next)
        left = until - self._now()
        if seconds < left:
            await asyncio.sleep(seconds)
            return
        await asyncio.sleep(max(left, 0.0))
        raise TimeoutError("no whole reply in time" if until == self._until else "no content in time")


_NONE: Any = object()
_LONG = 3600.0
"""Seconds that a silent stream sleeps at a time."""
_KEPT = 65_536
"""Characters of an endless text that its partial reply keeps."""


def _in_detail(answer: str | Say | Call | Sequence[Call] | Exception) -> Say:
    if isinstance(answer, Say):
        return answer
    if isinstance(answer, str):
        return Say(answer)
    if isinstance(answer, Exception):
        return Say(then=answer)
    return Say(calls=(answer,) if isinstance(answer, Call) else tuple(answer))


def pieces(message: Message, chunks: int | tuple[str, ...] = 1) -> Iterator[Delta]:
    """A reply as it streams: thinking, text in so many pieces (or these), then each call's arguments likewise."""
    if message.reasoning:
        yield ReasoningDelta(message.reasoning)
    texts = chunks if isinstance(chunks, tuple) else split(message.text, chunks)
    yield from map(TextDelta, texts)
    parts = 1 if isinstance(chunks, tuple) else chunks
    for index, use in enumerate(message.tool_calls):
        if parts == 1:
            yield ToolDelta(index, use.id, use.name, use.arguments)
            continue
        yield ToolDelta(index, use.id, use.name)
        for piece in split(use.arguments, parts):
            yield ToolDelta(index, arguments=piece)


def split(text: str, parts: int) -> Iterator[str]:
    """A text in `parts` pieces of about the same length, in fewer when it is shorter than that; none of no text."""
    length = -(-len(text) // max(parts, 1)) or 1
    return (text[start : start + length] for start in range(0, len(text), length))


def _with_partial(error: Exception, message: Message) -> Exception:
    if isinstance(error, ModelError) and error.partial is None and message != Message("assistant"):
        error.partial, error.in_stream = Reply(message=message, finish="length"), True
    return error


def _characters(message: Message) -> int:
    count = len(message.text) + len(message.reasoning)
    for use in message.tool_calls:
        count += len(use.name) + len(use.arguments)
    return count


def _tokens(characters: int) -> int:
    return -(-characters // _CHARACTERS)
