"""`tachograph fork`: a recorded run tried again from some point, with another model or other words."""

from __future__ import annotations

from typing import Annotated

import typer

from tachograph.agent.agent import Agent
from tachograph.agent.resume.fork import forked
from tachograph.cli.command import command, command_app
from tachograph.cli.commands.agents.run import AgentFile, LimitsText, Prepared, RecordedRun, Session, Trace, fly, meant
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal

app = command_app()


@app.command(cls=QuickCommand)
@command
def fork(
    terminal: Terminal,
    run: RecordedRun,
    agent: AgentFile,
    *,
    at: Annotated[
        int | None, typer.Option("--at", metavar="SEQ", help="The event after which to begin; else behind the last.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="In place of the agent's own.")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", help="What is said next.")] = None,
    instructions: Annotated[
        str | None, typer.Option("--instructions", help="In place of those that were recorded.")
    ] = None,
    effects: Annotated[
        bool, typer.Option("--effects", help="Make calls that have effects, also where nothing was recorded.")
    ] = False,
    limits: LimitsText = None,
    session: Session = None,
    trace: Trace = False,
) -> int:
    """Begin a new run where a recorded one stood: the same conversation up to there, then whatever comes.

    What tools returned in the recorded run is returned again, and nothing that has effects is made a second time. The
    exit code is that of `run`. The file is Python and is run: name only files you trust.
    """

    def prepared(found: Agent) -> Prepared:
        chosen = found if model is None else found.but(model=model)
        asked, call = forked(
            chosen, meant(run), at, prompt=prompt, instructions=instructions, effects="run" if effects else "recorded",
            limits=limits, session=session, platform="cli",
        )  # fmt: skip
        return chosen, asked, call

    return fly(terminal, agent, prepared, trace=trace)
