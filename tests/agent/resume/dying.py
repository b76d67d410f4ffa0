"""A program that runs an agent and is killed by SIGKILL right behind an event of its run: for tests that resume it.

    python -m tests.agent.resume.dying HOME EVENT

EVENT is a number, counted over all its runs from 0, or the name of a tool: then it dies when that has first begun.

Each effect writes a line into `HOME/effects` before it says that it is done, so a test sees how often it happened.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tachograph import compose
from tachograph.agent.agent import Agent
from tachograph.agent.hooks import Hooks, Moment, ReplaceOutput
from tachograph.agent.team.delegate import Delegate
from tachograph.agent.tools.tool import Tool
from tachograph.events.envelope import Event
from tachograph.events.tool import ToolStarted
from tachograph.providers.port import Request
from tachograph.providers.scripted import Call, ScriptedModel
from tachograph.record import scope

NAME = "desk"


def agents(home: Path) -> Agent:
    """A desk that looks things up, pays twice at once, asks a worker that pays too, and hands over to another agent."""

    def pay(what: str) -> str:
        """Pay for something."""
        with (home / "effects").open("a") as file:
            file.write(f"{what}\n")
            file.flush()
            os.fsync(file.fileno())
        return f"paid {what}"

    async def look(what: str) -> str:
        """Look something up."""
        return f"{what} is here"

    def shouted(moment: Moment) -> ReplaceOutput | None:
        return ReplaceOutput(str(moment.result).upper()) if moment.call and "loud" in moment.call.arguments else None

    hooks = Hooks()
    hooks.on("post_tool_use", shouted)
    tools = [Tool.of(pay, classification="write"), Tool.of(look, classification="read")]
    worker = Agent(name="worker", model=by_place(pays("w"), "worker is done"), tools=tools, limits="4 turns")
    last = Agent(
        name="last", model=by_place(*[None] * 5, looks("end"), "all done"), tools=tools, instructions="Be brief."
    )  # fmt: skip
    script = (
        looks("a"), [pays("one"), pays("two"), looks("loud")], Call("ask_worker", {"message": "do it"}), pays("three"),
        Call("handoff_to_last", {"reason": "the end"}),
    )  # fmt: skip
    return Agent(
        name=NAME, model=by_place(*script), tools=tools, delegates=[Delegate(worker, mode="fresh")], handoffs=[last],
        hooks=hooks, instructions="Be exact.", limits="12 turns, 20 model calls, 20 tool calls, 60s",
    )  # fmt: skip


def pays(what: str) -> Call:
    """A call with an effect."""
    return Call("pay", {"what": what})


def looks(what: str) -> Call:
    """A call without."""
    return Call("look", {"what": what})


def by_place(*script: Any) -> ScriptedModel:
    """A model whose reply depends on the conversation alone: it says the same in every process.

    A call that somebody has to be asked about, and that may not be made again, is not asked for a second time.
    """

    def reply(request: Request) -> Any:
        return script[min(sum(message.role == "assistant" for message in request.messages), len(script) - 1)]

    return ScriptedModel(reply)


def main(home: Path, last: str) -> None:
    """Run, and die behind the event; what is left says so."""
    system = compose.configure(home=home, drain_interval=0.02)
    seen = 0

    def dies(event: Event) -> bool:
        nonlocal seen
        seen += 1
        begun = isinstance(event.body, ToolStarted) and event.body.name == last
        if begun or (last.isdecimal() and seen > int(last)):
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    system.recorder.feed.subscribe(dies)
    outcome = asyncio.run(agents(home).run("go"))
    assert scope.recorder() is system.recorder
    sys.stdout.write(outcome.stop_reason)
    system.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
