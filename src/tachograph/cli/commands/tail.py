"""`tachograph tail`: runs as they happen."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from tachograph.cli.adopt import Adoption
from tachograph.cli.command import command
from tachograph.cli.narrate import Narrator
from tachograph.cli.pick import pick
from tachograph.cli.terminal import Terminal
from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.events.run import RunEnded
from tachograph.queries.events import events
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where

app = typer.Typer(rich_markup_mode=None)

PAUSE = 0.2
"""Seconds between two looks at the store."""


@app.command()
@command
def tail(
    terminal: Terminal,
    *,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Only this run, from its beginning, until it ends.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Past events of open runs to begin with.")] = 10,
) -> None:
    """Follow runs as they happen, one line an event, until Ctrl-C.

    Shows every live run; imported ones are not followed. With --json: one event a line, as `export` writes them.
    """
    store = terminal.store
    narrator = Narrator(name_runs=run is None)
    follower = Follower(store) if run is None else Follower(store, pick(store, run).id)
    adoption = Adoption(terminal.settings, store)
    past = follower.past()
    told = deque(((event, narrator.tell(event)) for event in past), maxlen=None if run else max(0, lines))
    for event, line in told:
        _tell(terminal, event, line)
    while not follower.over:
        time.sleep(PAUSE)
        adoption.round(PAUSE)
        for event in follower.new():
            _tell(terminal, event, narrator.tell(event))
        terminal.flush()


def _tell(terminal: Terminal, event: Event, line: Any) -> None:
    if terminal.json:
        terminal.write(codec.to_json(event) + b"\n")
    else:
        terminal.show(line)


class Follower:
    """Knows which runs are open and how far each has been told."""

    def __init__(self, store: Store, only: str | None = None) -> None:
        self._store, self._only = store, only
        self._told: dict[str, int] = {}
        """Open run → last seq told."""
        self._newest = 0
        self.over = False
        """The one run that was to be followed has ended."""

    def past(self) -> Iterator[Event]:
        """What the open runs have done so far (or the one run, open or not)."""
        self._newest = max((row["pk"] for row in self._rows(order=("-pk",), limit=1)), default=0)
        where = Where("id", "eq", self._only) if self._only else Where("status", "in", ("started", "paused"))
        for row in self._rows(where, order=("started_at",)):
            yield from self._next(row["id"])

    def new(self) -> Iterator[Event]:
        """What has happened since."""
        if self._only is None:
            for row in self._rows(Where("pk", "gt", self._newest), order=("pk",)):
                self._newest = row["pk"]
                if not row["source"]:
                    self._told.setdefault(row["id"], -1)
        for run in list(self._told):
            yield from self._next(run)

    def _next(self, run: str) -> Iterator[Event]:
        for event in events(self._store, run, after=self._told.get(run, -1)):
            self._told[run] = event.seq
            if isinstance(event.body, RunEnded):
                self.over = self._only is not None
            yield event
            if isinstance(event.body, RunEnded) and self._only is None:
                del self._told[run]
                return

    def _rows(self, *where: Where, order: tuple[str, ...], limit: int | None = None) -> Any:
        return self._store.find(Query("runs", where, ("pk", "id", "source"), order=order, limit=limit)).rows
