"""`tachograph search`: who said that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from tachograph.cli import human, machine
from tachograph.cli.command import command, command_app
from tachograph.cli.options import positive
from tachograph.cli.pick import short
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.errors import SettingsError
from tachograph.queries.search import Hit, Snippet
from tachograph.queries.search import search as hits

app = command_app()


@app.command(cls=QuickCommand)
@command
def search(
    terminal: Terminal,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="Words as they were said; upper and lower case are the same.")
    ],
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Most messages to show.")] = 20,
) -> None:
    """Find messages that contain a text, those of the newest runs first.

    `tachograph show RUN --messages` shows the whole conversation. With --json: one message a line.
    """
    if not text.strip():
        raise SettingsError("TEXT", text, "at least one letter")
    found = hits(terminal.store, text, positive("--limit", limit))
    if terminal.json:
        for hit in found:
            terminal.give(_as_json(hit))
    elif not found:
        terminal.tell("Nobody said that.")
    else:
        terminal.show(*_draw(found))


def _as_json(hit: Hit) -> dict[str, Any]:
    return {**msgspec.to_builtins(hit), "run": machine.run(hit.run)}


def _draw(found: Sequence[Hit]) -> Iterator[Text]:
    """Messages below the run in which they were said."""
    for run, group in groupby(found, key=lambda hit: hit.run):
        started = human.moment(run.started_at)
        yield Text.assemble((short(run), "cyan"), "  ", (human.line(run.name), "bold"), (f"  {started}", "dim"))
        for hit in group:
            yield Text.assemble((f"  {human.line(hit.role, 10):<10} ", "dim"), _marked(hit.snippet))


def _marked(snippet: Snippet) -> Text:
    before, match, behind = (
        snippet.text[: snippet.start],
        snippet.text[snippet.start : snippet.stop],
        snippet.text[snippet.stop :],
    )
    return Text.assemble(human.line(before), (human.line(match), "bold yellow"), human.line(behind))
