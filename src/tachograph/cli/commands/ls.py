"""`tachograph ls`: which runs are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from tachograph.cli import human, machine, options
from tachograph.cli.command import command, command_app
from tachograph.cli.pick import short
from tachograph.cli.quick import QuickCommand
from tachograph.cli.repeats import most_repeated
from tachograph.cli.terminal import Terminal
from tachograph.errors import SettingsError
from tachograph.queries.runs import Filter, Run, runs

app = command_app()

REPEATS_SHOWN, REPEATS_LOUD = 3, 6
"""From how many equal tool calls on they are shown, and shown in red."""

SORTS: Mapping[str, str] = {
    "new": "-started_at",
    "cost": "-cost_nano",
    "tokens": "-total_tokens",
    "time": "-duration_ns",
    "calls": "-llm_calls",
    "tools": "-tool_calls",
    "errors": "-errors",
}


@app.command(cls=QuickCommand)
@command
def ls(
    terminal: Terminal,
    *,
    status: options.Status = None,
    agent: options.Agent = None,
    session: options.Session = None,
    project: options.Project = None,
    since: options.Since = None,
    until: options.Until = None,
    search: Annotated[str | None, typer.Option("--search", help="Only runs with this in their name.")] = None,
    top: Annotated[bool, typer.Option("--top", help="Only runs that no other run started.")] = False,
    sort: Annotated[str, typer.Option("--sort", help=f"Largest first: {', '.join(SORTS)}.")] = "new",
    limit: Annotated[int, typer.Option("--limit", "-n", help="Most runs to list.")] = 20,
) -> None:
    """List recent runs: how each ended, how long it took, what it called and what it cost.

    With --json: one object a line.
    """
    if sort not in SORTS:
        raise SettingsError("--sort", sort, f"one of {', '.join(SORTS)}")
    where = Filter(
        status=status,
        agent=agent,
        session=session,
        project=project,
        text=search,
        since=options.when(terminal, "--since", since),
        until=options.when(terminal, "--until", until),
        top=top,
    )
    page = runs(terminal.store, where, order=SORTS[sort], limit=options.positive("--limit", limit))
    repeats = most_repeated(terminal.store, [run.id for run in page.runs])
    if terminal.json:
        for run in page.runs:
            terminal.give(machine.run(run, max_identical_calls=repeats.get(run.id, 0)))
    elif not page.runs:
        terminal.tell(f"No runs in {terminal.settings.store_url} yet." if where == Filter() else "No such runs.")
    else:
        terminal.show(_table(page.runs, repeats))
        if page.after is not None:
            terminal.tell(f"The first {limit}; more with --limit.")


def _table(found: Sequence[Run], repeats: Mapping[str, int]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("run", "outcome", "name", "session", "started"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for name in ("time", "iter", "calls", "tools", "tokens", "cost", "repeats"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in found:
        table.add_row(*_cells(run, repeats.get(run.id, 0)))
    return table


def _cells(run: Run, repeated: int) -> list[Text]:
    style = human.STATUS_STYLES.get(run.status, "")
    name = f"{'↳ ' if run.parent else ''}{run.name}"
    again = f"{repeated}×" if repeated >= REPEATS_SHOWN else ""
    return [
        Text(short(run), "cyan"),
        Text(human.line(human.outcome(run.status, run.stop_reason)), style),
        Text(human.line(name, 40)),
        Text(human.line(run.session or "", 24), "dim"),
        Text(human.moment(run.started_at)),
        Text(human.duration(run.duration_ns)),
        Text(human.count(run.iterations)),
        Text(human.count(run.llm_calls)),
        Text(human.count(run.tool_calls)),
        Text(f"{human.short(run.input_total)} → {human.short(run.output)}" if run.llm_calls else ""),
        Text(human.money(run.cost, run.unpriced) if run.llm_calls else ""),
        Text(again, "bold red" if repeated >= REPEATS_LOUD else "yellow"),
    ]
