"""One run, as a tree: what it did, how long each step took, what it cost, where it repeated itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from tachograph.events.limit import LimitHit
from tachograph.events.note import Score
from tachograph.events.run import AUDIT
from tachograph.fold import receipt, totals
from tachograph.fold.handoffs import Handing, handing
from tachograph.fold.receipt import Receipt
from tachograph.fold.repeats import Repeats
from tachograph.fold.resumptions import Resumption, resumptions
from tachograph.fold.totals import Totals
from tachograph.queries.find import find
from tachograph.queries.runs import COLUMNS, NO_AUDIT, Run, run_of
from tachograph.queries.steps import Step, recorded, steps
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

PREVIEW = 200
"""Characters of a content that a step shows."""


class RunDetail(Struct, frozen=True, kw_only=True):
    """A run with everything that hangs below it."""

    run: Run
    steps: tuple[Step, ...]
    """Parents first, in the order they began; the first is the run."""
    children: tuple[Run, ...]
    """Runs that it started, and those that these started."""
    totals: Totals
    """Of this run alone."""
    whole: Totals
    """Of this run and its children together."""
    repeats: Repeats
    receipt: Receipt
    limits: tuple[LimitHit, ...]
    scores: tuple[Score, ...]
    resumed: tuple[Resumption, ...] = ()
    """Each time it went on after it had ended or was paused."""
    handing: Handing | None = None
    """Where it stands on its way to a person, with what the customer was told; None where nobody asked for one."""


def run(store: Reading, name: str, *, preview: int = PREVIEW) -> RunDetail:
    """The run that `name` means (see `find`), as a tree; `preview` characters of each content, 0 for none.

    Raises NotFound, Ambiguous.
    """
    root = find(store, name)
    children = _children(store, root.id)
    logs = {each.id: recorded(tuple(store.read(each.id)), store.fetch) for each in (root, *children)}
    events = logs[root.id].events
    own = totals.fold(events)
    return RunDetail(
        run=root,
        steps=tuple(steps(root.id, logs, store.fetch, preview)),
        children=tuple(children),
        totals=own,
        whole=sum((totals.fold(logs[child.id].events) for child in children), own),
        repeats=logs[root.id].repeats,
        receipt=receipt.fold(events, stored=root.events),
        limits=tuple(event.body for event in events if isinstance(event.body, LimitHit)),
        scores=(
            *(event.body for event in events if isinstance(event.body, Score)),
            *_feedback(store, root.id),
        ),
        resumed=tuple(resumptions(events)),
        handing=handing(events, store.fetch),
    )


def _children(store: Reading, run: str) -> list[Run]:
    """Runs below this one, nearest first; circles are gone round once."""
    found: dict[str, Run] = {}
    parents: Sequence[str] = (run,)
    while parents:
        where = (Where("parent_run", "in", tuple(parents)), NO_AUDIT)
        rows = store.find(Query("runs", where, COLUMNS, order=("started_at",), limit=None)).rows
        new = {row["id"]: run_of(row) for row in rows if row["id"] not in found and row["id"] != run}
        found.update(new)
        parents = tuple(new)
    return list(found.values())


def _feedback(store: Reading, run: str) -> Iterator[Score]:
    """Scores of the run that others gave, oldest first: each stands in a run of its own below it."""
    where = (Where("parent_run", "eq", run), Where("source", "eq", AUDIT))
    for row in store.find(Query("scores", where, Score.__struct_fields__, order=("at",), limit=None)).rows:
        yield Score(**{name: row[name] for name in Score.__struct_fields__})
