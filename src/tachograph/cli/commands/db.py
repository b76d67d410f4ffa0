"""`tachograph db`: the store as a file to be looked after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tachograph.cli import exits, human
from tachograph.cli.command import command, command_app
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.errors import SettingsError
from tachograph.queries import wording

app = command_app(name="db", help="Back up, rebuild or check the store.", no_args_is_help=True)


@app.command(cls=QuickCommand)
@command
def backup(
    terminal: Terminal,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Copy the whole store as it is at one moment; recording goes on meanwhile."""
    copy: Callable[[Path], None] | None = getattr(terminal.store, "backup", None)
    if copy is None:
        raise SettingsError("--store", terminal.settings.store_url, "a store that is kept in one file")
    if file.exists() and not force:
        raise SettingsError("FILE", str(file), "a file that is not there yet, or --force")
    with terminal.progress("copying"):
        copy(file)
    _report(
        terminal,
        {"file": str(file.resolve()), "bytes": file.stat().st_size},
        f"{file}: {wording.size(file.stat().st_size)}",
    )


@app.command(cls=QuickCommand)
@command
def rebuild(terminal: Terminal) -> None:
    """Make every table again from the log of events. Nothing recorded is lost or changed."""
    with terminal.progress("rebuilding"):
        rows = terminal.store.rebuild()
        terminal.store.refresh(terminal.clock.now())
    said = " · ".join(f"{count:,} {table.replace('_', ' ')}" for table, count in rows.items())
    _report(terminal, {"rows": dict(rows)}, f"rebuilt: {said}")


@app.command(cls=QuickCommand)
@command
def check(terminal: Terminal) -> int:
    """Compare everything stored with its hashes, its order and its sums. Exit code 1 when a fault is found."""
    with terminal.progress("checking"):
        faults = list(terminal.bare_store.check())
    if terminal.json:
        terminal.give({"ok": not faults, "faults": faults})
    elif faults:
        terminal.show(*map(human.line, faults))
    else:
        terminal.show("No faults found.")
    return exits.FOUND_WRONG if faults else exits.OK


def _report(terminal: Terminal, value: dict[str, Any], text: str) -> None:
    if terminal.json:
        terminal.give(value)
    else:
        terminal.show(text)
