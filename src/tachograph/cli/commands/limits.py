"""`tachograph limits`: what a text of limits means, and what a policy would have done to what was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct
from rich.table import Table
from rich.text import Text

from tachograph.cli import exits, human, options
from tachograph.cli.command import command, command_app
from tachograph.cli.intake.conversations import Conversation, conversations, outcomes
from tachograph.cli.intake.files import find
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.events.tool import ToolStarted
from tachograph.limits.backtest import POLICIES, Line, Tested, backtest, succeeded, tally
from tachograph.limits.limit import Limit
from tachograph.limits.loops import Loops
from tachograph.limits.text import parse, spell
from tachograph.queries import wording
from tachograph.queries.events import events
from tachograph.queries.runs import Filter, runs

app = command_app(
    name="limits", help="Say what limits mean, or try loop detection on what was recorded.", no_args_is_help=True
)
_PAGE = 500
_TROUBLES = 20


class Report(Struct, frozen=True, kw_only=True):
    """What was looked at, and what each policy would have done to it."""

    read: int
    """Conversations, with tool calls or without."""
    conversations: int
    """Those in which a tool was called; all figures below are about them."""
    runs: int
    succeeded: int
    failed: int
    not_judged: int
    unread: int
    """Problems met while reading."""
    policies: tuple[Line, ...]


@app.command(cls=QuickCommand)
@command
def explain(
    terminal: Terminal,
    text: Annotated[str, typer.Argument(metavar="[LIMITS]", help='As in "15 turns, $1, 60s, 3 same calls".')] = "",
) -> None:
    """Show every limit that a text comes to, the shipped ones for all that it does not mention.

    With --json: one object, the text in full in it.
    """
    limits = parse(text)
    if terminal.json:
        said = {"text": spell(limits, whole=True), "loops": limits.loops}
        terminal.give({"limits": [msgspec.to_builtins(each) for each in limits.each()], **said})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("metric", "scope", "limit", "then", "from"):
        table.add_column(name, no_wrap=True, justify="right" if name == "limit" else "left")
    for each in limits.each():
        window = wording.duration(int(each.window * 1e9)) if each.window else ""
        scope = f"{each.scope}/{window}" if window else each.scope
        table.add_row(each.metric, scope, _figure(each), each.mode, "you" if each.stated else "default")
    terminal.show(table, Text(spell(limits, whole=True), "dim"))


@app.command("backtest", cls=QuickCommand)
@command
def try_out(
    terminal: Terminal,
    path: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]...", help="Files and folders; none: the runs of the store.")
    ] = None,
    *,
    limits: Annotated[
        str | None, typer.Option("--limits", metavar="TEXT", help='Compare this policy too: "4 repeats: stop".')
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option("--outcomes", metavar="FILE", help="JSON lines of file, line and outcome: what succeeded."),
    ] = None,
    since: options.Since = None,
    until: options.Until = None,
) -> int:
    """Report how many recorded conversations loop detection would have stopped, and how many of those had succeeded.

    Only conversations with tool calls count. Whether one succeeded is told by its scores (reward, resolved, correct),
    or by --outcomes. Nothing is stored. Exit code 1 when something could not be read. With --json: one object.
    """
    policies = dict(POLICIES) if limits is None else {limits: parse(limits).loops, **POLICIES}
    known = {} if index is None else outcomes(index)
    troubles: list[str] = []
    files = (file for file in find(path or ()) if index is None or file.path != index.resolve())
    where = Filter(since=options.when(terminal, "--since", since), until=options.when(terminal, "--until", until))
    found = conversations(files, troubles.append) if path else _of_store(terminal, where)
    with terminal.progress("trying"):
        report = _report(found, policies, known, troubles)
    if terminal.json:
        terminal.give(report)
    else:
        for trouble in troubles[:_TROUBLES]:
            terminal.tell(human.line(trouble, 300))
        terminal.show(*_draw(report))
    return exits.FOUND_WRONG if troubles else exits.OK


def _report(
    found: Iterator[Conversation], policies: Mapping[str, Loops], known: Mapping[Any, bool], troubles: Sequence[str]
) -> Report:
    tested: dict[str, list[tuple[list[Tested], bool | None]]] = {name: [] for name in policies}
    read = many = 0
    successes: list[bool | None] = []
    for conversation in found:
        read += 1
        if not any(isinstance(event.body, ToolStarted) for run in conversation.runs for event in run):
            continue
        success = known.get(conversation.place, _succeeded(conversation))
        successes.append(success)
        many += len(conversation.runs)
        for name, loops in policies.items():
            tested[name].append(([backtest(run, loops) for run in conversation.runs], success))
    return Report(
        read=read,
        conversations=len(successes),
        runs=many,
        succeeded=successes.count(True),
        failed=successes.count(False),
        not_judged=successes.count(None),
        unread=len(troubles),
        policies=tuple(tally(name, results) for name, results in tested.items()),
    )


def _succeeded(conversation: Conversation) -> bool | None:
    """Whether all runs that somebody judged did what they were to do."""
    judged = [verdict for run in conversation.runs if (verdict := succeeded(run)) is not None]
    return all(judged) if judged else None


def _of_store(terminal: Terminal, where: Filter) -> Iterator[Conversation]:
    store, after = terminal.store, None
    while True:
        page = runs(store, where, order="started_at", limit=_PAGE, after=after)
        for run in page.runs:
            yield Conversation((run.id, 1), (tuple(events(store, run.id)),))
        if page.after is None:
            return
        after = page.after


def _figure(limit: Limit) -> str:
    if limit.metric == "deadline":
        return wording.duration(int(limit.threshold * 1e9))
    money = limit.metric == "cost_budget" or limit.of == "usd"
    return f"${limit.threshold:,.2f}" if money else f"{limit.threshold:,.0f}"


def _draw(report: Report) -> Iterator[Any]:
    judged = f"{report.succeeded:,} succeeded, {report.failed:,} failed, {report.not_judged:,} not judged"
    read = f"{wording.some(report.read, 'conversation')} read, {report.conversations:,} with tool calls"
    yield Text(f"{read} ({judged})", "bold")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in (
        "policy",
        "stopped",
        "succeeded",
        "refused in",
        "succeeded",
        "warned in",
        "succeeded",
        "calls",
        "wrongly",
    ):
        table.add_column(name, no_wrap=True, justify="left" if name == "policy" else "right")
    for line in report.policies:
        counts = (line.stopped, line.stopped_succeeded, line.refused, line.refused_succeeded, line.warned)
        more = (line.warned_succeeded, line.calls_refused, line.calls_changed)
        table.add_row(human.line(line.policy), *(wording.count(count) for count in (*counts, *more)))
    yield table
    yield Text("calls: refused as repetitions; wrongly: those whose result had in fact changed", "dim")
