"""What `doctor` looks at: every journal and how far it is behind, the drain, the store, and runs that nobody will end.

Reads only. A journal's segments are preallocated, so what waits in one is counted record by record from the position
that the store has reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from tachograph.compose import journals_folder
from tachograph.errors import StoreError
from tachograph.queries.kept import Kept
from tachograph.record import journal as journals
from tachograph.record.drain import LOCK, REFUSED, find_journals
from tachograph.settings import Settings
from tachograph.store.open import is_remote
from tachograph.store.ports import Store
from tachograph.store.query import Measure, Query, Where

REMOTE = "remote"
"""State of a journal that lies on another machine: who recorded it ends its runs."""


class JournalState(Struct, frozen=True, kw_only=True):
    """One journal on disk."""

    id: str
    pid: int | None
    host: str
    version: str
    alive: bool
    """Its owner holds its lock."""
    started_at: int | None
    seen_at: int | None
    """Last sign of life, UTC ns."""
    waiting: int
    """Events that are not in the store yet."""
    waiting_bytes: int
    damaged_bytes: int
    disk_bytes: int
    refused: str = ""
    """Why the store does not take it, though it can be reached."""


class Diagnosis(Struct, frozen=True, kw_only=True):
    """Everything that `doctor` found."""

    store: str
    facts: Mapping[str, Any]
    journals: tuple[JournalState, ...]
    draining: bool
    """Some process is elected to move journals into the store."""
    leftovers: tuple[str, ...]
    """Folders of journals that were never finished being made."""
    stuck: tuple[str, ...]
    """Open runs whose journal is gone: nobody will ever end them."""
    losses: tuple[Mapping[str, Any], ...]
    """Lost outside any run."""
    lossy_runs: int
    """Runs in which something could not be recorded."""
    unpriced: int
    """Ended calls without a price."""
    usage_missing: int
    away: str = ""
    """Why another server, as a store, could not be asked. Of one that could, only what lies here is known."""

    @property
    def waiting(self) -> int:
        """Events that are not in the store yet."""
        return sum(journal.waiting for journal in self.journals)

    @property
    def problems(self) -> list[str]:
        """What somebody should do something about, as sentences."""
        return [sentence for count, sentence in _judged(self) if count]


class Counted(Struct, frozen=True):
    """The facts of a store at one moment."""

    at: int
    """UTC ns."""
    facts: Mapping[str, Any]


_LAST = Measure("max", "id")


def counted(store: Store, now: int, kept: Kept) -> Counted:
    """What the store holds at `now` (UTC ns), or held when it was last counted, if nothing has come or gone since.

    Counting a large store takes a tenth of a second. What changes without anything being recorded or erased, as the
    room that is free, may be as old as is kept.
    """
    gone = store.find(Query("erased", measures=(_LAST,))).rows
    state = (store.head(), *(row[_LAST.name] for row in gone))
    return kept.get(state, now, lambda: Counted(now, store.facts()))


def examine(settings: Settings, store: Store, facts: Mapping[str, Any] | None = None) -> Diagnosis:
    """Look at everything; at the store's facts unless they are given. Raises StoreError."""
    if is_remote(settings.store_url):
        return _examine_here(settings, store)
    folder = journals_folder(settings)
    found = tuple(
        _journal(each.folder, each.alive, store.position(each.name)) for each in find_journals(folder)
    )  # fmt: skip
    facts = store.facts() if facts is None else facts
    return Diagnosis(
        store=settings.store_url,
        facts=facts,
        journals=found,
        draining=journals.is_held(folder / LOCK),
        leftovers=tuple(path.name for path in leftovers(folder)),
        stuck=tuple(row["id"] for row in stuck_runs(store, {each.id for each in found if each.alive or each.waiting})),
        losses=tuple(store.find(Query("losses", order=("at",), limit=None)).rows),
        lossy_runs=facts["lossy_runs"],
        unpriced=facts["unpriced"],
        usage_missing=facts["usage_missing"],
    )


def _examine_here(settings: Settings, store: Store) -> Diagnosis:
    """What lies on this machine for the server that is the store."""
    folder = journals_folder(settings)
    facts: Mapping[str, Any] = {}
    away = ""
    try:
        facts = store.facts()
        positions = {each.name: store.position(each.name) for each in find_journals(folder)}
    except StoreError as problem:
        away, positions = str(problem), {}
    return Diagnosis(
        store=settings.store_url,
        facts=facts,
        journals=tuple(
            _journal(each.folder, each.alive, positions.get(each.name, (0, 0))) for each in find_journals(folder)
        ),
        draining=journals.is_held(folder / LOCK),
        leftovers=tuple(path.name for path in leftovers(folder)),
        stuck=(),
        losses=(),
        lossy_runs=0,
        unpriced=0,
        usage_missing=0,
        away=away,
    )


def leftovers(folder: Path) -> list[Path]:
    """Folders that a process began to make into journals and left: unnamed still, and locked by nobody."""
    if not folder.is_dir():
        return []
    unnamed = sorted(path for path in folder.iterdir() if path.name.startswith(".") and path.is_dir())
    return [path for path in unnamed if not journals.owner_lives(path)]


def stuck_runs(store: Store, known: set[str]) -> list[Mapping[str, Any]]:
    """Runs that go on, of owners that have no journal any more, here or on the machine that sends it."""
    columns = ("id", "owner", "name", "updated_at")
    rows = store.find(Query("runs", (Where("status", "eq", "started"),), columns, limit=None)).rows
    elsewhere = store.find(Query("journals", (Where("state", "eq", REMOTE),), ("id",), limit=None)).rows
    owners = known | {row["id"].rpartition("/")[2] for row in elsewhere}
    return [row for row in rows if row["owner"] not in owners]


def _judged(found: Diagnosis) -> Iterator[tuple[int, str]]:
    yield len(found.away), f"the store cannot be used: {found.away}"
    refused = [each.refused for each in found.journals if each.refused]
    yield (
        len(refused),
        f"journals that the store does not take: {len(refused)}, because: {'; '.join(sorted(set(refused)))}",
    )
    orphans = [each for each in found.journals if not each.alive and each.waiting]  # others go with the next drain
    waiting = sum(each.waiting for each in orphans)
    yield (
        len(orphans),
        f"journals of processes that are gone: {len(orphans)}, with {waiting:,} events (--repair adopts them)",
    )
    damaged = sum(each.damaged_bytes for each in found.journals)
    yield damaged, f"damage in journals: {damaged:,} bytes are no record"
    yield len(found.stuck), f"open runs whose journal is gone: {len(found.stuck)} (--repair ends them)"
    yield len(found.leftovers), f"unfinished journal folders: {len(found.leftovers)} (--repair removes them)"
    yield len(found.losses), f"losses outside any run: {len(found.losses)}"
    yield found.lossy_runs, f"runs in which something could not be recorded: {found.lossy_runs:,} (show RUN --receipt)"


def _journal(folder: Path, alive: bool, position: tuple[int, int]) -> JournalState:
    numbers = journals.segments(folder)
    headers = [header for number in numbers if (header := journals.read_header(journals.segment_path(folder, number)))]
    owner = headers[-1].owner if headers else None
    segment, offset = position
    waiting = waiting_bytes = damaged = 0
    for number in (number for number in numbers if number >= segment):
        final = not alive or number != numbers[-1]
        start = offset if number == segment else 0
        for record in _records(journals.segment_path(folder, number), start, final=final):
            if isinstance(record, journals.Damage):
                damaged += record.end - record.start
            else:
                waiting += 1
                waiting_bytes += len(record.payload)
    return JournalState(
        id=folder.name,
        pid=owner.pid if owner else None,
        host=owner.host if owner else "",
        version=owner.version if owner else "",
        alive=alive,
        started_at=owner.started_at if owner else None,
        seen_at=max((header.heartbeat for header in headers), default=None),
        waiting=waiting,
        waiting_bytes=waiting_bytes,
        damaged_bytes=damaged,
        disk_bytes=sum(journals.segment_path(folder, number).stat().st_size for number in numbers),
        refused=_refusal(folder),
    )


def _refusal(folder: Path) -> str:
    try:
        return (folder / REFUSED).read_text(encoding="utf-8")
    except OSError:
        return ""


def _records(path: Path, start: int, *, final: bool) -> Iterator[journals.Record | journals.Damage]:
    yield from journals.read_records(path.read_bytes(), start, final=final)
