"""`tachograph approvals`: tool calls that wait for a person, and what is decided about them."""

from __future__ import annotations

import os
import pwd
from datetime import datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from tachograph.cli import human
from tachograph.cli.command import command, command_app
from tachograph.cli.pick import digits, pick, short
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.compose import admitter_for, scrubber_for
from tachograph.errors import Ambiguous, NotFound, SettingsError
from tachograph.fold.approvals import Approval, Word, approvals
from tachograph.queries.answers.approvals import ApprovalsAsked, NewDecision, ruled, split, waiting_call
from tachograph.queries.answers.approvals import waiting_runs as paused
from tachograph.queries.runs import Run
from tachograph.record.after.decision import decide

app = command_app(
    name="approvals", help="List the tool calls that wait for a person, and decide about them.", no_args_is_help=True
)
Which = Annotated[str, typer.Argument(metavar="ID", help="As `ls` shows it; or the run, where one call of it waits.")]
Called = Annotated[
    str | None, typer.Option("--call", metavar="CALL", help="Of a run with several: the call's id, or its tool.")
]
By = Annotated[
    str | None, typer.Option("--by", metavar="WHO", help="Who decides; the user of this machine without it.")
]


@app.command(cls=QuickCommand)
@command
def ls(
    terminal: Terminal,
    *,
    limit: Annotated[int, typer.Option("--limit", help="Most paused runs to list.", show_default=True)] = 50,
) -> None:
    """List the calls that wait, those of the newest runs first. With --json: one object."""
    if not 1 <= limit <= 500:
        raise SettingsError("--limit", limit, "1 to 500")
    found = paused(terminal.store, ApprovalsAsked(limit=limit), terminal.clock.now())
    if terminal.json:
        terminal.give(found)
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("id", "tool", "arguments", "agent", "asked", "expires", "status"):
        table.add_column(column, no_wrap=column != "arguments")
    for run in found.runs:
        for call in run.approvals:
            name = f"{digits(run.execution_id)}.{call.id.removeprefix(f'{run.run_id}.')}"
            shown = human.line(msgspec.json.encode(call.arguments).decode(), 80)
            status = call.status if call.decided_by is None else f"{call.status} by {human.line(call.decided_by, 30)}"
            times = (_moment(call.requested_at), "" if call.expires_at is None else _moment(call.expires_at))
            table.add_row(name, human.line(call.tool), shown, human.line(call.agent), *times, status)
    terminal.show(table if table.row_count else "Nothing waits for a person.")


@app.command(cls=QuickCommand)
@command
def allow(terminal: Terminal, which: Which, *, call: Called = None, by: By = None) -> None:
    """Let a call be made as it is."""
    _decide(terminal, which, call, by, "allow")


@app.command(cls=QuickCommand)
@command
def deny(
    terminal: Terminal,
    which: Which,
    *,
    call: Called = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in words for the model.")] = "",
    by: By = None,
) -> None:
    """Do not let a call be made; the model is told why."""
    _decide(terminal, which, call, by, "deny", reason=reason)


@app.command(cls=QuickCommand)
@command
def edit(
    terminal: Terminal,
    which: Which,
    *,
    arguments: Annotated[str, typer.Option("--arguments", metavar="JSON", help="All arguments, as one object.")],
    call: Called = None,
    by: By = None,
) -> None:
    """Let a call be made with other arguments. They are checked against the tool's schema when it runs."""
    try:
        given = msgspec.json.decode(arguments, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError) as problem:
        raise SettingsError("--arguments", arguments, f"one JSON object ({problem})") from problem
    _decide(terminal, which, call, by, "edit", arguments=given)


def _decide(terminal: Terminal, which: str, call: str | None, by: str | None, word: Word, **facts: Any) -> None:
    store, settings = terminal.store, terminal.settings
    run, approval = _found(terminal, which, call)
    new = NewDecision(decision=word, arguments_hash=approval.arguments_hash, **facts)
    said = ruled(approval, new, by=by or _user(), via="command line", at=terminal.clock.now())
    done = decide(store, admitter_for(settings, store, scrubber_for(settings)), run.id, said)
    if terminal.json:
        terminal.give(waiting_call(run.id, done, said.at))
    else:
        terminal.show(f"{word}: {human.line(approval.tool)} of {short(run)}, by {human.line(said.by)}.")


def _found(terminal: Terminal, which: str, call: str | None) -> tuple[Run, Approval]:
    """The run and the request that is meant. Raises NotFound, Ambiguous."""
    named = split(which)
    run = pick(terminal.store, which if named is None else named[0])
    known = approvals(terminal.store.read(run.id), terminal.store.fetch)
    if named is not None:
        if named[1] not in known:
            raise NotFound("approval", which)
        return run, known[named[1]]
    now = terminal.clock.now()
    meant = [one for one in known.values() if call is None or call in (one.call_id, one.tool)]
    open_ones = [one for one in meant if one.standing(now) == "waiting"] or meant
    if not open_ones:
        raise NotFound("waiting call", which if call is None else f"{which} {call}")
    if len(open_ones) > 1:
        raise Ambiguous("waiting call", which, tuple(f"{short(run)}.{one.slot}" for one in open_ones))
    return run, open_ones[0]


def _moment(when: datetime) -> str:
    return human.moment(int(when.timestamp()) * 1_000_000_000)


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "command line"
