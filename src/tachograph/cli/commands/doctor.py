"""`tachograph doctor`: are the records whole, and is anything waiting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tachograph.cli import exits, human
from tachograph.cli.command import command, command_app
from tachograph.cli.quick import QuickCommand
from tachograph.cli.repair import Repaired, repair
from tachograph.cli.terminal import Terminal
from tachograph.queries import wording
from tachograph.queries.checkup import Diagnosis, JournalState, examine

app = command_app()


@app.command(cls=QuickCommand)
@command
def doctor(
    terminal: Terminal,
    *,
    mend: Annotated[
        bool,
        typer.Option(
            "--repair", help="Adopt journals of processes that are gone, end their runs, remove what was left."
        ),
    ] = False,
) -> int:
    """Look after journals and store: what waits, what was lost, what is damaged, which runs nobody will end.

    Exit code 1 when something is wrong. With --json: one object.
    """
    done: Repaired | None = None
    if mend:
        with terminal.progress("repairing"):
            done = repair(terminal.settings, terminal.bare_store)
    found = examine(terminal.settings, terminal.bare_store)
    if terminal.json:
        terminal.give({**msgspec.to_builtins(found), "problems": found.problems, "repaired": done})
    else:
        terminal.show(*_draw(found, terminal.clock.now()))
        if done is not None:
            terminal.show(_repaired(done))
        terminal.show(*_verdict(found))
    return exits.FOUND_WRONG if found.problems else exits.OK


def _draw(found: Diagnosis, now: int) -> Iterator[RenderableType]:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    facts = found.facts
    table.add_row("store", found.store)
    table.add_row("size", f"{wording.size(facts.get('bytes'))}, schema {facts.get('schema', wording.UNKNOWN)}")
    kept = ("runs", "events", "calls", "tool_calls", "payloads", "sessions")
    table.add_row("holds", " · ".join(f"{facts[name]:,} {name.replace('_', ' ')}" for name in kept if name in facts))
    table.add_row("open runs", wording.count(facts.get("open_runs")))
    table.add_row(
        "unknown", f"{wording.some(found.unpriced, 'call')} without a price · {found.usage_missing:,} without usage"
    )
    table.add_row("draining", "by a running process" if found.draining else "nobody (the next reader does it)")
    yield table
    yield Text()
    yield (
        _journals(found.journals, now)
        if found.journals
        else Text("no journals: everything recorded is in the store", "dim")
    )


def _journals(states: tuple[JournalState, ...], now: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("journal", "owner", "last seen"):
        table.add_column(name, no_wrap=True)
    for name in ("waiting", "bytes", "on disk", "damaged"):
        table.add_column(name, justify="right", no_wrap=True)
    for state in states:
        owner = f"pid {state.pid}" if state.pid is not None else "unknown"
        seen = wording.UNKNOWN if state.seen_at is None else f"{wording.duration(max(0, now - state.seen_at))} ago"
        table.add_row(
            Text(state.id[:13], "cyan"),
            Text(owner if state.alive else f"{owner}, gone", "" if state.alive else "red"),
            seen,
            f"{state.waiting:,}",
            wording.size(state.waiting_bytes),
            wording.size(state.disk_bytes),
            Text(wording.size(state.damaged_bytes) if state.damaged_bytes else "", "red"),
        )
    return table


def _repaired(done: Repaired) -> Text:
    said = (
        f"repaired: {done.events:,} events moved, {done.abandoned:,} runs ended as abandoned, "
        f"{done.removed:,} leftovers removed"
    )
    if not done.finished:
        said += f"; not everything: {done.problem or 'another process is draining'}"
    return Text(f"\n{said}", "green" if done.finished else "yellow")


def _verdict(found: Diagnosis) -> Iterator[Text]:
    yield Text()
    for loss in found.losses:
        what = f"{loss['reason']}: {loss['events'] or 'some'} events, {wording.size(loss['bytes'])} {loss['detail']}"
        yield Text(f"lost  {human.moment(loss['at'])}  {human.line(what, 160)}", "red")
    for problem in found.problems:
        yield Text(f"✗ {problem}", "red")
    if not found.problems:
        yield Text("✓ nothing is wrong", "green")
