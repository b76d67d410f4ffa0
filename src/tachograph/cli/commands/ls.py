"""tmp."""
from tachograph.cli.command import command
from tachograph.cli.terminal import Terminal
import typer
from typing import Annotated
app = typer.Typer(rich_markup_mode=None)

@app.command()
@command
def ls(terminal: Terminal, *, limit: Annotated[int, typer.Option("--limit", "-n", help="Most runs.")] = 20) -> int | None:
    """List recent runs."""
    from rich.table import Table
    t=Table("a","b"); t.add_row("x","y")
    terminal.show(t, "plain [b]")
    if terminal.json: terminal.give({"x": limit})
