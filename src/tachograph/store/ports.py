"""What a store can do, as small protocols. A backend that cannot honour one does not pretend to.

`Log` takes admitted events in order and gives them back; `Blobs` holds contents by hash; `Index` answers `Query` values
over the projections. `memory:` is the specification: what it does, the others do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from tachograph.events.envelope import Event
from tachograph.store.query import Page, Query
from tachograph.store.rows import ImportRow, JournalRow, LossRow


class Position(Struct, frozen=True):
    """How far a journal has been moved into the store: committed with the rows, by compare-and-set."""

    journal: str
    segment: int
    offset: int
    before: tuple[int, int] = (0, 0)
    """(segment, offset) this batch starts from; if the store stands elsewhere nothing of the batch is stored."""


class Batch(Struct, frozen=True):
    """Admitted events, in order within each run, with the contents they name by hash."""

    events: Sequence[Event] = ()
    payloads: Mapping[bytes, bytes] = {}
    """BLAKE2b-256 → the exact bytes."""
    canonical: Mapping[bytes, bytes] = {}
    """Identity hash → canonical hash, for the messages among the payloads."""
    position: Position | None = None
    replace: frozenset[str] = frozenset()
    """Runs whose stored events are removed first: an imported session that has grown or changed."""


class Appended(Struct, frozen=True):
    """What became of a batch."""

    stored: int = 0
    repeated: int = 0
    """Events that were there already, by (run, seq)."""
    moved: bool = True
    """False: the position had moved on (another drain was faster), and nothing was stored."""


class OpenStep(Struct, frozen=True):
    """A step that has started and not ended."""

    run: str
    step: int
    kind: str
    started_at: int


class Log(Protocol):
    """The ordered events of every run, and how far each journal has come."""

    def append(self, batch: Batch) -> Appended:
        """Store a batch whole or not at all, with its projections. Raises SequenceGap, StoreUnavailable."""
        ...

    def read(self, run: str, after: int = -1, limit: int | None = None) -> Iterator[Event]:
        """A run's events with seq > `after`, in order. Content beyond the inline size is named by hash."""
        ...

    def next_seq(self, run: str) -> int:
        """The seq the run's next event must have; 0 when the run is unknown."""
        ...

    def position(self, journal: str) -> tuple[int, int]:
        """(segment, offset) up to which the journal is stored; (0, 0) when it is unknown."""
        ...

    def open_steps(self, owner: str) -> Sequence[OpenStep]:
        """Steps of this owner's runs that have not ended, innermost (highest step) first, the run itself last."""
        ...


class Blobs(Protocol):
    """Contents by hash."""

    def fetch(self, hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The bytes behind each hash that is stored; hashes that are not are absent."""
        ...


class Index(Protocol):
    """The projections, asked with values."""

    def find(self, query: Query) -> Page:
        """Rows of one table. Raises ValueError for a column the table has not."""
        ...


class Store(Log, Blobs, Index, Protocol):
    """All of it, as `store.open` returns it."""

    url: str

    def search(self, text: str, limit: int = 20) -> Sequence[Mapping[str, Any]]:
        """Messages that contain `text` (case-insensitive), newest run first: {run_id, seq, role, hash}."""
        ...

    def note(self, row: ImportRow | JournalRow | LossRow) -> None:
        """Put a row beside the log: a file that was imported, a journal's state, a loss outside any run."""
        ...

    def refresh(self, now_ns: int) -> int:
        """Recompute the roll-ups of closed hours that are dirty; returns how many hours were done."""
        ...

    def rebuild(self) -> Mapping[str, int]:
        """Make every projection again from the log; returns rows per table."""
        ...

    def check(self) -> Sequence[str]:
        """Faults found in the stored data, as sentences; empty when there are none."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """Sizes, counts and versions, for `doctor`."""
        ...

    def close(self) -> None:
        """Let go of files and connections. Safe to call twice."""
        ...
