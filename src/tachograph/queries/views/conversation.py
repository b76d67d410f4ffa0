"""What was said in a run, in the order in which it was said: a stretch of its log, as model calls.

Each call has what was new in its request, against everything said before, and its reply. Only a stretch of the log is
read, so that it costs the same in a run of any length; a stretch ends where a call does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.run import RunResumed, StepStarted
from tachograph.queries.events import kept_texts
from tachograph.queries.transcript import Said
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

MOST_EVENTS = 3_000
"""Most events that a stretch has."""
MESSAGES = 60
"""A stretch ends with the call that goes beyond so many messages."""
BEFORE = 6
"""Messages before the one that was asked for."""
EACH_BYTES = 262_144
"""Largest message whose text is read for a page."""
TOGETHER_BYTES = 2_097_152
"""Most bytes of text for a page, the smallest messages first."""
BEFORE_IT = -1
"""Stands for a message before the stretch."""
_AHEAD = 200
"""Events behind a stretch in which the results of its last tool calls are looked for."""
_MARKED = ("compaction", "handoff")
"""Kinds of steps that stand in a conversation."""
Follows = Literal["first", "on", "unknown", "anew", "earlier"]
"""What a request goes on from: nothing; the newest message of a conversation; something before the stretch; nothing,
though much was said before; or an earlier message, and what came behind that is not in it."""


class Turn(Struct, frozen=True, kw_only=True):
    """One model call with what was said in it; or messages that no call has."""

    call: int | None
    """Its step; None for messages without a call."""
    seq: int
    """Of its first event."""
    sent: tuple[Said, ...] = ()
    """What is new in its request, oldest first."""
    came: tuple[Said, ...] = ()
    """Its reply; on an abort the part that came."""
    follows: Follows = "on"
    after: int | None = None
    """The message that the new ones follow."""
    repeated: int | None = None
    """Messages before the new ones; None where that is not known."""
    is_begun: bool = True
    """False: it began before the stretch."""
    marks: tuple[Event, ...] = ()
    """What happened before its reply: compactions, hand-offs, limits."""
    tools: Content | None = None
    """Tool definitions, where they are not those of the call before in this stretch."""
    params: Content | None = None
    """Everything else that was sent, likewise."""


class Conversation(Struct, frozen=True, kw_only=True):
    """A stretch of a run's conversation."""

    run: str
    turns: tuple[Turn, ...]
    first: int
    """Seq of its first event."""
    last: int
    """Of its last; `first - 1` when there is none."""
    stored: int
    """Events that the run has."""
    ahead: tuple[Said, ...] = ()
    """Messages behind it, as far as they may be results of its last tool calls."""
    calls: Mapping[int, Mapping[str, Any]] = {}
    """Rows of its calls, by step."""
    tools: Mapping[int, Sequence[Mapping[str, Any]]] = {}
    """Rows of the tool calls that its calls asked for, by the step of the call, in order."""
    texts: Mapping[str, str] = {}
    """Texts of tool definitions and parameters, by hash."""
    trees: Mapping[int, int] = {}
    """Message → the first message of its conversation; BEFORE_IT where that is before the stretch."""


CALL_COLUMNS = (
    "step", "model", "provider", "operation", "purpose", "iteration", "agent_type", "status", "started_at",
    "duration_ns", "attempt", "retry_of", "uncached_tokens", "cache_read_tokens", "cache_write_tokens", "input_tokens",
    "output_tokens", "reasoning_tokens", "cost_nano", "cost_state", "finish_reason", "served_model", "http_status",
    "error_type", "error_message",
)  # fmt: skip
"""What is known of a call without its content."""
TOOL_COLUMNS = ("step", "name", "state", "duration_ns", "call_id", "requested_by", "position", "reason", "parent")


def conversation(store: Reading, run: str, pk: int, after: int = -1) -> Conversation:
    """The stretch behind event `after` of this run, whose number is `pk`."""
    events = list(_stretch(store.read(run, after, MOST_EVENTS)))
    last = events[-1].seq if events else after
    reader = _Reader(after + 1)
    turns = list(reader.read(events))
    ahead = _ahead(store, run, last, reader)
    calls = rows(store, "calls", pk, [turn.call for turn in turns if turn.call is not None], CALL_COLUMNS)
    found = Conversation(
        run=run, turns=tuple(turns), first=after + 1, last=last, stored=store.next_seq(run), ahead=ahead,
        calls=calls, tools=asked(store, pk, calls, last + _AHEAD), trees=reader.trees,
    )  # fmt: skip
    return with_texts(store, found)


def begin_before(store: Reading, run: str, seq: int, messages: int = MESSAGES) -> int:
    """Where to begin, so that a stretch has some `messages` before event `seq`: behind the end of a call."""
    start = max(-1, seq - 1 - MOST_EVENTS)
    found, place = 0, start
    for event in reversed(list(store.read(run, start, seq - 1 - start))):
        found += isinstance(event.body, MessageAppended)
        if isinstance(event.body, CallEnded):
            if found >= messages:
                return event.seq
            place = event.seq
    return -1 if start == -1 and found < messages + MESSAGES else place


def rows(
    store: Reading, table: str, pk: int, steps: Collection[int], columns: tuple[str, ...]
) -> dict[int, Mapping[str, Any]]:  # fmt: skip
    """Rows of these steps of one run, by step."""
    if not steps:
        return {}
    where = (Where("run", "eq", pk), Where("step", "in", tuple(steps)))
    return {row["step"]: row for row in store.find(Query(table, where, columns, order=("step",), limit=None)).rows}


def calls_near(store: Reading, pk: int, step: int, each: int = 15) -> list[Mapping[str, Any]]:
    """Rows of the calls around a step of the run: so many before it, itself, and so many behind."""
    whose = Where("run", "eq", pk)
    before = Query("calls", (whose, Where("step", "lt", step)), CALL_COLUMNS, order=("-step",), limit=each)
    behind = Query("calls", (whose, Where("step", "ge", step)), CALL_COLUMNS, order=("step",), limit=each + 1)
    return [*reversed(store.find(before).rows), *store.find(behind).rows]


def asked(store: Reading, pk: int, calls: Collection[int], most: int) -> dict[int, list[Mapping[str, Any]]]:
    """Rows of the tool calls that these calls asked for, up to step `most`, by the call, in the order of the reply."""
    if not calls:
        return {}
    where = (Where("run", "eq", pk), Where("step", "gt", min(calls)), Where("step", "le", most))
    query = Query("tool_calls", where, TOOL_COLUMNS, order=("step",), limit=None)
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in sorted(store.find(query).rows, key=lambda row: (row["position"], row["step"])):
        if row["requested_by"] in calls:
            found.setdefault(row["requested_by"], []).append(row)
    return found


def _stretch(events: Iterable[Event]) -> Iterator[Event]:
    """Events up to the end of the call that goes beyond so many messages."""
    messages, opened = 0, set[int]()
    for event in events:
        yield event
        match event.body:
            case MessageAppended():
                messages += 1
            case CallStarted():
                opened.add(event.seq)
            case CallEnded():
                opened.discard(event.step)
                if messages >= MESSAGES and not opened:
                    return
        if messages >= 4 * MESSAGES:
            return


def _ahead(store: Reading, run: str, last: int, reader: _Reader) -> tuple[Said, ...]:
    found = []
    for event in store.read(run, last, _AHEAD):
        match event.body:
            case MessageAppended(parent=parent):
                reader.grow(event.seq, parent)
                found.append(said(event))
            case CallEnded():
                break
    return tuple(found)


def said(event: Event) -> Said:
    """The message that an event appends, without its text."""
    body = event.body
    assert isinstance(body, MessageAppended)
    return Said(event.seq, body.role, body.message.text, body.message, body.ephemeral)


class _Reader:
    """Gives events of a stretch to calls. A message belongs to the first call that has it in its path."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.trees: dict[int, int] = {}
        self._parents: dict[int, int | None] = {}
        self._depth: dict[int, int] = {}
        self._loose: dict[int, Said] = {}
        self._marks: list[Event] = []
        self._open: dict[int, Turn] = {}
        self._tips: set[int] = set()
        self._fleeting: set[int] = set()
        self._said_before = first > 0
        self._given: tuple[Content | None, Content | None] = (None, None)

    def read(self, events: Iterable[Event]) -> Iterator[Turn]:
        """The turns, in the order of their ends; calls that are open come last."""
        for event in events:
            match event.body:
                case MessageAppended(parent=parent, ephemeral=ephemeral):
                    self._append(event, parent, ephemeral=ephemeral)
                case CallStarted():
                    self._open[event.seq] = self._begun(event, event.body)
                case CallEnded(output=output):
                    yield self._ended(event, output)
                case LimitHit() | RunResumed():
                    self._marks.append(event)
                case StepStarted(kind=kind) if kind in _MARKED:
                    self._marks.append(event)
        yield from (msgspec.structs.replace(turn, marks=self._marked(turn)) for turn in self._open.values())
        if self._loose or self._marks:
            left = tuple(self._loose.values())
            seq = min([*self._loose, *(event.seq for event in self._marks)])
            yield Turn(call=None, seq=seq, sent=left, marks=tuple(self._marks))

    def grow(self, node: int, parent: int | None) -> None:
        """Note the conversation that a message is of."""
        self.trees[node] = node if parent is None else self.trees.get(parent, BEFORE_IT)

    def _append(self, event: Event, parent: int | None, *, ephemeral: bool) -> None:
        self._parents[event.seq] = parent
        self.grow(event.seq, parent)
        if ephemeral:
            self._fleeting.add(event.seq)
        if parent is None:
            self._depth[event.seq] = 1
        elif parent in self._depth:
            self._depth[event.seq] = self._depth[parent] + 1
        self._loose[event.seq] = said(event)

    def _begun(self, event: Event, body: CallStarted) -> Turn:
        sent, after = self._path(body.input)
        tools = None if body.tools == self._given[0] else body.tools
        params = None if body.params == self._given[1] else body.params
        self._given = (body.tools, body.params)
        turn = Turn(
            call=event.seq, seq=sent[0].node if sent else event.seq, sent=sent,
            follows=self._follows(body, sent, after), after=after,
            repeated=0 if after is None else self._depth.get(after), marks=tuple(self._marks), tools=tools,
            params=params,
        )  # fmt: skip
        self._marks = []
        self._stands_at(body.input, after)
        self._said_before = True
        return turn

    def _ended(self, event: Event, output: int | None) -> Turn:
        came, after = self._path(output)
        self._stands_at(output, after)
        begun = self._open.pop(event.step, None)
        if begun is None:
            began_before = event.step < self._first
            return Turn(
                call=event.step, seq=event.seq, came=came, marks=tuple(self._taken()), is_begun=not began_before
            )
        return msgspec.structs.replace(begun, came=came, marks=(*begun.marks, *self._taken()))

    def _follows(self, body: CallStarted, sent: Sequence[Said], after: int | None) -> Follows:
        if after is None:
            return "anew" if self._said_before and (sent or body.input is not None) else "first"
        if after < self._first:
            return "unknown"
        return "on" if after in self._tips else "earlier"

    def _path(self, node: int | None) -> tuple[tuple[Said, ...], int | None]:
        """Messages up to a node that no call had yet, and the one before them."""
        found = []
        while node is not None and node in self._loose:
            found.append(self._loose.pop(node))
            node = self._parents[node]
        return tuple(found[::-1]), node

    def _stands_at(self, node: int | None, after: int | None) -> None:
        """A conversation stands at this node, and at what is before it where that was present in one request only."""
        if after is not None:
            self._tips.discard(after)
        while node is not None:
            self._tips.add(node)
            node = self._parents.get(node) if node in self._fleeting else None

    def _taken(self) -> Iterator[Event]:
        marks, self._marks = self._marks, []
        yield from marks

    def _marked(self, turn: Turn) -> tuple[Event, ...]:
        return (*turn.marks, *self._taken())


def with_texts(store: Reading, found: Conversation) -> Conversation:
    """The same with the texts of its messages, as far as there is room for them."""
    messages = [each for turn in found.turns for each in (*turn.sent, *turn.came)] + list(found.ahead)
    given = [each for turn in found.turns for each in (turn.tools, turn.params) if each is not None]
    texts = kept_texts((*(each.content for each in messages), *given), store.fetch, EACH_BYTES, TOGETHER_BYTES)

    def told(each: Sequence[Said]) -> tuple[Said, ...]:
        return tuple(with_text(one, texts) for one in each)

    turns = (
        msgspec.structs.replace(turn, sent=told(turn.sent), came=told(turn.came)) for turn in found.turns
    )  # fmt: skip
    return msgspec.structs.replace(found, turns=tuple(turns), ahead=told(found.ahead), texts=texts)


def with_text(one: Said, texts: Mapping[str, str]) -> Said:
    """The message with its text; where that is kept and there was no room, it is not whole."""
    if one.text is not None or one.content.hash is None:
        return one
    text = texts.get(one.content.hash)
    room = one.content.level in ("hashed", "none") or one.content.size <= EACH_BYTES
    return msgspec.structs.replace(one, text=text, whole=text is not None or room)
