"""What events name by hash: the contents that a store keeps for them, and that go when nobody names them any more.

A content of level `hashed` names a row of its own, which never has bytes: who tells a hash and nothing else becomes no
user of what others have stored under it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note
from tachograph.events.run import RunEnded, RunResumed, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.store.changes import hash_bytes
from tachograph.store.ports import Batch

FIELDS: Mapping[type, tuple[str, ...]] = {
    RunStarted: ("metadata", "input"),
    RunEnded: ("output", "metadata"),
    RunResumed: ("limits",),
    StepStarted: ("input", "metadata"),
    StepEnded: ("output", "metadata"),
    CallStarted: ("tools", "params", "metadata"),
    CallEnded: ("metadata",),
    ToolStarted: ("arguments", "metadata"),
    ToolEnded: ("result", "metadata"),
    MessageAppended: ("message",),
    Note: ("data",),
}
"""Event type → its fields that hold content. Types without any are not here."""


def named(body: Any) -> Iterator[Content]:
    """The contents that an event's body names by hash. What stands in a message is named by that message."""
    for name in FIELDS.get(type(body), ()):
        content: Content | None = getattr(body, name)
        if content is None or content.hash is None or content.text is not None or content.level == "none":
            continue
        if content.level != "message" or name == "message":
            yield content


def without(batch: Batch, runs: Container[str]) -> Batch:
    """A batch without the events of some runs, and without the contents that none of the others names."""
    kept = [event for event in batch.events if event.run not in runs]
    wanted = _hashes(kept)
    payloads = {hash: data for hash, data in batch.payloads.items() if hash in wanted}
    return replace(batch, events=kept, payloads=payloads)


def _hashes(events: Iterable[Event]) -> set[bytes]:
    found = {hash_bytes(content.hash) for event in events for content in named(event.body) if content.level != "hashed"}
    return found - {None}  # type: ignore[return-value] # what is no hash is not there any more


class Uses(NamedTuple):
    """What a run's log names: payloads and nodes, by number."""

    payloads: frozenset[int] = frozenset()
    nodes: frozenset[int] = frozenset()

    def less(self, other: Uses) -> Uses:
        """What the other does not name."""
        return Uses(self.payloads - other.payloads, self.nodes - other.nodes)
