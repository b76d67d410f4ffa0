"""`tachograph show`: one run, from its tree down to the bytes of a message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.table import Table

from tachograph.cli import human
from tachograph.cli.command import command, command_app
from tachograph.cli.draw.messages import as_json
from tachograph.cli.draw.messages import draw as draw_messages
from tachograph.cli.draw.narrator import Narrator
from tachograph.cli.draw.tree import draw
from tachograph.cli.pick import pick
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.errors import SettingsError
from tachograph.events import codec
from tachograph.fold.receipt import Receipt
from tachograph.queries.events import events
from tachograph.queries.run import run as run_detail
from tachograph.queries.transcript import transcript

app = command_app()


@app.command(cls=QuickCommand)
@command
def show(
    terminal: Terminal,
    run: Annotated[str, typer.Argument(metavar="RUN", help="`last`, an id from `tachograph ls`, or the start of one.")],
    *,
    messages: Annotated[bool, typer.Option("--messages", help="What the model was sent and what it answered.")] = False,
    call: Annotated[
        int | None,
        typer.Option(
            "--call",
            metavar="STEP",
            help="With --messages: at this step; the last call when not given.",
            show_default=False,
        ),
    ] = None,
    as_events: Annotated[bool, typer.Option("--events", help="Every event, one line each.")] = False,
    receipt: Annotated[bool, typer.Option("--receipt", help="What was recorded, cut, masked and lost.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every step of a long run.")] = False,
) -> None:
    """Show a run as a tree: time, tokens and cost of each step, repeats marked, and why it stopped.

    With --json: one object; for --messages and --events one object a line.
    """
    if messages + as_events + receipt > 1:
        raise SettingsError("--messages, --events, --receipt", "together", "one of them at a time")
    found = pick(terminal.store, run)
    if messages or call is not None:
        _messages(terminal, found.id, call)
    elif as_events:
        _events(terminal, found.id)
    else:
        detail = run_detail(terminal.store, found.id)
        if terminal.json:
            terminal.give(detail.receipt if receipt else detail)
        else:
            terminal.show(_receipt(detail.receipt) if receipt else draw(detail, terminal.out.width, whole=everything))


def _messages(terminal: Terminal, run: str, call: int | None) -> None:
    found = transcript(terminal.store, run, call)
    if terminal.json:
        for message in as_json(found):
            terminal.give(message)
    else:
        terminal.show(*draw_messages(found))


def _events(terminal: Terminal, run: str) -> None:
    narrator = Narrator(name_runs=False)
    for event in events(terminal.store, run):
        if terminal.json:
            terminal.write(codec.to_json(event) + b"\n")
        else:
            terminal.show(narrator.tell(event))


def _receipt(receipt: Receipt) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("complete", "yes" if receipt.complete else "no")
    for name, value in _facts(receipt):
        table.add_row(name.replace("_", " "), value)
    return table


def _facts(receipt: Receipt) -> Iterator[tuple[str, str]]:
    for name in receipt.__struct_fields__:
        value = getattr(receipt, name)
        if name == "open":
            value = ", ".join(f"{step.kind} {human.line(step.name)} ({step.step})" for step in value)
        elif isinstance(value, dict):
            value = ", ".join(f"{human.line(key)} {count:,}" for key, count in value.items())
        elif isinstance(value, int):
            value = f"{value:,}"
        if value not in ("", None):
            yield name, str(value)
