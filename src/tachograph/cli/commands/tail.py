"""`tachograph tail`: runs as they happen."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

import typer
from rich.text import Text

from tachograph.cli.adopt import Adoption
from tachograph.cli.command import command, command_app
from tachograph.cli.draw.narrator import Narrator
from tachograph.cli.pick import pick
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.events.run import RunEnded, RunResumed
from tachograph.queries.events import events, filled
from tachograph.queries.runs import Filter, Run, runs
from tachograph.queries.tail import tail as news
from tachograph.store.ports import Store

app = command_app()

PAUSE = 0.2
"""Seconds between two looks at the store."""
_OPEN_RUNS = 50


@app.command(cls=QuickCommand)
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

    Shows every live run; what is imported meanwhile is not told. With --json: one event a line, as `export` writes.
    """
    store = terminal.store
    if run is not None:
        teller = _Teller(terminal, Narrator(name_runs=False))
        _follow_one(teller, store, pick(store, run).id)
    else:
        teller = _Teller(terminal, Narrator())
        seen = news(store).seen
        teller.tell_last(_so_far(store, seen), max(0, lines))
        _follow_all(teller, store, seen)


class _Teller:
    """Prints events, and moves what journals hold into the store between two looks."""

    def __init__(self, terminal: Terminal, narrator: Narrator) -> None:
        self._terminal, self._narrator = terminal, narrator
        self._adoption = Adoption(terminal.settings, terminal.store)

    def tell(self, stream: Iterable[Event]) -> bool:
        """Print them; whether the run is over with them. One that is paused is not, nor one that was resumed."""
        ended = False
        for event in stream:
            self._print(event, self._narrator.tell(event))
            if isinstance(event.body, RunEnded | RunResumed):
                ended = isinstance(event.body, RunEnded) and event.body.status != "paused"
        self._terminal.flush()
        return ended

    def tell_last(self, stream: Iterable[Event], lines: int) -> None:
        """Print the last of them; the others are read, for what is open has a name."""
        for event, line in deque(((event, self._narrator.tell(event)) for event in stream), maxlen=lines):
            self._print(event, line)
        self._terminal.flush()

    def wait(self) -> None:
        """Until it is time to look again."""
        time.sleep(PAUSE)
        self._adoption.round(PAUSE)

    def _print(self, event: Event, line: Text) -> None:
        if self._terminal.json:
            self._terminal.write(codec.to_json(event) + b"\n")
        else:
            self._terminal.show(line)


def _follow_one(teller: _Teller, store: Store, run: str) -> None:
    told = -1
    while True:
        new = list(events(store, run, after=told))
        told = new[-1].seq if new else told
        if teller.tell(new):
            return
        teller.wait()


def _follow_all(teller: _Teller, store: Store, seen: Mapping[str, int]) -> None:
    while True:
        teller.wait()
        found = news(store, seen)
        seen = found.seen
        teller.tell(filled((event for event in found.events if _is_live(found.runs[event.run])), store.fetch))


def _is_live(run: Run) -> bool:
    return not run.source


def _so_far(store: Store, seen: Mapping[str, int]) -> Iterator[Event]:
    """What runs that are open now have done up to what was seen, oldest run first."""
    found = runs(store, Filter(status="started"), limit=_OPEN_RUNS).runs
    for run in reversed(found):
        if _is_live(run):
            yield from events(store, run.id, limit=seen.get(run.id, 0))
