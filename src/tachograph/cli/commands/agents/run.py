"""`tachograph run`: an agent of the user's, once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Annotated, Any

import typer

from tachograph import compose
from tachograph.agent.agent import Agent
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.resume.recording import reading, recording
from tachograph.cli.command import command, command_app
from tachograph.cli.draw.tree import draw
from tachograph.cli.pick import pick
from tachograph.cli.quick import QuickCommand
from tachograph.cli.talk.agent_file import load
from tachograph.cli.talk.turn import Teller, exit_code, turn, watched
from tachograph.cli.terminal import Terminal
from tachograph.errors import NotFound
from tachograph.queries.run import run as run_detail

app = command_app()

AgentFile = Annotated[
    str, typer.Argument(metavar="FILE.py:AGENT", help="A Python file, and the agent in it; `agent` when not named.")
]
LimitsText = Annotated[
    str | None,
    typer.Option("--limits", metavar="TEXT", help='As in "15 turns, $1, 60s"; over the agent\'s own.'),
]
RecordedRun = Annotated[
    str, typer.Argument(metavar="RUN", help="`last`, an id from `tachograph ls`, or the start of one.")
]
Trace = Annotated[bool, typer.Option("--trace", help="Show the run as it grows, on stderr, and then whole.")]
Session = Annotated[str | None, typer.Option("--session", metavar="ID", help="The conversation the run belongs to.")]


@app.command(cls=QuickCommand)
@command
def run(
    terminal: Terminal,
    agent: AgentFile,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to ask it; `-` reads standard input.")],
    *,
    limits: LimitsText = None,
    session: Session = None,
    trace: Trace = False,
) -> int:
    """Run an agent once: its answer streams to stdout, what else happens to stderr.

    The exit code says how it ended: 0 an accepted answer, 5 stopped by a limit, 1 failed, 130 called off. With --json:
    the outcome as one object. The file is Python and is run: name only files you trust.
    """
    asked = sys.stdin.read() if prompt == "-" else prompt
    call: dict[str, Any] = {"limits": limits, "session": session, "platform": "cli"}
    return fly(terminal, agent, lambda found: (found, asked, call), trace=trace)


Prepared = tuple[Agent, Any, dict[str, Any]]
"""An agent, what it is asked, and the call."""


def meant(name: str) -> str:
    """The recorded run of that name, in the store that an agent's file has chosen. Raises NotFound, Ambiguous."""
    with reading(None) as store:
        try:
            recording(name, store)
        except NotFound:
            return pick(store, name).id
    return name


def fly(terminal: Terminal, file: str, prepared: Callable[[Agent], Prepared], *, trace: bool) -> int:
    """Run an agent of a file, and tell of it; the exit code. `prepared` is called when the store is chosen."""
    if terminal.store_named:
        compose.configure(store=terminal.settings.store_url)
    teller = Teller(terminal, trace=trace)
    agent, asked, call = prepared(load(file))

    async def whole() -> Outcome[Any]:
        try:
            return await turn(lambda: agent.start(asked, **call), teller)
        finally:
            await agent.close()

    with watched(terminal) if trace else nullcontext():
        outcome = asyncio.run(whole())
    teller.conclude(outcome)
    compose.flush()
    if trace and not terminal.json:
        _show_tree(terminal, outcome)
    return exit_code(outcome)


def _show_tree(terminal: Terminal, outcome: Outcome[Any]) -> None:
    if outcome.run_id is None:
        return
    try:
        detail = run_detail(terminal.store, outcome.run_id)
    except NotFound:
        terminal.tell("the run is not in the store: its file configured another one")
        return
    terminal.err.print(draw(detail, terminal.err.width))
