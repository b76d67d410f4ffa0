"""Pricing a past period again: new prices, a corrected override, a model that has a price at last.

Nothing is rewritten. Each call whose cost comes out different gets a `CallRepriced` event at the end of its run, and
the last one counts. What a program priced itself stays as it is. A run to which its own process may still write is left
alone and named in the answer, because the next number in its log is not ours to take.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.events.call import CallRepriced
from tachograph.events.envelope import Event
from tachograph.events.usage import Cost, Usage, is_stated
from tachograph.fold.cost import PriceBook, price
from tachograph.record.clock import SYSTEM, Clock
from tachograph.store.ports import Batch, Store
from tachograph.store.query import Query, Where
from tachograph.store.rows import OPEN

_PAGE = 1000
_CALL = (
    "run", "step", "provider", "model", "served_model", "tier", "served_tier", "ended_at", "uncached_tokens",
    "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens",
    "usage_basis", "usage_extra", "started_at", "price_id",
)  # fmt: skip
_COST = (
    "cost_state", "cost_nano", "input_cost_nano", "output_cost_nano", "cache_read_cost_nano", "cache_write_cost_nano",
)  # fmt: skip


class Repriced(Struct, frozen=True):
    """What pricing again came to."""

    calls: int = 0
    """Ended calls of the period that were looked at."""
    changed: int = 0
    """Calls with another cost than before; `newly_priced` and `newly_unpriced` are among them."""
    newly_priced: int = 0
    newly_unpriced: int = 0
    kept: int = 0
    """Calls with a known cost that the book cannot work out (any more): they keep it, unless `clear` was asked for. And
    those whose program states the cost itself, which always keep it."""
    before: int = 0
    """Nano-USD of the changed calls as it was; calls without a price add nothing."""
    after: int = 0
    """Nano-USD of the changed calls as it is now."""
    conflicts: int = 0
    """Changes that were not stored, since something else was appended to the run meanwhile. Price again."""
    held: tuple[str, ...] = ()
    """Runs left alone: open, or of a process whose journal is not at its end."""

    @property
    def difference(self) -> int:
        """Nano-USD by which the period now costs more (or, negative, less)."""
        return self.after - self.before


class _Change(Struct, frozen=True):
    """One call whose cost comes out different."""

    run: str
    step: int
    before: int | None
    cost: Cost


def reprice(
    store: Store,
    book: PriceBook,
    *,
    since_ns: int,
    until_ns: int,
    journals: Container[str] = (),
    clock: Clock = SYSTEM,
    clear: bool = False,
    dry: bool = False,
) -> Repriced:
    """Price the calls again that started in [since, until) (UTC ns), each at the prices of the day on which it ended.

    `journals` are the owners that may still have something to say about their runs (`drain.find_journals`). `clear`
    replaces a known cost by `unpriced` where the book has no price; `dry` only says what would change. Raises
    StoreUnavailable.
    """
    done, held = Repriced(), set[str]()
    for calls in _pages(store, since_ns, until_ns):
        runs = _runs(store, {call["run"] for call in calls})
        free = [call for call in calls if not _is_held(runs[call["run"]], journals)]
        held |= {runs[call["run"]]["id"] for call in calls} - {runs[call["run"]]["id"] for call in free}
        changes, kept = _changes(book, free, runs, clear=clear)
        conflicts = 0 if dry or not changes else _append(store, changes, clock)
        done = _sum(done, calls=len(free), kept=kept, conflicts=conflicts, changes=changes)
    return msgspec.structs.replace(done, held=tuple(sorted(held)))


def _pages(store: Store, since_ns: int, until_ns: int) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Ended calls that started in the period, oldest first."""
    query = Query(
        "calls",
        where=(
            Where("started_at", "ge", since_ns),
            Where("started_at", "lt", until_ns),
            Where("cost_state", "not_null"),
        ),
        columns=(*_CALL, *_COST),
        order=("started_at",),
        limit=_PAGE,
    )
    while True:
        page = store.find(query)
        if page.rows:
            yield page.rows
        if page.after is None:
            return
        query = msgspec.structs.replace(query, after=page.after)


def _runs(store: Store, keys: Iterable[int]) -> Mapping[int, Mapping[str, Any]]:
    query = Query("runs", where=(Where("pk", "in", tuple(keys)),), columns=("pk", "id", "owner", "status"), limit=None)
    return {row["pk"]: row for row in store.find(query).rows}


def _is_held(run: Mapping[str, Any], journals: Container[str]) -> bool:
    """Whether a process may still write to the run. An imported run has no owner: who imports it again replaces it."""
    return bool(run["owner"]) and (run["status"] in OPEN or run["owner"] in journals)


def _changes(
    book: PriceBook, calls: Iterable[Mapping[str, Any]], runs: Mapping[int, Mapping[str, Any]], *, clear: bool
) -> tuple[list[_Change], int]:
    """The calls whose cost differs, and how many keep one that the book cannot work out."""
    changes, kept = [], 0
    for call in calls:
        if is_stated(call["price_id"]):
            kept += 1
            continue
        cost = _price(book, call)
        if _figures(cost) == tuple(call[column] for column in _COST):
            continue
        if cost.state == "unpriced" and not clear:
            kept += 1
        else:
            changes.append(_Change(runs[call["run"]]["id"], call["step"], call["cost_nano"], cost))
    return changes, kept


def _price(book: PriceBook, call: Mapping[str, Any]) -> Cost:
    extra = call["usage_extra"]
    usage = Usage(
        input_uncached=call["uncached_tokens"],
        cache_read=call["cache_read_tokens"],
        cache_write=call["cache_write_tokens"],
        output=call["output_tokens"],
        reasoning=call["reasoning_tokens"],
        basis=call["usage_basis"] or "missing",
        cache_write_1h=call["cache_write_1h_tokens"],
        extra=msgspec.json.decode(extra, type=dict[str, int]) if extra else None,
    )
    model, tier = call["served_model"] or call["model"], call["served_tier"] or call["tier"]
    return price(book, call["provider"], model, usage, call["ended_at"] or call["started_at"], tier)


def _figures(cost: Cost) -> tuple[Any, ...]:
    """What counts as another cost, in the order of `_COST`: the amounts and the state, not which row they came from."""
    return cost.state, cost.total, cost.input, cost.output, cost.cache_read, cost.cache_write


def _append(store: Store, changes: Iterable[_Change], clock: Clock) -> int:
    """Append one event for each change; returns how many were not stored: of runs that moved on meanwhile, none is."""
    by_run: dict[str, list[Event]] = {}
    for run, of_run in groupby(sorted(changes, key=lambda change: change.run), key=lambda change: change.run):
        events = by_run.setdefault(run, [])
        for seq, change in enumerate(of_run, store.next_seq(run)):
            body = CallRepriced(call=change.step, cost=change.cost)
            events.append(Event(run, seq, clock.now(), clock.mono(), change.step, body))
    whole = _batch(by_run.values())
    done = store.append(whole)
    stored = done.stored if done.moved else sum(store.append(_batch([each])).stored for each in by_run.values())
    return len(whole.events) - stored


def _batch(runs: Iterable[Sequence[Event]]) -> Batch:
    """All of them, if each run still stands where its events begin."""
    lists = list(runs)
    return Batch([event for events in lists for event in events], expect={each[0].run: each[0].seq for each in lists})


def _sum(done: Repriced, *, calls: int, kept: int, conflicts: int, changes: Sequence[_Change]) -> Repriced:
    return msgspec.structs.replace(
        done,
        calls=done.calls + calls,
        changed=done.changed + len(changes),
        newly_priced=done.newly_priced + sum(change.before is None for change in changes),
        newly_unpriced=done.newly_unpriced + sum(change.cost.total is None for change in changes),
        kept=done.kept + kept,
        before=done.before + sum(change.before or 0 for change in changes),
        after=done.after + sum(change.cost.total or 0 for change in changes),
        conflicts=done.conflicts + conflicts,
    )
