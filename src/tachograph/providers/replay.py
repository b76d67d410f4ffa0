"""A model that answers from a recorded run: what was said is said again, failed and partial attempts as they were.

    with ReplayModel.of(store, run) as model:
        ...                                         # whatever asks the model, as it did when it was recorded

A strict replay checks that it is asked what was recorded: messages (instructions included) and tools, in order, and
that every answer is used. What differs is told by position, with the first difference.

Comparing happens in recorded form. What a program sends is spelled, cut and redacted as the recorder would do it, then
both sides are compared as JSON values, key order aside; so a secret that was masked when it was recorded is no
difference, nor are two secrets that are masked alike. Give the `scrubber` of the recording where it had rules of its
own. A message of which nothing was kept is compared by its role alone, and a reply that was not kept cannot be given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, Self

import msgspec

from tachograph.errors import ReplayMismatch
from tachograph.events import chat
from tachograph.events.content import Content, canonical
from tachograph.events.envelope import Event
from tachograph.fold import transcript
from tachograph.providers.port import Delta, Reply, Request, ToolSpec
from tachograph.providers.recorded import Attempt, attempts, failure_of, message_of, reply_of
from tachograph.providers.scripted import pieces
from tachograph.record.sanitize import Limits, to_json
from tachograph.record.scrub import Scrubber
from tachograph.store.ports import Reading

_SHOWN = 60
"""Characters of each side that a difference shows."""


class ReplayModel:
    """A model that answers from recorded events, in the order in which the calls began.

    `events` are those of one run (or of several, in order), `fetch` finds contents that a store keeps by hash. `model`
    picks the calls to one model. Not strict, it gives the next answer whatever it is asked, and answers may be left.
    Positions count answers from 1. Usable from several threads and event loops.
    """

    context_window: int | None = None
    warning: Mapping[str, Any] | None = None

    def __init__(
        self,
        events: Iterable[Event],
        fetch: transcript.Fetch | None = None,
        *,
        strict: bool = True,
        model: str | None = None,
        scrubber: Scrubber | None = None,
    ) -> None:
        self.strict = strict
        self.calls = tuple(attempts(events, fetch, model))
        """The attempts to be replayed."""
        first = self.calls[0].started if self.calls else None
        self.provider = first.provider if first else ""
        self.model = first.model if first else model or ""
        self._compare = _Comparison(scrubber)
        self._given = 0
        self._lock = Lock()
        self._unexpected: ReplayMismatch | None = None

    @classmethod
    def of(cls, store: Reading, run: str, **options: Any) -> Self:
        """A replay of a run that a store keeps, by its full id."""
        return cls(store.read(run), store.fetch, **options)

    async def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
        """The next recorded answer. Raises ReplayMismatch, and ModelError where the recorded attempt failed."""
        position, call = self._next(request)
        message = message_of(call, position)
        if request.stream and message is not None:
            for piece in pieces(message, min(call.ended.chunks or 1, len(message.text)) if call.ended else 1):
                yield piece
        if call.ended is None or call.ended.status != "completed":
            raise failure_of(call, message)
        if message is None:
            raise ReplayMismatch(position, "the recorded call was completed, and no reply was recorded")
        yield reply_of(call, call.ended, message)

    def done(self) -> None:
        """Raise ReplayMismatch if a request was unexpected, or (when strict) an answer is unused."""
        if self._unexpected is not None:
            raise self._unexpected
        if self.strict and self._given < len(self.calls):
            left = len(self.calls) - self._given
            raise ReplayMismatch(self._given + 1, f"the recorded run has {left} more, and nobody asked for it")

    def __enter__(self) -> Self:
        """The model; leaving without an error is `done`."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Check that all was used, unless something else went wrong."""
        if error is None:
            self.done()

    async def close(self) -> None:
        """Nothing to let go of."""

    def _next(self, request: Request) -> tuple[int, Attempt]:
        with self._lock:
            position = self._given + 1
            problem = None
            if self._given == len(self.calls):
                problem = f"the recorded run has {self._given} model calls, and one more request came"
            elif self.strict:
                problem = self._compare.difference(self.calls[self._given], request)
            if problem is not None:
                self._unexpected = self._unexpected or ReplayMismatch(position, problem)
                raise ReplayMismatch(position, problem)
            self._given += 1
            return position, self.calls[position - 1]


# ---- whether it is the same -----------------------------------------------------------------------------------------


class _Comparison:
    """Compares requests with recorded ones, each message once."""

    def __init__(self, scrubber: Scrubber | None) -> None:
        self._given = scrubber
        self._scrubbers: dict[str, Scrubber] = {}
        self._same: dict[int, tuple[transcript.Message, chat.Message]] = {}

    def difference(self, call: Attempt, request: Request) -> str | None:
        """The first thing in which a request is not the recorded one; None when there is none."""
        for place, (node, value, message) in enumerate(zip(call.sent, call.values, request.messages, strict=False)):
            if self._same.get(id(node)) == (node, message):
                continue
            problem = self._of_message(node, value, message)
            if problem is not None:
                return f"message {place} ({message.role}) {problem}"
            self._same[id(node)] = node, message
        recorded, asked = len(call.sent), len(request.messages)
        if recorded != asked:
            which = f"; the first more is the {_role(call, request)}'s" if asked != recorded else ""
            return f"{asked} messages were sent, {recorded} are recorded{which}"
        return _of_tools(call, request.tools)

    def _of_message(self, node: transcript.Message, value: Any, message: chat.Message) -> str | None:
        if node.role != message.role and not (node.role == "developer" and message.role == "system"):
            return f"was recorded as the {node.role}'s"
        content = self._as_recorded(message.plain(), node.content)
        if value is None:
            known, mine = node.content.hash, content.hash
            return None if known is None or mine is None or known == mine else "differs; only its hash is kept"
        return _unlike(_spelled(value), _spelled(msgspec.json.decode(content.text or "null")))

    def _as_recorded(self, plain: Mapping[str, Any], like: Content) -> Content:
        """A value as the recorder would keep it, at the level at which `like` was kept."""
        if like.level == "pending":
            return Content(text=to_json(plain).text)
        scrubber = self._given or self._scrubber(like.level)
        clean = to_json(plain, scrubber.limits(Limits().bytes))
        return scrubber.capture(clean.text)

    def _scrubber(self, level: str) -> Scrubber:
        if level not in self._scrubbers:
            self._scrubbers[level] = Scrubber(level="redacted" if level == "redacted" else "full")
        return self._scrubbers[level]


def _role(call: Attempt, request: Request) -> str:
    """Whose the first message is that only one side has."""
    shorter = min(len(call.sent), len(request.messages))
    return call.sent[shorter].role if len(call.sent) > shorter else request.messages[shorter].role


def _of_tools(call: Attempt, tools: Sequence[ToolSpec]) -> str | None:
    if call.started.tools is not None and call.tools is None:
        return None  # not kept
    recorded = [_tool(tool) for tool in call.tools or ()]
    asked = [{"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in tools]
    names, wanted = [str(tool.get("name")) for tool in asked], [str(tool.get("name")) for tool in recorded]
    if names != wanted:
        return f"tools {', '.join(names) or 'none'} were sent, {', '.join(wanted) or 'none'} are recorded"
    for mine, other in zip(asked, recorded, strict=True):
        problem = _unlike(canonical(msgspec.json.encode(other)), canonical(msgspec.json.encode(mine)))
        if problem is not None:
            return f"tool {mine['name']} {problem}"
    return None


def _tool(plain: Any) -> dict[str, Any]:
    """A recorded tool, flat, whichever of the usual shapes it has."""
    if not isinstance(plain, Mapping):
        return {"name": plain}
    function = plain.get("function")
    inner = function if isinstance(function, Mapping) else plain
    schema = inner.get("parameters") or inner.get("input_schema") or {"type": "object", "properties": {}}
    return {"name": inner.get("name"), "description": inner.get("description") or "", "parameters": schema}


def _spelled(value: Any) -> bytes:
    """A message in one spelling, so that fields which say nothing make no difference."""
    with suppress(ValueError, AttributeError):  # in the shape of another wire: compared as it is
        value = chat.read(value).plain()
    return canonical(msgspec.json.encode(value))


def _unlike(recorded: bytes, asked: bytes) -> str | None:
    """Where two spellings part; None when they do not."""
    if recorded == asked:
        return None
    mine, other = asked.decode(), recorded.decode()
    pairs = enumerate(zip(mine, other, strict=False))
    place = next((place for place, (left, right) in pairs if left != right), min(len(mine), len(other)))
    return f"differs: sent {_around(mine, place)}, recorded {_around(other, place)}"


def _around(text: str, place: int) -> str:
    start = max(0, place - _SHOWN // 3)
    end = start + _SHOWN
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
