"""What a batch changes, collected row by row while its events are projected; and what that needs to know of the store.

`Known` is the store as a projector sees it: numbers for values that are kept once, and rows of earlier batches.
`RunState` is a run between two batches. `Changes` holds the rows that are new or different, and the steps every event
family shares: open a step, close it, place a content, find a message's node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from tachograph.events import ids
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content, canonical_hash, digest
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.events.run import AUDIT, Failure, RunEnded, RunResumed, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.store.rows import TOTALS, CallRow, LimitRow, RunRow, ScoreRow, SessionRow, StepRow, ToolRow

HOUR_NS = 3_600_000_000_000

Key = tuple[int, int]
"""A row of a run: (run's pk, step or seq)."""
EMPTY = 0
"""The node of the empty transcript."""
Row = TypeVar("Row")

_encode = msgspec.json.Encoder(order="sorted").encode


class Known(Protocol):
    """What a projector asks of its store."""

    def payload(self, content: Content) -> int | None:
        """Payload id of a content named by its hash; None when the hash is none, or nothing was to be kept."""
        ...

    def use(self, content: Content, run: int) -> None:
        """A run names a content by its hash, and so keeps it."""
        ...

    def bytes_of(self, hash: str) -> bytes | None:
        """The bytes behind a hash (hex), when they are stored."""
        ...

    def node(self, parent: int, payload: int, role: str) -> int:
        """The node of this message (payload 0: nothing of it was kept) below that parent."""
        ...

    def price(self, price_id: str, price_date: str) -> int:
        """The number of a price row."""
        ...

    def step(self, key: Key) -> StepRow | None:
        """A step's row as it is stored."""
        ...

    def call(self, key: Key) -> CallRow | None:
        """A model call's row as it is stored."""
        ...

    def tool(self, key: Key) -> ToolRow | None:
        """A tool call's row as it is stored."""
        ...

    def session(self, key: tuple[str, str]) -> SessionRow | None:
        """A session's row as it is stored, by (tenant, session)."""
        ...

    def log(self, run: RunRow) -> Iterable[Event]:
        """The run's events that are stored, in order."""
        ...


class RunState:
    """A run between two batches: its row, its open steps (with their monotonic start) and its transcript nodes.

    `complete` is False when the last two are not all there; they are then read from the log if an event needs them.
    `began` is the monotonic start of the run itself, as far as that is known: one that has ended may go on.
    """

    __slots__ = ("began", "complete", "nodes", "open", "row")

    def __init__(self, row: RunRow, *, complete: bool = False) -> None:
        self.row, self.complete = row, complete
        self.open: dict[int, int] = {}
        self.nodes: dict[int, int] = {}
        self.began: int | None = None

    @classmethod
    def begin(cls, pk: int, event: Event) -> RunState:
        """The state before a run's first event."""
        execution = ids.execution_id(event.at, event.run)
        row = RunRow(pk=pk, id=event.run, execution_id=execution, started_at=event.at, updated_at=event.at)
        return cls(row, complete=True)

    def rest(self) -> None:
        """Let go of what an ended run no longer needs."""
        self.open, self.nodes, self.complete = {}, {}, False


class Rows(Generic[Row]):
    """Rows of one table that a batch adds or changes."""

    __slots__ = ("changed", "load", "new")

    def __init__(self, load: Callable[[Any], Row | None]) -> None:
        self.load = load
        self.new: dict[Any, Row] = {}
        self.changed: dict[Any, Row] = {}

    def get(self, key: Any) -> Row | None:
        """The row as it stands now, to be changed; None when there is none."""
        row = self.new.get(key) or self.changed.get(key)
        if row is None and (row := self.load(key)) is not None:
            self.changed[key] = row
        return row


class Changes:
    """The rows that a batch adds or changes, and the hours whose rollups that makes stale."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.steps: Rows[StepRow] = Rows(known.step)
        self.calls: Rows[CallRow] = Rows(known.call)
        self.tools: Rows[ToolRow] = Rows(known.tool)
        self.sessions: Rows[SessionRow] = Rows(known.session)
        self.limits: list[LimitRow] = []
        self.scores: list[ScoreRow] = []
        self.dirty: set[tuple[str, int]] = set()
        """(tenant, hour) of every step touched."""
        self.messages: list[int] = []
        """Payload ids of the messages of the run projected last, one for each `MessageAppended`."""

    # ---- steps ----------------------------------------------------------------------------------------------------

    def start(
        self,
        state: RunState,
        event: Event,
        row: StepRow,
        metadata: Content | None = None,
        refs: Mapping[str, str] | None = None,
    ) -> None:
        """A step begins."""
        if row.agent_type is None:
            row.agent_type = state.row.agent_type
        if metadata is not None:
            row.metadata, row.metadata_payload = self.place(state.row, metadata)
        if refs:
            _refer(row, refs)
        state.open[row.step] = event.mono
        if row.step == 0:
            state.began = event.mono
        if row.step == 0 and state.row.source == AUDIT:
            return
        self.steps.new[row.run, row.step] = row
        self.stale(state.row, event.at)

    def close(self, state: RunState, step: int, mono: int) -> int | None:
        """Duration of an open step, which is open no longer; None when it is not open."""
        started = state.open.pop(step, None)
        if started is None and not state.complete:
            self._replay(state)
            started = state.open.pop(step, None)
        return None if started is None else max(0, mono - started)

    def end(
        self, state: RunState, step: int, status: str, duration: int | None, error: Failure | None
    ) -> StepRow | None:
        """A step has ended. Returns its row."""
        row = self.steps.get((state.row.pk, step))
        if row is not None:
            row.status, row.duration_ns = status, duration
            fail(row, error)
            self.stale(state.row, row.started_at)
        return row

    def reopen(self, state: RunState) -> None:
        """The run goes on: its own step is open again, as it began. What else was said of it stays."""
        if not state.complete:
            self._replay(state)
        if state.began is not None:
            state.open[0] = state.began
        row = self.steps.get((state.row.pk, 0))
        if row is not None:
            row.status, row.duration_ns = "started", None
            forgive(row)
            self.stale(state.row, row.started_at)

    def add_metadata(self, run: RunRow, row: RunRow | StepRow | None, metadata: Content | None) -> None:
        """Metadata of an end joins that of its start: two objects become one, else what came last stands."""
        if row is not None and metadata is not None:
            text, row.metadata_payload = self.place(run, metadata)
            row.metadata = _merged(row.metadata, text)

    def stale(self, run: RunRow, at: int) -> None:
        """Mark the hour of a step that starts at `at`."""
        self.dirty.add((run.tenant, at // HOUR_NS))

    # ---- contents -------------------------------------------------------------------------------------------------

    def place(self, run: RunRow, content: Content | None) -> tuple[str | None, int | None]:
        """A content's two columns: its text, or the payload that holds it."""
        if content is None:
            return None, None
        receive(run, content)
        if content.text is not None:
            return content.text, None
        if content.hash is None or content.level == "message":
            return None, None
        return None, self.known.payload(content)

    def same_value(self, content: Content | None) -> int | None:
        """First 64 bits of the canonical hash: equal for equal values, whatever the order of their keys."""
        if content is None:
            return None
        text: str | bytes | None = content.text
        if text is None and content.hash is not None and content.level != "hashed":
            text = self.known.bytes_of(content.hash)
        return same_bytes(content) if text is None else first_64(canonical_hash(text))

    # ---- transcripts ----------------------------------------------------------------------------------------------

    def node(self, state: RunState, seq: int) -> int:
        """The node of an earlier message; the empty transcript when that event was lost."""
        node = state.nodes.get(seq)
        if node is None and not state.complete:
            self._replay(state)
            node = state.nodes.get(seq)
        return node or EMPTY

    def append(self, state: RunState, seq: int, body: MessageAppended) -> int:
        """The node of a new message; returns its payload id, 0 when nothing of it was kept."""
        payload = self.known.payload(body.message) or 0
        parent = EMPTY if body.parent is None else self.node(state, body.parent)
        state.nodes[seq] = self.known.node(parent, payload, body.role)
        return payload

    def _replay(self, state: RunState) -> None:
        """Read open steps and nodes from the log; what this batch brought is kept."""
        state.complete = True
        opened: dict[int, int] = {}
        began: int | None = None
        for event in self.known.log(state.row):
            body = event.body
            if isinstance(body, MessageAppended):
                self.append(state, event.seq, body)
            elif isinstance(body, RunStarted | StepStarted | CallStarted | ToolStarted):
                opened[event.seq] = event.mono
                began = event.mono if isinstance(body, RunStarted) else began
            elif isinstance(body, StepEnded | CallEnded | ToolEnded):
                opened.pop(event.step, None)
            elif isinstance(body, RunEnded):
                opened.pop(0, None)
            elif isinstance(body, RunResumed) and began is not None:
                opened[0] = began
        state.open = {**opened, **state.open}
        state.began = began if state.began is None else state.began

    # ---- sessions -------------------------------------------------------------------------------------------------

    def count(self, run: RunRow, before: Sequence[int], *, new: bool) -> None:
        """A session takes in what its run's totals grew by."""
        assert run.session is not None
        key = (run.tenant, run.session)
        session = self.sessions.get(key)
        if session is None:
            session = self.sessions.new[key] = SessionRow(
                tenant=run.tenant, session=run.session, started_at=run.started_at, updated_at=run.updated_at,
                last_run="", last_started_at=-1,
            )  # fmt: skip
        if session.runs == 0:
            session.started_at, session.updated_at = run.started_at, run.updated_at
        session.runs += new
        session.started_at = min(session.started_at, run.started_at)
        session.updated_at = max(session.updated_at, run.updated_at)
        for name, was in zip(TOTALS, before, strict=True):
            setattr(session, name, getattr(session, name) + getattr(run, name) - was)
        _latest(session, run)

    def leave(self, key: tuple[str, str], runs: Iterable[RunRow], rest: Sequence[RunRow]) -> None:
        """Runs leave their session, which `key` names (tenant, session). One that nobody is in has `runs` 0.

        `rest` are the runs that stay, or those among them that started first, started last and were written last.
        """
        session = self.sessions.get(key)
        if session is None:
            return
        for run in runs:
            session.runs -= 1
            for name in TOTALS:
                setattr(session, name, getattr(session, name) - getattr(run, name))
        if rest:
            session.started_at = min(each.started_at for each in rest)
            session.updated_at = max(each.updated_at for each in rest)
        session.last_run, session.last_started_at = "", -1
        for each in rest:
            _latest(session, each)


def session_of(run: RunRow) -> tuple[str, str] | None:
    """The session that counts this run, by (tenant, session)."""
    return None if run.session is None or run.source == AUDIT else (run.tenant, run.session)


def totals(run: RunRow) -> list[int]:
    """The sums that a session shares with its runs."""
    return [getattr(run, name) for name in TOTALS]


def fail(row: RunRow | StepRow, error: Failure | None) -> None:
    """Note an error in a row."""
    if error is not None:
        row.error_type, row.error_category, row.error_message = error.type, error.category or None, error.message


def forgive(row: RunRow | StepRow) -> None:
    """What was an error is none any more."""
    row.error_type = row.error_category = row.error_message = None


def receive(run: RunRow, content: Content) -> None:
    """What happened to a content on its way in, for the run's receipt."""
    if content.full_size is not None:
        run.truncated += 1
    if content.redacted:
        run.redacted += sum(content.redacted.values())
    if content.marks:
        run.sanitized += 1


def same_bytes(content: Content) -> int | None:
    """First 64 bits of the identity of what was recorded."""
    if content.text is not None:
        return first_64(digest(content.text.encode()))
    return first_64(hash_bytes(content.hash))


def first_64(hash: bytes | None) -> int | None:
    """The first eight bytes as a signed integer, which is what SQL keeps best."""
    return None if hash is None else int.from_bytes(hash[:8], "big", signed=True)


def hash_bytes(text: str | None) -> bytes | None:
    """The 32 bytes of a hash in hex; None for anything else."""
    try:
        return bytes.fromhex(text) if text is not None and len(text) == 64 else None
    except ValueError:
        return None


def _latest(session: SessionRow, run: RunRow) -> None:
    """The run that started last says how the session stands, whatever order the runs are seen in."""
    if (run.started_at, run.id) >= (session.last_started_at, session.last_run):
        session.last_started_at, session.last_run, session.user = run.started_at, run.id, run.user
        session.status = "handed_off" if run.stop_reason == "human_handoff" else "active"


_REFS = {"report_id": "report_id", "completion_id": "completion_id", "widget_id": "widget_id", "step_id": "step_ref"}


def _refer(row: StepRow, refs: Mapping[str, str]) -> None:
    rest = {}
    for name, value in refs.items():
        if name in _REFS:
            setattr(row, _REFS[name], value)
        else:
            rest[name] = value
    if rest:
        row.refs = _encode(rest).decode()


def _merged(before: str | None, after: str | None) -> str | None:
    if before is None or after is None:
        return after
    one, two = msgspec.json.decode(before), msgspec.json.decode(after)
    if isinstance(one, dict) and isinstance(two, dict):
        return _encode({**one, **two}).decode()
    return after
