"""`tachograph resume`: a run that was stopped, paused, failed or killed goes on."""

from __future__ import annotations

from typing import Annotated

import typer

from tachograph.agent.agent import Agent
from tachograph.agent.resume.resume import taken_up
from tachograph.cli.command import command, command_app
from tachograph.cli.commands.agents.run import AgentFile, LimitsText, Prepared, RecordedRun, Trace, fly, meant
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal

app = command_app()


@app.command(cls=QuickCommand)
@command
def resume(
    terminal: Terminal,
    run: RecordedRun,
    agent: AgentFile,
    *,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="What is said now; else it goes on as it stood.")
    ] = None,
    limits: LimitsText = None,
    by: Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who wants it, for the record.")] = None,
    trace: Trace = False,
) -> int:
    """Go on with a run from its log: the same conversation, the same counts, with higher limits if asked.

    Nothing that had begun is made again. Where nobody knows whether a call with effects happened, the run waits
    (exit code 6): decide with `tachograph approvals`, and resume again. The exit code is that of `run`. The file is
    Python and is run: name only files you trust.
    """

    def prepared(found: Agent) -> Prepared:
        return taken_up(meant(run), found, prompt=prompt, limits=limits, by=by)

    return fly(terminal, agent, prepared, trace=trace)
