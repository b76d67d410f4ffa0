"""`tachograph import`: what agents left on disk becomes runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from tachograph.cli import exits, human, machine
from tachograph.cli.command import command, command_app
from tachograph.cli.intake.files import File, find
from tachograph.cli.intake.intake import AUTO, FORMATS, Intake
from tachograph.cli.intake.known import Notebook
from tachograph.cli.intake.places import Agent, agents, looked_in
from tachograph.cli.intake.report import Report
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.compose import admitter_for, scrubber_for
from tachograph.errors import NotFound, SettingsError
from tachograph.queries import wording

app = command_app()

PROBLEMS_SHOWN = 20


@app.command("import", cls=QuickCommand)
@command
def import_(
    terminal: Terminal,
    path: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Files and folders; none: the logs of coding agents on this machine."),
    ] = None,
    *,
    kind: Annotated[str, typer.Option("--format", help=f"What the files are: {', '.join(FORMATS)}.")] = AUTO,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before importing the logs that were found.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Read files again that have not changed.")] = False,
) -> int:
    """Read what agents left on disk into the store: session logs, benchmark results, message lists, our own exports.

    Files may be packed (.gz, .zst). Importing again adds only what is new. Secrets are masked before anything is
    stored. A line that cannot be read is named, and the rest goes in; then the exit code is 1. With --json: one object.
    """
    if kind not in FORMATS:
        raise SettingsError("--format", kind, f"one of {', '.join(FORMATS)}")
    if path:
        files = list(find(path))
        named = frozenset(str(one.resolve()) for one in path if one.is_file())
    else:
        found = agents()
        if not _agreed(terminal, found, yes=yes):
            return exits.USAGE
        files, named = [file for agent in found for file in agent.files], frozenset[str]()
    report = _take(terminal, files, named, Intake(*_gate(terminal), kind=kind, again=again))
    if terminal.json:
        terminal.give(_as_json(report))
    else:
        _tell_problems(terminal, report)
        terminal.show(_draw(report))
    return exits.FOUND_WRONG if report.problems else exits.OK


def _gate(terminal: Terminal) -> tuple[Any, Notebook, Any]:
    store: Any = terminal.bare_store
    return store, store, admitter_for(terminal.settings, store, scrubber_for(terminal.settings))


def _agreed(terminal: Terminal, found: Sequence[Agent], *, yes: bool) -> bool:
    """Whether the logs that were found may be imported."""
    if not found:
        raise NotFound("session logs of coding agents", f"looked in {', '.join(looked_in())}", place=True)
    if yes:
        return True
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("agent", "files", "size", "where"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("files", "size") else "left")
    for agent in found:
        table.add_row(agent.format, wording.count(len(agent.files)), wording.size(agent.bytes), str(agent.home))
    terminal.err.print(table)
    if not terminal.interactive:
        terminal.tell("Nothing imported: say --yes to import these, or name files and folders.")
        return False
    return typer.confirm("Import them?", default=False, err=True)


def _take(terminal: Terminal, files: Sequence[File], named: frozenset[str], intake: Intake) -> Report:
    started = monotonic()
    with terminal.progress("importing", total=sum(file.size for file in files)) as bar:
        report = intake.take(files, named, lambda file: bar.advance(bar.task_ids[0], file.size))
    report.seconds = monotonic() - started
    if report.runs:
        terminal.bare_store.refresh(terminal.clock.now())
    return report


def _tell_problems(terminal: Terminal, report: Report) -> None:
    for trouble in report.named[:PROBLEMS_SHOWN]:
        terminal.tell(human.line(trouble.text, 300))
    if report.problems > PROBLEMS_SHOWN:
        terminal.tell(f"… and {report.problems - PROBLEMS_SHOWN:,} more (--json names up to 1,000)")


def _draw(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in _lines(report):
        table.add_row(name, value)
    return table


def _lines(report: Report) -> Iterator[tuple[str, Text | str]]:
    totals = report.totals
    other = f" · {report.other:,} hold no conversation" if report.other else ""
    yield "files", f"{report.files:,} read · {report.unchanged:,} unchanged{other}"
    yield "runs", f"{report.new:,} new · {report.updated:,} updated · {report.same:,} as before"
    if report.runs:
        yield "calls", f"{totals.attempts:,} model calls · {totals.tool_calls:,} tool calls"
        cached = f" ({wording.short(totals.cache_read)} from cache)" if totals.cache_read else ""
        missing = (
            f" · {wording.some(totals.missing['output'], 'call')} without usage" if totals.missing.get("output") else ""
        )
        nothing = totals.missing.get("output", 0) == totals.attempts
        said = "—" if nothing else f"{wording.short(totals.input_total)}{cached} → {wording.short(totals.output)}"
        yield "tokens", f"{said}{missing}"
        reported = f" · {wording.money(totals.reported_cost)} as reported" if totals.reported_calls else ""
        unpriced = f" · {wording.some(totals.unpriced, 'call')} without a price" if totals.unpriced else ""
        yield "cost", Text(f"{wording.money(totals.cost, totals.unpriced)}{unpriced}{reported}", "bold")
    if report.problems:
        yield "problems", Text(f"{report.problems:,}", "red")
    speed = report.megabytes_per_second
    if speed is not None:
        took = wording.duration(int(report.seconds * 1e9))
        yield "read", f"{report.bytes / 1e6:,.1f} MB in {took}, {speed:,.1f} MB/s"


def _as_json(report: Report) -> dict[str, Any]:
    totals = report.totals
    return {
        "files": {"read": report.files, "unchanged": report.unchanged, "other": report.other},
        "runs": {"new": report.new, "updated": report.updated, "same": report.same},
        "events": report.events,
        "totals": msgspec.to_builtins(totals),
        "cost_usd": machine.dollars(totals.cost) if not totals.unpriced or totals.cost else None,
        "unpriced": totals.unpriced,
        "problems": report.problems,
        "named_problems": [msgspec.to_builtins(trouble) for trouble in report.named],
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
        "megabytes_per_second": report.megabytes_per_second,
    }
