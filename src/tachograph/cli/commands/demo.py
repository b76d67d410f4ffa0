"""`tachograph demo`: a support desk of scripted agents, recorded and shown."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.text import Text

from tachograph import compose
from tachograph.cli.command import command, command_app
from tachograph.cli.commands.stats import as_json as stats_json
from tachograph.cli.commands.stats import draw as draw_stats
from tachograph.cli.desk import night
from tachograph.cli.desk.pace import Pace
from tachograph.cli.desk.program import Desk
from tachograph.cli.draw.tree import draw
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.errors import SettingsError, StoreUnavailable
from tachograph.queries.period import Period
from tachograph.queries.run import run as run_detail
from tachograph.queries.runs import Filter, Run, runs
from tachograph.queries.stats import stats
from tachograph.store.open import is_remote

app = command_app()

SESSION = "demo"
"""How the sessions of its tickets begin."""
SHIFT_NS = 5 * 60 * 1_000_000_000
"""How long before now the desk opened: its models think for minutes that nobody has to wait for."""


@app.command(cls=QuickCommand)
@command
def demo(terminal: Terminal) -> None:
    """Run a small support desk of scripted agents, record it, and show the runs and what they add up to.

    Needs no keys and no network. One agent hands over to another, one asks another, one runs away and is given to a
    person, one is killed with its process and goes on in this one. The records go into a store of their own in the
    data folder, made anew each time, unless --store names another.
    """
    if not terminal.store_named:
        path = terminal.settings.home / "demo.db"
        _remove(path)
        terminal.use_store(f"sqlite:{path}")
    elif (url := terminal.settings.store_url) == "memory:" or is_remote(url):
        raise SettingsError("--store", url, "a file: two processes record there, and what they said is read back")
    opened_at = terminal.clock.now() - SHIFT_NS
    with _recording(terminal, opened_at) as pace:
        desk = Desk(pace, SESSION)
        desk.open()
        desk.go_on(night.killed(terminal.settings, pace, SESSION), night.ANSWERED)
    _report(terminal, opened_at)


@contextmanager
def _recording(terminal: Terminal, opened_at: int) -> Iterator[Pace]:
    """Everything in the block is recorded into the terminal's store, at the pace of the desk."""
    settings = replace(terminal.settings, drain=True)
    pace = Pace(opened_at)
    system = compose.System(settings, clock=pace.clock())
    try:
        with compose.using(system):
            yield pace
        if not system.worker.flush():
            raise StoreUnavailable(settings.store_url, str(system.worker.last_error or "the drain did not finish"))
    finally:
        system.close()


def _report(terminal: Terminal, opened_at: int) -> None:
    store = terminal.store
    store.refresh(terminal.clock.now())
    found: list[Run] = sorted(runs(store, Filter(top=True, since=opened_at)).runs, key=lambda run: run.started_at)
    totals = stats(store, terminal.clock.now(), Period(since=opened_at), by=("model",))
    if terminal.json:
        details = [run_detail(store, run.id) for run in found]
        terminal.give({"store": terminal.settings.store_url, "runs": details, "stats": stats_json(totals)})
        return
    for run in found:
        terminal.show(draw(run_detail(store, run.id), terminal.out.width), "")
    summary = draw_stats(totals, terminal.out.width)
    terminal.show(Text("Everything together", "bold"), *summary, "", *_next_steps(terminal.settings.store_url))


def _next_steps(url: str) -> Iterator[Text]:
    """What to look at next, each line as a shell takes it."""
    yield Text(f"Recorded in {url}. Look closer:", "dim")
    for words in ("ls", "show last --messages", "stats --by agent", "search tandem"):
        yield Text(f"  {_called()} {words} --store {shlex.quote(url)}", "cyan")
    yield Text("Or in a browser:", "dim")
    yield Text(f"  {_called()} serve --store {shlex.quote(url)}", "cyan")


def _called() -> str:
    """The name of the command; where it lies, if it was called by that and a shell does not find it by name."""
    here = Path(sys.argv[0])
    is_hidden = here.name == "tachograph" and shutil.which("tachograph") is None
    return shlex.quote(str(here)) if is_hidden else "tachograph"


def _remove(path: Path) -> None:
    """Take the records of the last demo away."""
    for name in (path.name, f"{path.name}.ledger"):
        for suffix in ("", "-wal", "-shm"):
            path.with_name(name + suffix).unlink(missing_ok=True)
    shutil.rmtree(path.with_name(f"{path.name}.journals"), ignore_errors=True)
