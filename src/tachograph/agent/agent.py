"""An agent: a value that can be run.

    agent = Agent(name="desk", model="gpt-5-mini", tools=[find_order], limits="15 turns, $1, 60s")
    outcome = await agent.run("Where is my order?")        # or agent.run_sync(…), async for … in agent.stream(…)

A run always ends in an `Outcome`: completed with an accepted answer, or not, and then why.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import Call, Prompt, begin, outcome_of
from tachograph.agent.handle import Handle, Stream
from tachograph.agent.live import Live
from tachograph.agent.run import fly
from tachograph.agent.spec import Spec
from tachograph.providers.models import model as model_of
from tachograph.providers.port import ModelPort
from tachograph.record import scope

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Agent(Spec):
    """See `Spec` for its fields. The keywords of every way to run it are the fields of `Call`."""

    @cached_property
    def port(self) -> ModelPort:
        """The model. Raises SettingsError, MissingExtra."""
        return model_of(self.model) if isinstance(self.model, str) else self.model

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
        live = self._begin(prompt, call)

        async def work(known: Callable[[Live], object]) -> Live:
            known(live)
            return await fly(live, prompt)

        return Handle(work, live.emitter)

    def stream(self, prompt: Prompt | None, **call: Any) -> Stream[Any]:
        """Begin a run and read what it tells as it happens."""
        return Stream(self.start(prompt, **call))

    def run_sync(self, prompt: Prompt | None, **call: Any) -> Outcome[Any]:
        """`run` for programs without an event loop; where one is running, the run has a thread and a loop of its own.

        Ctrl-C ends the run as cancelled and goes on as KeyboardInterrupt.
        """
        return blocking(lambda: self._run_and_close(prompt, call))

    async def close(self) -> None:
        """Let go of the model's connections of the running event loop."""
        await self.port.close()

    async def _run_and_close(self, prompt: Prompt | None, call: dict[str, Any]) -> Outcome[Any]:
        try:
            return await self.run(prompt, **call)
        finally:
            await self.close()

    def _begin(self, prompt: Prompt | None, call: dict[str, Any]) -> Live:
        return begin(self, self.port, prompt, Call(**call))


def blocking(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """What a coroutine returns, for code that cannot await: on a new event loop, in a thread if this one has a loop."""
    with scope.lending():
        return _blocking(work) if _in_a_loop() else asyncio.run(work())


def _blocking(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    found: list[Result] = []
    problem: list[BaseException] = []
    context = contextvars.copy_context()

    def turn() -> None:
        try:
            found.append(context.run(asyncio.run, work()))
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that asked
            problem.append(error)

    thread = threading.Thread(target=turn, name="tachograph-run", daemon=True)
    thread.start()
    thread.join()
    if problem:
        raise problem[0]
    return found[0]


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
