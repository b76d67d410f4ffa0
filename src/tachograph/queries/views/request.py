"""What one model call saw: its messages, those that the request before it had too, and what is new.

The path is followed backwards through the log, as far as a bounded number of events goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tachograph.errors import NotFound
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.queries.events import kept_texts
from tachograph.queries.transcript import Said
from tachograph.queries.views.conversation import (
    CALL_COLUMNS,
    EACH_BYTES,
    TOGETHER_BYTES,
    asked,
    rows,
    said,
    with_text,
)
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

MOST_EVENTS = 9_000
"""Most events before the call that are looked at."""
SHOWN = 40
"""Most messages of the repeated part that are given, the newest."""
_STRIDE = 1_500
_REPLY = 2_000
"""Events behind the call's start in which its reply is looked for."""
_EARLIER = 8
"""Requests before it that are compared with it; the one that shares most counts."""


class Request(Struct, frozen=True, kw_only=True):
    """One model call as it was sent, and its reply."""

    call: int
    row: Mapping[str, Any]
    """Its row in the table of calls."""
    before: tuple[Said, ...]
    """What an earlier request had too: the newest SHOWN messages of it, oldest first."""
    repeated: int | None
    """How many messages that are; None when the log was not read to their beginning."""
    new: tuple[Said, ...]
    """What no earlier request had in this place."""
    came: tuple[Said, ...]
    """Its reply."""
    compared: int | None
    """The earlier call that it shares most with; None when there is none."""
    gone: int
    """Messages of that earlier request which are not in this one."""
    tools: Content | None
    params: Content | None
    rows: tuple[Mapping[str, Any], ...]
    """Rows of the tool calls that it asked for."""
    results: Mapping[int, Sequence[Mapping[str, Any]]]
    """Those of the earlier calls whose results are new in it, by call."""
    previous: int | None
    """The call before it in the run."""
    next: int | None
    texts: Mapping[str, str]


def request(store: Reading, run: str, pk: int, call: int) -> Request:
    """The call that is this step of the run, whose number is `pk`. Raises NotFound."""
    opening = next(iter(store.read(run, call - 1, 1)), None)
    if opening is None or not isinstance(opening.body, CallStarted):
        raise NotFound("model call", f"{run}/{call}")
    past = _Past(store, run, call)
    path, is_whole = past.path(opening.body.input)
    compared, shared, gone = past.nearest(path, opening.body)
    came = _reply(store, run, call)
    new = path[shared:]
    before = path[max(0, shared - SHOWN) : shared]
    given = [each for each in (opening.body.tools, opening.body.params) if each is not None]
    contents = (*(each.content for each in (*before, *new, *came)), *given)
    texts = kept_texts(contents, store.fetch, EACH_BYTES, TOGETHER_BYTES)
    calls = {each.call for each in past.begun if new and each.call >= (compared or 0)} | {call}
    tools = asked(store, pk, calls, call + _REPLY)
    previous, following = _neighbours(store, pk, call)
    return Request(
        call=call, row=rows(store, "calls", pk, (call,), CALL_COLUMNS).get(call, {}),
        before=_told(before, texts), repeated=shared if is_whole else None, new=_told(new, texts),
        came=_told(came, texts), compared=compared, gone=gone, tools=opening.body.tools, params=opening.body.params,
        rows=tuple(tools.get(call, ())), results=tools, previous=previous, next=following, texts=texts,
    )  # fmt: skip


class _Begun(Struct, frozen=True):
    call: int
    body: CallStarted


class _Past:
    """The log before a call, read backwards as far as it is needed."""

    def __init__(self, store: Reading, run: str, call: int) -> None:
        self._store, self._run = store, run
        self._from, self._least = call, max(0, call - MOST_EVENTS)
        self._messages: dict[int, Event] = {}
        self.begun: list[_Begun] = []
        """Calls that began before it, newest first, as far as they were read."""

    def path(self, node: int | None) -> tuple[list[Said], bool]:
        """Messages up to a node, oldest first, and whether these are all."""
        found: list[Said] = []
        while node is not None:
            while node not in self._messages and self._from > self._least:
                self._more()
            event = self._messages.get(node)
            if event is None:
                return found[::-1], False
            found.append(said(event))
            assert isinstance(event.body, MessageAppended)
            node = event.body.parent
        return found[::-1], True

    def nearest(self, path: Sequence[Said], body: CallStarted) -> tuple[int | None, int, int]:
        """The earlier call that shares most with a path: its step, how many messages, and how many it had besides."""
        if not self.begun and self._from > self._least:
            self._more()
        places = {message.node: place for place, message in enumerate(path, 1)}
        best: tuple[int | None, int, int] = (None, 0, 0)
        for each in [each for each in self.begun if each.body.purpose == body.purpose][:_EARLIER]:
            node, gone = each.body.input, 0
            while node is not None and node not in places and node in self._messages:
                said_before = self._messages[node].body
                assert isinstance(said_before, MessageAppended)
                gone += not said_before.ephemeral
                node = said_before.parent
            shared = 0 if node is None else places.get(node, 0)
            if shared > best[1]:
                best = (each.call, shared, gone)
        return best

    def _more(self) -> None:
        start = max(self._least, self._from - _STRIDE)
        events = list(self._store.read(self._run, start - 1, self._from - start))
        self._from = start
        self._messages.update((event.seq, event) for event in events if isinstance(event.body, MessageAppended))
        self.begun.extend(
            _Begun(event.seq, event.body) for event in reversed(events) if isinstance(event.body, CallStarted)
        )


def _reply(store: Reading, run: str, call: int) -> list[Said]:
    """What came back, oldest first."""
    messages: dict[int, Event] = {}
    found: list[Said] = []
    for event in store.read(run, call, _REPLY):
        if isinstance(event.body, MessageAppended):
            messages[event.seq] = event
        elif isinstance(event.body, CallEnded) and event.step == call:
            node = event.body.output
            while node is not None and node in messages:
                body = messages[node].body
                assert isinstance(body, MessageAppended)
                found.append(said(messages[node]))
                node = body.parent
            break
    return found[::-1]


def _neighbours(store: Reading, pk: int, call: int) -> tuple[int | None, int | None]:
    def nearest(condition: Where, order: str) -> int | None:
        query = Query("calls", (Where("run", "eq", pk), condition), ("step",), order=(order,), limit=1)
        return next((row["step"] for row in store.find(query).rows), None)

    return nearest(Where("step", "lt", call), "-step"), nearest(Where("step", "gt", call), "step")


def _told(messages: Iterable[Said], texts: Mapping[str, str]) -> tuple[Said, ...]:
    return tuple(with_text(each, texts) for each in messages)
