"""The commands and their summaries. A command's module is imported when it is called, or when its help is asked for."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from tachograph.cli.exits import MEANINGS
from tachograph.cli.quick import QuickGroup
from tachograph.version import VERSION

COMMANDS: Mapping[str, str] = {
    "run": "Run an agent of yours once, and stream its answer.",
    "chat": "Talk with an agent of yours.",
    "resume": "Go on with a run that was stopped, paused, failed or killed.",
    "fork": "Try a recorded run again from some point, with another model or other words.",
    "import": "Read what agents left on disk into the store.",
    "ls": "List recent runs.",
    "show": "Show a run as a tree: time, tokens, cost, repeats, and why it stopped.",
    "diff": "Compare two runs: where they part, and what that did to tokens, cost and time.",
    "stats": "Add up cost, tokens, success and latency of a period.",
    "tail": "Follow runs as they happen, one line an event.",
    "search": "Find runs by what was said, called or answered in them.",
    "export": "Write events as JSON lines, with their contents.",
    "serve": "Answer over HTTP: the API, live events, metrics; drains, prunes and watches meanwhile.",
    "keys": "Make, list and revoke access keys of the server.",
    "prune": "Erase what is old or too much, archived first if asked.",
    "db": "Back up, rebuild or check the store.",
    "doctor": "Look after journals and store: what waits, what was lost, what is damaged.",
    "limits": "Say what limits mean, or try loop detection on what was recorded.",
    "approvals": "List the tool calls that wait for a person, and decide about them.",
    "session": "Say where sessions stand and what they have used; close one, or let it begin anew.",
    "prices": "Say what a model costs and why, or price past calls again.",
    "demo": "Run a small support desk of scripted agents and show what was recorded.",
}
"""Command → what it does, in the order of the help."""

_AGENTS = ("run", "chat", "resume", "fork", "approvals")
_MODULES = {"import": "imports", **{name: f"agents.{name}" for name in _AGENTS}}


class Commands(MutableMapping[str, Any]):
    """The commands by name; each is made from its module when somebody takes it."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """The command. Raises KeyError."""
        if name not in self._made:
            if name not in COMMANDS:
                raise KeyError(name)
            module = import_module(f"tachograph.cli.commands.{_MODULES.get(name, name)}")
            made = get_command(module.app)
            made.name = name
            self._made[name] = made
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        """Add a command of somebody else's."""
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        """Forget a command that was added or made."""
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        """Names, in the order of the help."""
        return iter(dict.fromkeys((*COMMANDS, *self._made)))

    def __len__(self) -> int:
        """How many there are."""
        return len({*COMMANDS, *self._made})


class LazyGroup(QuickGroup):
    """A group that lists its commands without importing them."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(**{**facts, "commands": {}})
        self.commands: MutableMapping[str, Any] = Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order of the help."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Names and summaries."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    cls=LazyGroup,
    name="tachograph",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExit codes:\n" + "\n".join(f"  {code:<3} {meaning}" for code, meaning in MEANINGS.items()),
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tachograph {VERSION}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_version)
]


@app.callback()
def tachograph(*, version: Version = False) -> None:
    """The flight recorder for LLM agents: what ran, what it cost, where it looped, and why it stopped.

    Newcomers with coding agents on this machine start with `tachograph import`, then `tachograph ls`, `show` and
    `stats`; everyone else with `tachograph demo`. Every command takes --json, --store and --no-color.
    """


def run() -> NoReturn:
    """Run the command that `sys.argv` names. Text that the terminal's encoding has no letters for is replaced."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app(prog_name="tachograph")
    raise SystemExit(0)
