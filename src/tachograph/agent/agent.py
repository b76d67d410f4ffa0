"""An agent: a value that can be run.

    agent = Agent(name="desk", model="gpt-5-mini", tools=[find_order], limits="15 turns, $1, 60s")
    outcome = await agent.run("Where is my order?")        # or agent.run_sync(…), async for … in agent.stream(…)

A run always ends in an `Outcome`: completed with an accepted answer, or not, and then why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import Prompt, begin, call_of, outcome_of
from tachograph.agent.crew.crew import members
from tachograph.agent.handle import Handle, Stream
from tachograph.agent.live import Live
from tachograph.agent.progress import Emitter, running_loop
from tachograph.agent.run import fly
from tachograph.agent.spec import Spec
from tachograph.agent.team.delegate import Delegate
from tachograph.errors import SettingsError
from tachograph.providers.loop_thread import LoopThread
from tachograph.providers.port import ModelPort
from tachograph.record import scope

Result = TypeVar("Result")
log = logging.getLogger("tachograph.agent")


@dataclass(frozen=True, kw_only=True)
class Agent(Spec):
    """See `Spec` for its fields. The keywords of every way to run it are the fields of `Call`."""

    def but(self, **changes: Any) -> Agent:
        """The same agent with some fields changed."""
        return replace(self, **changes)

    async def run(self, prompt: Prompt | None, **call: Any) -> Outcome[Any]:
        """Run it to its end. Never raises for what the model, a tool or a limit does; see `Outcome`.

        Raises SettingsError and InvalidTranscript for what cannot be begun, CancelledError when the caller is
        cancelled (the run is closed then), and LimitExceeded for a limit of mode `raise`.
        """
        live = self._begin(prompt, call)
        await fly(live, prompt)
        return outcome_of(live)

    async def run_or_raise(self, prompt: Prompt | None, **call: Any) -> Outcome[Any]:
        """Like `run`. Raises RunFailed for an outcome that is not completed."""
        return (await self.run(prompt, **call)).or_raise()

    def start(self, prompt: Prompt | None, **call: Any) -> Handle[Any]:
        """Begin a run as a task of the running event loop. Raises as `run` for what cannot be begun."""
        live = self._begin(prompt, {**call, "emitter": Emitter(call.get("emitter"))})

        async def work(known: Callable[[Live], object]) -> Live:
            known(live)
            return await fly(live, prompt)

        return Handle(work, live.emitter)

    async def perform(self, live: Live, prompt: Prompt | None) -> Live:
        """Perform a run that was begun, for whoever delegates to it. Raises as `run`."""
        return await fly(live, prompt)

    def stream(self, prompt: Prompt | None, **call: Any) -> Stream[Any]:
        """Begin a run and read what it tells as it happens."""
        return Stream(self.start(prompt, **call))

    def run_sync(self, prompt: Prompt | None, **call: Any) -> Outcome[Any]:
        """`run` for programs without an event loop; where one is running, the run has a thread and a loop of its own.

        Ctrl-C ends the run as cancelled and goes on as KeyboardInterrupt. Inside a running loop it takes a second one:
        the first is the loop's, which cannot see it before this returns.
        """
        return blocking(lambda: self.and_close(self.run(prompt, **call)))

    async def close(self) -> None:
        """Let go of the connections of the running event loop: of its model, and of those it hands or asks on to."""
        for port in {id(port): port for port in (self.port, *_ports(self))}.values():
            await port.close()
        if self.compaction is not None:
            await self.compaction.close()

    async def and_close(self, work: Awaitable[Result]) -> Result:
        """What `work` comes to; after it, `close`. What fails in that is logged: it is no part of the work."""
        try:
            return await work
        finally:
            try:
                await self.close()
            except SettingsError:
                pass  # there is no model to let go of: the work has said so
            except Exception:
                log.warning("connections to the model of %s could not be closed", self.name, exc_info=True)

    def _begin(self, prompt: Prompt | None, call: dict[str, Any]) -> Live:
        return begin(self, self.port, prompt, call_of(call))


def _ports(agent: Agent) -> Iterator[ModelPort]:
    """The models of an agent's hand-offs and delegates, and of theirs, as far as they were asked."""
    known: set[int] = set()
    waiting: list[Any] = [agent]
    while waiting:
        one = waiting.pop()
        if id(one) in known:
            continue
        known.add(id(one))
        if isinstance(one, Agent):
            waiting += (*members(one).values(), *(Delegate.of(other).worker for other in one.delegates))
        if "port" in vars(one):
            yield one.port


def blocking(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """What a coroutine returns, for code that cannot await: on a new event loop, in a thread if this one has a loop."""
    with scope.lending():
        if running_loop() is None:
            return asyncio.run(work())
        thread = LoopThread()
        try:
            return thread.call(work)
        finally:
            thread.close()
