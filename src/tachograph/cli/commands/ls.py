"""`tachograph ls`: which runs are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import typer
from rich.text import Text

from tachograph.cli import human, machine, options
from tachograph.cli.asked import asked
from tachograph.cli.command import command, command_app
from tachograph.cli.draw.columns import Column, table
from tachograph.cli.pick import short
from tachograph.cli.quick import QuickCommand
from tachograph.cli.repeats import most_repeated
from tachograph.cli.terminal import Terminal
from tachograph.errors import SettingsError
from tachograph.queries import wording
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
        said = asked(terminal.store, [run.id for run in page.runs])
        terminal.show(table(list(_columns(page.runs, repeats, said)), terminal.out.width))
        if page.after is not None:
            terminal.tell(f"The first {limit}; more with --limit.")


def _columns(found: Sequence[Run], repeats: Mapping[str, int], said: Mapping[str, str]) -> Iterator[Column]:
    """A column for each fact, with the most important ones staying longest on a narrow screen."""
    yield Column("run", [Text(short(run), "cyan") for run in found])
    yield Column("outcome", [_outcome(run) for run in found])
    yield Column("name", [Text(human.line(f"{'↳ ' if run.parent else ''}{run.name}", 40)) for run in found])
    yield Column("session", [Text(human.line(run.session or "", 13), "dim") for run in found], keep=2)
    yield Column("started", [Text(human.moment(run.started_at)) for run in found], keep=6)
    yield Column("time", [Text(wording.duration(run.duration_ns)) for run in found], right=True, keep=7)
    yield Column("iter", [Text(wording.count(run.iterations)) for run in found], right=True, keep=1)
    yield Column("calls", [Text(wording.count(run.llm_calls)) for run in found], right=True, keep=4)
    yield Column("tools", [Text(wording.count(run.tool_calls)) for run in found], right=True, keep=4)
    yield Column("tokens", [_tokens(run) for run in found], right=True, keep=5)
    yield Column("cost", [_cost(run) for run in found], right=True)
    yield Column("repeats", [_repeats(repeats.get(run.id, 0)) for run in found], right=True, keep=8)
    yield Column("asked", [Text(said.get(run.id, ""), "dim") for run in found], keep=3, gives_way=True)


def _outcome(run: Run) -> Text:
    return Text(human.line(wording.outcome(run.status, run.stop_reason)), human.STATUS_STYLES.get(run.status, ""))


def _tokens(run: Run) -> Text:
    return Text(f"{wording.short(run.input_total)} → {wording.short(run.output)}" if run.llm_calls else "")


def _cost(run: Run) -> Text:
    return Text(wording.money(run.cost, run.unpriced) if run.llm_calls else "")


def _repeats(count: int) -> Text:
    return Text(f"{count}×" if count >= REPEATS_SHOWN else "", "bold red" if count >= REPEATS_LOUD else "yellow")
