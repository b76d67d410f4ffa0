"""`tachograph export`: events as JSON lines, whole."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated, Any, cast

import typer
import zstandard

from tachograph.cli import options
from tachograph.cli.command import command, command_app
from tachograph.cli.pick import pick
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.events import codec
from tachograph.queries import wording
from tachograph.queries.events import events
from tachograph.queries.runs import Filter, Run, runs

app = command_app()

_PAGE = 500
Write = Callable[[bytes], Any]


@app.command(cls=QuickCommand)
@command
def export(
    terminal: Terminal,
    run: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="`last`, or ids; all runs when none is named.")
    ] = None,
    *,
    since: options.Since = None,
    until: options.Until = None,
    agent: options.Agent = None,
    session: options.Session = None,
    project: options.Project = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write there instead; packed when it ends in .gz or .zst."),
    ] = None,
) -> None:
    """Write events as JSON lines, a run after the other, oldest first.

    Contents that the store keeps apart stand in their places again. `tachograph import` reads the file back.
    """
    store = terminal.store
    where = Filter(
        since=options.when(terminal, "--since", since),
        until=options.when(terminal, "--until", until),
        agent=agent,
        session=session,
        project=project,
    )
    named = [pick(store, name) for name in run or ()]
    total = len(named) or runs(store, where, limit=1, total=True).total
    count = lines = 0
    with ExitStack() as stack:
        write = terminal.write if output is None else stack.enter_context(_opened(output)).write
        bar = stack.enter_context(terminal.progress("exporting", total=total, hidden=output is None))
        for each in named or _all(terminal, where):
            for event in events(store, each.id):
                write(codec.to_json(event) + b"\n")
                lines += 1
            count += 1
            bar.advance(bar.task_ids[0])
    if output is not None:
        terminal.tell(f"{wording.some(count, 'run')}, {wording.some(lines, 'event')} in {output}")


def _all(terminal: Terminal, where: Filter) -> Iterator[Run]:
    after: Sequence[Any] | None = None
    while True:
        page = runs(terminal.store, where, order="started_at", limit=_PAGE, after=after)
        yield from page.runs
        if page.after is None:
            return
        after = page.after


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "wb"))
    if path.suffix == ".zst":
        return cast("IO[bytes]", zstandard.open(path, "wb"))
    return path.open("wb")
