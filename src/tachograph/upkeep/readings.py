"""What alerts count, read from a store: once the window that is behind us, from then on only what came in.

What came in is told by the store's feed; the events say what happened, the rows whose it is and how long it took. A
cost that changed later (priced again, or usage that became known late) counts with its difference, at the time of the
call.
A run that pauses has not ended. One that is resumed had not either: its end is taken back, and its next one counts.
Audit runs count nowhere. Of a run that was imported again only the events are new that it did not have before.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tachograph.events.call import CallEnded, CallMetered, CallRepriced
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.run import AUDIT, RunEnded, RunResumed, RunStarted
from tachograph.events.tool import ToolEnded
from tachograph.events.usage import Cost
from tachograph.store.ports import Store, Stretch
from tachograph.store.query import Measure, Query, Where
from tachograph.upkeep.alert import Kind
from tachograph.upkeep.sample import FAILED, Sample

DAY = 86_400_000_000_000
GRACE = DAY
"""What took longer than this is not found when the window is first loaded: rows are found by when they started."""
_PAGE = 2_000
_STRETCHES = 500
_REMEMBERED = 10_000
"""Imported runs of which is known how far they were counted."""
_QUIET = ("observe", "warn")
"""Modes in which a limit does not intervene."""

Row = Mapping[str, Any]

_TABLES: Mapping[Kind, tuple[str, str, tuple[str, ...]]] = {
    "calls": ("calls", "step", ("model", "agent_type", "status", "ended_at", "duration_ns", "cost_nano")),
    "tools": ("tool_calls", "step", ("agent_type", "state", "ended_at", "duration_ns")),
    "limits": ("limit_hits", "seq", ("at",)),
}
_ENDS: Mapping[Kind, type] = {"calls": CallEnded, "tools": ToolEnded}
_LATER = (CallMetered, CallRepriced)
_RUN = (
    "pk",
    "id",
    "tenant",
    "tags",
    "agent_type",
    "source",
    "owner",
    "epoch",
    "next_seq",
    "status",
    "ended_at",
    "duration_ns",
)


class Readings:
    """Samples of one store, each once. Use from one thread."""

    def __init__(self, store: Store, kinds: frozenset[Kind]) -> None:
        """`kinds` are those that anybody asks for."""
        self._store, self._kinds = store, kinds
        self._position = 0
        self._counted: OrderedDict[str, int] = OrderedDict()
        self._loaded: dict[Kind, array[int]] = {}
        self._doubtful: dict[Kind, set[int]] = {}
        self._until = 0
        """Up to here in the feed, what is read may have been loaded before."""

    # ---- the window behind us -------------------------------------------------------------------------------------

    def load(self, since_ns: int) -> Iterator[Sample]:
        """What ended since then (UTC ns) and is in the store; `fresh` goes on from there. To be read to its end."""
        self._position = self._store.head()
        self._loaded = {kind: array("Q") for kind in self._kinds}
        self._counted.clear()
        for run in self._ended_runs(since_ns):
            if run["source"] == AUDIT:
                continue
            self._take_note(run)
            if "runs" in self._kinds:
                yield self._load("runs", run["pk"], 0, _ended_run(run, run["ended_at"]))
        for kind in sorted(self._kinds - {"runs"}):
            for page in self._ended(kind, since_ns):
                runs = self._runs("pk", {row["run"] for row in page})
                number = _TABLES[kind][1]
                for run in runs.values():
                    self._take_note(run)
                for row in page:
                    whose = runs.get(row["run"])
                    if whose is not None and whose["source"] != AUDIT:
                        yield self._load(kind, row["run"], row[number], _of_row(kind, row, whose))
        self._settle()

    def _load(self, kind: Kind, run: int, number: int, sample: Sample) -> Sample:
        self._loaded[kind].append(run << 32 | number)
        return sample

    def _settle(self) -> None:
        """While it was loaded, more came in: of that it is not known yet whether it was among what was loaded."""
        late = self._stretches(self._position, self._store.head())
        self._until = late[-1].id if late else self._position
        runs = {stretch.run for stretch in late}
        pks = {row["pk"] for row in self._runs("id", runs).values()}
        self._doubtful = {kind: {key for key in keys if key >> 32 in pks} for kind, keys in self._loaded.items()}
        self._loaded = {}

    def _ended(self, kind: Kind, since_ns: int) -> Iterator[Sequence[Row]]:
        table, number, columns = _TABLES[kind]
        if kind == "limits":
            where: tuple[Where, ...] = (Where("at", "ge", since_ns), *(Where("mode", "ne", mode) for mode in _QUIET))
            order: tuple[str, ...] = ("at",)
        else:
            where = (Where("started_at", "ge", since_ns - GRACE), Where("ended_at", "ge", since_ns))
            order = ("started_at",)
        return self._pages(Query(table, where, ("run", number, *columns), order=order, limit=_PAGE))

    def _ended_runs(self, since_ns: int) -> Iterator[Row]:
        where = (Where("started_at", "ge", since_ns - GRACE), Where("ended_at", "ge", since_ns))
        for page in self._pages(Query("runs", where, _RUN, order=("started_at",), limit=_PAGE)):
            yield from page

    def _pages(self, query: Query) -> Iterator[Sequence[Row]]:
        while True:
            page = self._store.find(query)
            if page.rows:
                yield page.rows
            if page.after is None:
                return
            query = msgspec.structs.replace(query, after=page.after)

    # ---- what came in ---------------------------------------------------------------------------------------------

    def behind(self) -> bool:
        """Whether the feed no longer reaches back to where we were: then there is nothing for it but to load again."""
        oldest = self._store.find(Query("feed", measures=(Measure("min", "id"),))).rows[0]["min_id"]
        return oldest is not None and oldest > self._position + 1

    def fresh(self) -> Iterator[Sample]:
        """What came in since `load`, or since this was last read to its end."""
        while stretches := self._store.appended(self._position, _STRETCHES):
            by_run: dict[str, list[Stretch]] = {}
            for stretch in stretches:
                by_run.setdefault(stretch.run, []).append(stretch)
            runs = [run for run in self._runs("id", by_run).values() if run["source"] != AUDIT]
            news = [(run, self._new_events(run, by_run[run["id"]])) for run in runs]
            samples = [sample for run, found in news for sample in self._of_events(run, found)]
            # Only now: what the store would not give is asked for again, and nothing is counted twice.
            for run, found in news:
                if found:
                    self._take_note(run, found[-1].seq + 1)
            self._position = stretches[-1].id
            if self._position >= self._until:
                self._doubtful = {}
            yield from samples

    def _stretches(self, after: int, until: int) -> list[Stretch]:
        stretches: list[Stretch] = []
        while after < until and (found := self._store.appended(after, _STRETCHES)):
            stretches += found
            after = found[-1].id
        return stretches

    def _new_events(self, run: Row, stretches: Iterable[Stretch]) -> list[Event]:
        # While it is doubtful what was loaded, that is asked of each thing by itself.
        known = self._counted.get(run["id"], 0) if self._position >= self._until else 0
        found: dict[int, Event] = {}
        for stretch in stretches:
            first = max(stretch.first, known)
            count = stretch.first + stretch.count - first
            if count > 0:
                found.update((event.seq, event) for event in self._store.read(run["id"], first - 1, count))
        return [found[seq] for seq in sorted(found)]

    def _of_events(self, run: Row, events: Sequence[Event]) -> Iterator[Sample]:
        for kind, ended in _ENDS.items():
            if kind in self._kinds:
                yield from self._of_steps(kind, run, {each.step: each for each in events if type(each.body) is ended})
        yield from self._ends(run, events)
        for event in events:
            if _intervenes(event) and self._is_new("limits", run["pk"], event.seq):
                yield _sample("limits", run, event.at)
        if "calls" in self._kinds:
            yield from self._corrections(run, [each for each in events if isinstance(each.body, _LATER)])

    def _ends(self, run: Row, events: Sequence[Event]) -> Iterator[Sample]:
        """Ends of a run; and those that are taken back, since it went on."""
        turns = [event for event in events if isinstance(event.body, RunEnded | RunResumed)]
        if not turns or not self._is_new("runs", run["pk"], 0):
            return
        if not run["epoch"]:
            ended = (event for event in turns if isinstance(event.body, RunEnded) and event.body.status != "paused")
            yield from (_ended_run(run, event.at) for event in ended)
            return
        began, over, last = 0, False, None
        for event in self._store.read(run["id"], limit=turns[-1].seq + 1):
            match event.body:
                case RunStarted():
                    began = event.mono
                case RunEnded(status=status) if not over:
                    facts = {**run, "status": status, "duration_ns": max(0, event.mono - began)}
                    over, last = True, None if status == "paused" else _ended_run(facts, event.at)
                    if last is not None and event.seq >= turns[0].seq:
                        yield last
                case RunResumed():
                    if last is not None and event.seq >= turns[0].seq:
                        yield msgspec.structs.replace(last, count=-1, failed=-last.failed)
                    over, last = False, None

    def _of_steps(self, kind: Kind, run: Row, ended: Mapping[int, Event]) -> Iterator[Sample]:
        if not ended:
            return
        table, _, columns = _TABLES[kind]
        where = (Where("run", "eq", run["pk"]), Where("step", "in", tuple(ended)))
        for row in self._store.find(Query(table, where, ("step", *columns), limit=None)).rows:
            if self._is_new(kind, run["pk"], row["step"]):
                event = ended[row["step"]]
                # The row may hold a later price already; that one comes with an event of its own.
                cost = _nano(event.body.cost) if isinstance(event.body, CallEnded) else 0
                yield _of_row(kind, {**row, "cost_nano": cost, "ended_at": event.at}, run)

    def _corrections(self, run: Row, corrections: Sequence[Event]) -> Iterator[Sample]:
        if not corrections:
            return
        new = {event.seq for event in corrections}
        first = min(event.body.call for event in corrections if isinstance(event.body, _LATER))
        where = (Where("run", "eq", run["pk"]), Where("step", "ge", first))
        rows = {
            row["step"]: row
            for row in self._store.find(Query("calls", where, ("step", *_TABLES["calls"][2]), limit=None)).rows
        }
        before: dict[int, tuple[int, int]] = {}
        for event in self._store.read(run["id"], first - 1, max(new) - first + 1):
            body = event.body
            if isinstance(body, CallEnded):
                before[event.step] = event.at, _nano(body.cost)
            elif isinstance(body, _LATER) and body.call in before and body.call in rows:
                at, cost = before[body.call]
                before[body.call] = at, _nano(body.cost)
                if event.seq in new and run["pk"] << 32 | body.call not in self._doubtful.get("calls", ()):
                    yield _correction(rows[body.call], run, at, _nano(body.cost) - cost)

    def _is_new(self, kind: Kind, run: int, number: int) -> bool:
        return kind in self._kinds and run << 32 | number not in self._doubtful.get(kind, ())

    def _take_note(self, run: Row, seq: int | None = None) -> None:
        """Remember of an imported run how far it is counted: imported again, it comes whole once more."""
        if run["owner"]:
            return
        self._counted[run["id"]] = run["next_seq"] if seq is None else seq
        self._counted.move_to_end(run["id"])
        if len(self._counted) > _REMEMBERED:
            self._counted.popitem(last=False)

    def _runs(self, column: str, names: Iterable[Any]) -> Mapping[Any, Row]:
        wanted = tuple(names)
        if not wanted:
            return {}
        query = Query("runs", (Where(column, "in", wanted),), _RUN, limit=None)
        return {row[column]: row for row in self._store.find(query).rows}


def _intervenes(event: Event) -> bool:
    return isinstance(event.body, LimitHit) and event.body.mode not in _QUIET


def _nano(cost: Cost | None) -> int:
    return cost.total or 0 if cost is not None and cost.state != "unpriced" else 0


def _sample(kind: Kind, run: Row, at: int, **facts: Any) -> Sample:
    tags = msgspec.json.decode(run["tags"] or "[]", type=tuple[str, ...])
    return Sample(kind=kind, at=at, tenant=run["tenant"], tags=tags, **{"agent": run["agent_type"] or "", **facts})


def _ended_run(run: Row, at: int) -> Sample:
    return _sample("runs", run, at, failed=int(run["status"] in FAILED), duration_ns=run["duration_ns"])


def _of_row(kind: Kind, row: Row, run: Row) -> Sample:
    if kind == "limits":
        return _sample(kind, run, row["at"])
    facts = {
        "failed": int(row["status" if kind == "calls" else "state"] in FAILED),
        "duration_ns": row["duration_ns"],
        "agent": row["agent_type"] or "",
    }
    if kind == "calls":
        facts |= {"cost": row["cost_nano"] or 0, "model": row["model"]}
    return _sample(kind, run, row["ended_at"], **facts)


def _correction(row: Row, run: Row, at: int, difference: int) -> Sample:
    sample = _of_row("calls", {**row, "cost_nano": difference, "ended_at": at}, run)
    return msgspec.structs.replace(sample, count=0, failed=0, duration_ns=None)
