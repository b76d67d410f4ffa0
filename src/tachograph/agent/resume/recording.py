"""A run as it was recorded: its events, what its contents say, where it stood after any of them, and the runs below it.

Everything is read from the store, in recorded form: what redaction masked is masked here, and what was not kept cannot
be read back, which is said and never made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from tachograph import compose
from tachograph.agent.recorded import RecordedState
from tachograph.errors import InvalidParameter, NotFound, SettingsError
from tachograph.events.call import CallStarted
from tachograph.events.envelope import Event
from tachograph.events.run import AUDIT, RunStarted
from tachograph.fold.transcript import text_of
from tachograph.record.after.take import bring_in
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

SECONDS = 10.0
"""How long to wait for what is on its way to the store."""
_FACTS = ("id", "execution_id", "parent_run", "parent_step", "source", "status", "started_at")


@dataclass(frozen=True)
class Recording:
    """One run, up to and with some event."""

    store: Reading
    run: str
    execution_id: str
    status: str
    """How the run stands now, wherever the recording is cut."""
    events: tuple[Event, ...]
    cut: int | None = None
    """Its last event's time (UTC ns), where it was cut; None: it is whole."""

    @property
    def seq(self) -> int:
        """Its last event here."""
        return self.events[-1].seq

    @property
    def started(self) -> RunStarted:
        """How it began."""
        body = self.events[0].body
        assert isinstance(body, RunStarted)
        return body

    def folded(self, *, accept: bool = False) -> RecordedState:
        """The fold of its events. Raises CodecError for content that was not kept, unless that is accepted."""
        recorded = RecordedState(self.store.fetch, accept=accept)
        for event in self.events:
            recorded.apply(event)
        return recorded

    def offered(self) -> tuple[str, ...]:
        """Names of the tools of its last request; empty where they were not kept."""
        asked = next((e.body for e in reversed(self.events) if isinstance(e.body, CallStarted)), None)
        text = None if asked is None or asked.tools is None else text_of(asked.tools, self.store.fetch)
        return () if text is None else tuple(tool["function"]["name"] for tool in msgspec.json.decode(text))

    def until(self, seq: int | None) -> Recording:
        """The same up to and with event `seq`; None: all of it. Raises InvalidParameter for an event it has not."""
        if seq is None or seq == self.seq:
            return self
        if not 0 <= seq < self.seq:
            raise InvalidParameter("seq", str(seq), f"an event of the run: 0 to {self.seq}")
        events = self.events[: seq + 1]
        return replace(self, events=events, cut=events[-1].at)

    def children(self) -> Iterator[Recording]:
        """Runs that steps of this one began, in order; of one that was cut, as far as they had come by then."""
        where = (Where("parent_run", "eq", self.run), Where("source", "ne", AUDIT))
        rows = self.store.find(Query("runs", where, _FACTS, order=("started_at",), limit=None)).rows
        for row in rows:
            if (row["parent_step"] or 0) > self.seq:
                continue
            events = tuple(e for e in self.store.read(row["id"]) if self.cut is None or e.at <= self.cut)
            if events:
                yield Recording(self.store, row["id"], row["execution_id"], row["status"], events, self.cut)


@contextmanager
def reading(store: Reading | None) -> Iterator[Reading]:
    """A store to read from: the one that is given, or this process's, with all that was recorded by now.

    What processes that died have recorded is brought there first, and their runs are closed. Raises SettingsError,
    StoreError.
    """
    if store is not None:
        yield store
        return
    system = compose.recording()
    reach = system.reach()
    try:
        bring_in(reach, system.recorder.journal.owner.journal, SECONDS)
        yield reach.store
    finally:
        reach.store.close()


def recording(execution_id: str, store: Reading) -> Recording:
    """The run of an execution: the newest that no other run of it began. A run's own id will do, too.

    Raises SettingsError for what is no id, NotFound, StoreError.
    """
    if not isinstance(execution_id, str):
        raise SettingsError("execution_id", execution_id, "an id, as in resume(id, agents) and fork(agent, id)")
    found = _rows(store, "execution_id", execution_id) or _rows(store, "id", execution_id)
    if not found:
        raise NotFound("run", execution_id)
    ids = {row["id"] for row in found}
    top = [row for row in found if row["parent_run"] not in ids]
    row = max(top, key=lambda one: (one["started_at"], one["id"]))
    return Recording(store, row["id"], row["execution_id"], row["status"], tuple(store.read(row["id"])))


def _rows(store: Reading, column: str, value: str) -> Sequence[Mapping[str, Any]]:
    where = (Where(column, "eq", value), Where("source", "ne", AUDIT))
    return store.find(Query("runs", where, _FACTS, limit=None)).rows
