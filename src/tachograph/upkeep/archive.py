"""Archives: runs written to Parquet before they are erased, and found again if that was broken off.

An archive is a folder that is there whole or not at all: it is written under a hidden name, forced to disk, read back,
and then renamed. Until its last run has left the store it lacks the mark `erased`; whoever prunes into the same folder
looks into those archives first, and does not write a run again that one of them holds with all of its events.

    ARCHIVE/20261121T065500Z/day=2026-10-03/events.parquet          and runs, execution_logs, llm_call_logs,
                                                                    tool_call_logs, by the day the run started (UTC)
    ARCHIVE/20261121T065500Z/erased                                 the store holds none of it any more
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tachograph.errors import ArchiveFailed, MissingExtra
from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.events.note import Unknown
from tachograph.queries.events import events
from tachograph.record import journal
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where
from tachograph.upkeep.layout import EVENTS, FILES, RUNS, File, micros

if TYPE_CHECKING:
    from types import ModuleType

    from tachograph.upkeep.parquet import Table

MARK = "erased"
_CHUNK = 5_000
"""Events of runs whose rows are read together."""

Row = Mapping[str, Any]


class Archived(Struct, frozen=True, kw_only=True):
    """What is safe to erase."""

    folder: Path | None = None
    """The archive that was written; None when others held everything already."""
    events: Mapping[str, int] = {}
    """Run → how many of its events are in an archive."""
    known: int = 0
    """Runs that an earlier archive held already, whole."""
    again: int = 0
    """Runs that an earlier archive held with fewer events: they are in both."""
    bytes: int = 0
    """Of the files that were written."""


@contextlib.contextmanager
def archive(store: Reading, runs: Sequence[Row], into: Path, now_ns: int) -> Iterator[Archived]:
    """An archive of these runs (`pk`, `id`, `started_at`, `next_seq`), whole on disk when the block begins.

    In the block they may be erased; after it the archives are marked whose runs have all left the store. Raises
    ArchiveFailed when it could not be written or is not what was written, and MissingExtra without pyarrow; then
    nothing is left of it.
    """
    parquet = _parquet()
    with _alone(into):
        held = _held(into, parquet)
        known = {
            run["id"] for run in runs if run["next_seq"] == max((h.get(run["id"], 0) for h in held.values()), default=0)
        }
        fresh = [run for run in runs if run["id"] not in known]
        again = sum(any(run["id"] in each for each in held.values()) for run in fresh)
        folder, counts, size = None, dict[str, int](), 0
        if fresh:
            folder = _free_name(into, now_ns)
            counts, size = _write(store, fresh, folder, parquet)
            held[folder] = counts
        whole = {**{run["id"]: run["next_seq"] for run in runs if run["id"] in known}, **counts}
        yield Archived(folder=folder, events=whole, known=len(known), again=again, bytes=size)
        _mark_erased(store, held)


def _write(store: Reading, runs: Sequence[Row], folder: Path, parquet: ModuleType) -> tuple[dict[str, int], int]:
    part = folder.with_name(f".{folder.name}.part")
    counts: dict[str, int] = {}
    try:
        part.mkdir(mode=0o700)
        for day, of_day in groupby(sorted(runs, key=lambda run: (run["started_at"], run["pk"])), key=_day):
            inside = part / f"day={day}"
            inside.mkdir()
            counts |= _write_day(store, list(of_day), inside, parquet)
        parquet.force(part)
        size = sum(file.stat().st_size for file in part.rglob("*.parquet"))
        part.rename(folder)
        parquet.force(folder.parent)
    except parquet.Failed as problem:
        raise ArchiveFailed(str(folder), str(problem)) from problem
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return counts, size


def _write_day(store: Reading, runs: Sequence[Row], folder: Path, parquet: ModuleType) -> dict[str, int]:
    tables: dict[str, Table] = {
        "events": parquet.Table(folder / "events.parquet", EVENTS),
        "runs": parquet.Table(folder / "runs.parquet", {column.name: column.kind for column in RUNS}),
        **{
            file.name: parquet.Table(
                folder / f"{file.name}.parquet", {column.name: column.kind for column in file.columns}
            )
            for file in FILES
        },
    }
    counts: dict[str, int] = {}
    for chunk in _chunks(runs):
        for run in chunk:
            counts[run["id"]] = _write_events(tables["events"], events(store, run["id"]))
        pks = tuple(run["pk"] for run in chunk)
        _write_runs(store, tables["runs"], pks, counts)
        for file in FILES:
            _write_rows(store, file, tables[file.name], pks)
    for table in tables.values():
        table.close()
    for fault in (fault for table in tables.values() for fault in table.faults()):
        raise ArchiveFailed(str(folder), fault)
    short = [run["id"] for run in runs if counts[run["id"]] < run["next_seq"]]
    if short:
        raise ArchiveFailed(str(folder), f"events of run {short[0]} are missing in the store")
    parquet.force(folder)
    return counts


def _write_events(table: Table, found: Iterable[Event]) -> int:
    count = 0
    for event in found:
        line = codec.to_json(event).decode()
        table.add((event.run, event.seq, micros(event.at), event.step, _type(event), line), len(line) + 100)
        count += 1
    return count


def _write_runs(store: Reading, table: Table, pks: Sequence[int], counts: Mapping[str, int]) -> None:
    needs = tuple(dict.fromkeys(("id", *(name for column in RUNS for name in column.needs))))
    query = Query("runs", (Where("pk", "in", pks),), needs, order=("started_at",), limit=None)
    for row in store.find(query).rows:
        told = {**row, "next_seq": counts[row["id"]]}
        table.add([column.value(told) for column in RUNS])


def _write_rows(store: Reading, file: File, table: Table, pks: Sequence[int]) -> None:
    where: tuple[Where, ...] = (Where("run", "in", pks),)
    if file.table == "steps":
        where = (*where, Where("kind", "ne", "llm"))
    for row in store.find(Query(file.table, where, file.needs, order=("run", "step"), limit=None)).rows:
        table.add([column.value(row) for column in file.columns])


# ---- archives that are there -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _alone(into: Path) -> Iterator[None]:
    """The folder for ourselves, without what was broken off in it."""
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(into / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not journal.lock(descriptor):
            raise ArchiveFailed(str(into), "another pruning writes there")
        for part in into.glob(".*.part"):
            shutil.rmtree(part)
        yield
    finally:
        os.close(descriptor)


def _held(into: Path, parquet: ModuleType) -> dict[Path, dict[str, int]]:
    """The archives that may hold runs which are still in the store, and how many events of each."""
    found = {}
    for folder in sorted(path for path in into.iterdir() if path.is_dir() and not (path / MARK).exists()):
        files = sorted(folder.glob("day=*/runs.parquet"))
        if files:
            try:
                found[folder] = {run: count for file in files for run, count in parquet.read(file, ("id", "events"))}
            except (*parquet.Failed, KeyError) as problem:
                raise ArchiveFailed(str(folder), f"an earlier archive cannot be read: {problem}") from problem
    return found


def _mark_erased(store: Reading, held: Mapping[Path, Mapping[str, int]]) -> None:
    for folder, runs in held.items():
        names = list(runs)
        parts = (tuple(names[start : start + 1_000]) for start in range(0, len(names), 1_000))
        if not any(store.find(Query("runs", (Where("id", "in", part),), ("id",), limit=1)).rows for part in parts):
            (folder / MARK).touch()


def _free_name(into: Path, now_ns: int) -> Path:
    name = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    taken = sum(path.name.startswith(name) for path in into.iterdir())
    return into / (f"{name}-{taken + 1}" if taken else name)


def _chunks(runs: Sequence[Row]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    for run in runs:
        chunk.append(run)
        if len(chunk) == 500 or sum(each["next_seq"] for each in chunk) >= _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _day(run: Row) -> str:
    return datetime.fromtimestamp(run["started_at"] // 1_000_000_000, UTC).date().isoformat()


def _type(event: Event) -> str:
    body = event.body
    return body.type if isinstance(body, Unknown) else str(type(body).__struct_config__.tag)


def _parquet() -> ModuleType:
    """The part that needs pyarrow. Raises MissingExtra."""
    try:
        from tachograph.upkeep import parquet  # noqa: PLC0415 - who archives nothing need not have it
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "pyarrow":
            raise
        raise MissingExtra("an archive", "pyarrow", "archive") from missing
    return parquet
