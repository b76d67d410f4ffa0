"""What a store can do, as small protocols. A backend that cannot honour one does not pretend to.

`Log` takes admitted events in order and gives them back; `Blobs` holds contents by hash; `Index` answers `Query` values
over the projections. `Reading` is what questions need of a store, all of it (`Store`) or one tenant's part (`Scoped`).
`memory:` is the specification: what it does, the others do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from tachograph.events.envelope import Event
from tachograph.store.query import Page, Query
from tachograph.store.rows import ImportRow, JournalRow, KeyRow, LossRow

KEPT_STRETCHES = 50_000
"""How far back `appended` reaches: about this many stretches, the newest."""


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
    expect: Mapping[str, int] = {}
    """Run → the seq that its next event must have (0: there is no such run). If another one has been faster with any of
    them, nothing of the batch is stored: compare and append, for runs that are not the caller's."""


class Appended(Struct, frozen=True):
    """What became of a batch."""

    stored: int = 0
    repeated: int = 0
    """Events that were there already, by (run, seq)."""
    moved: bool = True
    """False: the position, or a run that something was expected of, had moved on, and nothing was stored."""
    dropped: int = 0
    """Events of runs that were erased."""
    late: int = 0
    """Events of runs that another process has taken over from the journal's owner: they are not stored."""


class Stretch(Struct, frozen=True):
    """Events of one run that came in together: seq `first` up to, and without, `first + count`."""

    id: int
    run: str
    first: int
    count: int


class Erased(Struct, frozen=True):
    """What an erasure took away."""

    runs: int = 0
    events: int = 0
    payloads: int = 0
    """Contents that no other run names."""
    bytes: int = 0
    """Of these contents and of the log, as they were stored."""


class OpenStep(Struct, frozen=True):
    """A step that has started and not ended."""

    run: str
    step: int
    kind: str
    started_at: int


class Logged(Protocol):
    """The ordered events of every run, to be read."""

    def read(self, run: str, after: int = -1, limit: int | None = None) -> Iterator[Event]:
        """A run's events with seq > `after`, in order. Content beyond the inline size is named by hash."""
        ...

    def next_seq(self, run: str) -> int:
        """The seq the run's next event must have; 0 when the run is unknown or was erased."""
        ...

    def appended(self, after: int, limit: int = 1_000) -> Sequence[Stretch]:
        """What came in since the stretch with id `after` (0: since the oldest that is kept), in order of id.

        Each stretch is seen once, whoever wrote it. Stretches of runs that were erased or replaced since are left out,
        and so are all but the newest KEPT_STRETCHES or so: a reader that is further behind has missed some.
        """
        ...

    def head(self) -> int:
        """Id of the newest stretch; 0 when nothing has come in. Ids grow and are given once."""
        ...


class Log(Logged, Protocol):
    """The ordered events of every run, and how far each journal has come."""

    def append(self, batch: Batch) -> Appended:
        """Store a batch whole or not at all, with its projections. Raises SequenceGap, StoreUnavailable.

        Events of runs that were erased are dropped, with what only they name; and so is what comes from the journal of
        a process that a run does not belong to any more.
        """
        ...

    def position(self, journal: str) -> tuple[int, int]:
        """(segment, offset) up to which the journal is stored; (0, 0) when it is unknown."""
        ...

    def open_steps(self, owner: str) -> Sequence[OpenStep]:
        """Steps of this owner's runs that have not ended, innermost (highest step) first, the run itself last.

        A paused run waits for nobody's process: it is not among them.
        """
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


class Reading(Logged, Blobs, Index, Protocol):
    """What questions need of a store."""

    @property
    def url(self) -> str:
        """Where it is, as it was opened."""
        ...

    def search(self, text: str, limit: int = 20) -> Sequence[Mapping[str, Any]]:
        """Messages that contain `text` (case-insensitive), newest run first: {run_id, seq, role, hash}."""
        ...


class Store(Reading, Log, Protocol):
    """All of it, as `store.open` returns it. Some questions can be asked for one `tenant` alone."""

    def appended(self, after: int, limit: int = 1_000, tenant: str | None = None) -> Sequence[Stretch]:
        """As `Reading` says; of the runs of one tenant, if one is named."""
        ...

    def fetch(self, hashes: Sequence[bytes], tenant: str | None = None) -> Mapping[bytes, bytes]:
        """As `Reading` says; only what runs of the tenant name, if one is named (see `named`)."""
        ...

    def named(self, payloads: Sequence[int], tenant: str) -> Collection[int]:
        """Those of these payloads, by number, that runs of a tenant name.

        Of payloads from before owners were noted nobody knows who names them: they are a tenant's if it is the only
        one, and nobody's otherwise until a `rebuild`.
        """
        ...

    def search(self, text: str, limit: int = 20, tenant: str | None = None) -> Sequence[Mapping[str, Any]]:
        """As `Reading` says; in the runs of one tenant, if one is named."""
        ...

    def note(self, row: ImportRow | JournalRow | LossRow | KeyRow) -> None:
        """Put a row beside the log: an imported file, a journal's state, a loss outside any run, a key of the API."""
        ...

    def erase(self, runs: Sequence[str], at: int) -> Erased:
        """Remove runs everywhere, open ones too; `at` is when (UTC ns). Runs that are not there are passed over.

        Their events and rows go, their sessions and roll-ups are corrected, and so do the contents and nodes that no
        other run names. Events of theirs that come later are dropped. One transaction: give it some hundred at most.
        """
        ...

    def compact(self, *, whole: bool = False) -> int:
        """Give room that is not needed any more back to the file system; returns the bytes. Writing goes on meanwhile.

        `whole` makes certain that what was erased is nowhere in the store's files. It may take as long as copying the
        store, and as much room; who wants to write waits.
        """
        ...

    def refresh(self, now_ns: int) -> int:
        """Recompute the roll-ups of closed hours that are dirty; returns how many hours were done.

        Forgets the oldest stretches of the feed, too.
        """
        ...

    def rebuild(self) -> Mapping[str, int]:
        """Make every projection again from the log, and who names which payload; returns rows per table."""
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
