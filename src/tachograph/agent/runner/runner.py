"""The runner of a customer conversation: from the history an application keeps to the next reply, inside limits.

    runner = Runner([ana, reservations], assistant=assistant, conversation=conversation, hand_over=to_the_desk)
    reply = await runner.generate_response(message_history)      # or generate_response_sync
    show(reply.response)

It has the order of steps, the figures and the replies of Chatwoot's Captain (`AgentRunnerService`). What is different,
and why, is listed in docs/compatibility.md: limits hold before what they bound, a transfer is promised where somebody
took over, and no error text reaches a customer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from functools import partial
from typing import Any

from tachograph.agent.agent import Agent, blocking
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.pace.bounded import Overdue, in_thread
from tachograph.agent.people.person import Effect, Person
from tachograph.agent.people.texts import Texts, Told
from tachograph.agent.progress import Emitter, Guarded
from tachograph.agent.runner.callbacks import Callbacks, Telling, watch
from tachograph.agent.runner.faq import reasoned
from tachograph.agent.runner.history import History, history_of, slug
from tachograph.agent.runner.led import answered, continued, turn_of, unanswered
from tachograph.agent.runner.otel import Trace, Watch, export
from tachograph.agent.runner.response import Response, failed
from tachograph.agent.runner.result import kept_by_person, processed
from tachograph.agent.runner.state import session_of, state_of
from tachograph.agent.runner.wiring import crew_of, wired
from tachograph.agent.session.session import Session
from tachograph.agent.session.turn import Turn
from tachograph.agent.spec import limits_of
from tachograph.agent.team.starting import starting_agent
from tachograph.errors import LimitExceeded, SessionError, SessionHandedOff, SettingsError, StoreError
from tachograph.limits.limit import Limits
from tachograph.limits.text import parse

LIMITS = parse(
    "15 turns: handoff, 30 runs/session: handoff, 3 same calls, loops: handoff, 45s: handoff, model calls: handoff, "
    "tool calls: handoff, tokens: handoff, cost: handoff"
)
"""15 turns a message, 30 messages a conversation and day, 3 equal calls, 45 s; each leads to a person."""

TRACING = 1.0
"""Seconds that a reply waits for its trace to be taken; then that goes on without it."""

log = logging.getLogger("tachograph.runner")


class Runner:
    """Answers one conversation, or any number of them where nothing of a conversation is given."""

    def __init__(
        self, agents: Agent | Sequence[Agent], session: Session | str | None = None,
        callbacks: Mapping[str, Callable[..., Any] | None] | None = None, limits: Limits | str | None = None,
        locale: str = "en", *, assistant: Any = None, conversation: Any = None, memory: Any = None, faq: Any = None,
        hand_over: Person | Effect | None = None, start_agent: str | None = None,
        active_workflow: Callable[[], object] | None = None, trace: Trace | None = None,
    ) -> None:  # fmt: skip
        """The first agent is the orchestrator, the others are its scenarios. Raises SettingsError.

        `assistant` and `conversation` are records of the application (mappings or objects), read by the attributes that
        state.py lists; together they give the session's id, unless `session` does. Without one nothing is counted
        across messages. A `Session` is led: one reply at a time is made in it, by whatever process. `limits` are stated
        over `LIMITS`, as a text, or instead of them. `memory` and `faq` are the orchestrator's, `hand_over` gives a run
        to a person. `start_agent` names who begins; else that is the agent that spoke last (in a `Session` the one that
        it names) while `active_workflow` says that its work goes on, else the orchestrator. `trace` brings each reply
        to OpenTelemetry.
        """
        self.agents = crew_of(agents)
        self.callbacks = Callbacks(callbacks)
        """`failed` and `late` count calls that went wrong; nothing else tells of them."""
        stated = parse(limits, LIMITS) if isinstance(limits, str) else LIMITS if limits is None else limits
        self.limits = stated.within(limits_of(self.agents[0].limits))
        self.led = session if isinstance(session, Session) else None
        self.session = session.id if isinstance(session, Session) else session or session_of(assistant, conversation)
        self.locale = locale
        self.assistant, self.conversation = assistant, conversation
        self.crew = wired(self.agents, faq=faq, memory=memory, hand_over=hand_over, locale=locale)
        """The agents, wired: the orchestrator hands over to scenarios, remembers, and looks things up."""
        if start_agent is not None and slug(start_agent) not in {slug(one.name) for one in self.crew}:
            raise SettingsError("start_agent", start_agent, f"one of {', '.join(one.name for one in self.crew)}")
        self.start_agent, self.active_workflow = start_agent, active_workflow
        self.trace = trace
        self.untraced = 0
        """Replies whose trace could not be handed to OpenTelemetry, or not in time."""

    async def generate_response(self, message_history: Iterable[Any] = (), *, supersede: bool = False) -> Response:
        """The next reply. Never raises for what a model, a tool, a callback or the history does; see `Response`.

        In a `Session`: `supersede` calls off a reply that is being made to an earlier message; without, it is waited
        for. What stands before the last message is what is gone on from; nothing: what the session knows.

        Raises CancelledError, and LimitExceeded where the application's own limits have the mode `raise`.
        """
        try:
            return await self._responded(message_history, supersede=supersede)
        except LimitExceeded:
            raise
        except Exception as problem:  # whatever it is, the customer is shown none of it
            log.error("no response: %s", type(problem).__name__)  # noqa: TRY400 - what it says may be personal
            log.debug("no response", exc_info=True)
            return failed("internal_error")

    def generate_response_sync(self, message_history: Iterable[Any] = (), *, supersede: bool = False) -> Response:
        """`generate_response` for programs without an event loop, and for code inside one that cannot await."""
        return blocking(lambda: self._and_close(message_history, supersede=supersede))

    async def _and_close(self, message_history: Iterable[Any], *, supersede: bool) -> Response:
        try:
            return await self.generate_response(message_history, supersede=supersede)
        finally:
            for agent in self.crew:
                await agent.and_close(_nothing())

    # ---- the steps, in order ----------------------------------------------------------------------------------------

    async def _responded(self, message_history: Iterable[Any], *, supersede: bool) -> Response:
        items = list(message_history)
        try:
            history = history_of(items)
        except ValueError:
            return failed("invalid_history")
        if history.prompt is None:
            return failed("no_user_message" if items else "empty_history")
        if self.led is None:
            return await self._replied(history)
        try:
            async with turn_of(self.led, history, supersede=supersede) as turn:
                return await self._replied(continued(history, turn), turn)
        except SessionHandedOff:
            return kept_by_person(self._text(("model",), "applied"))
        except (SessionError, StoreError) as problem:
            return unanswered(problem)

    async def _replied(self, history: History, turn: Turn | None = None) -> Response:
        context = self.context_of(history, turn)
        start = self.starting(self.crew, history, None if turn is None else turn.agent)
        emitter, telling = Emitter(), Telling(self.callbacks)
        watch(emitter, telling, history.query, context)
        rulings: list[Any] = []
        emitter.subscribe(Guarded, lambda told: rulings.append(told.ruling))
        found = await self._run(start, history, context, emitter, turn)
        response = found if isinstance(found, Response) else reasoned(self._processed(found, start), rulings)
        await telling.settle()
        return response

    def context_of(self, history: History, turn: Turn | None = None) -> dict[str, Any]:
        """What instructions, tools and callbacks may read of a run; `session_state` they may change."""
        return {
            "session_id": self.session, "current_agent": slug(self.agents[0].name), "locale": self.locale,
            "conversation_history": history.plain(), "state": state_of(self.assistant, self.conversation),
            **({} if turn is None else {"session_state": deepcopy(turn.state)}),
        }  # fmt: skip

    def starting(self, crew: tuple[Agent, ...], history: History, current: str | None = None) -> Agent:
        """Who begins; `current` is who was last at work. Raises SettingsError for a `start_agent` that is not there."""
        names = {slug(agent.name): agent.name for agent in crew}
        last = slug(current or "") or history.last_agent(slug(crew[0].name)) or ""
        explicit = None if self.start_agent is None else names.get(slug(self.start_agent), self.start_agent)
        return starting_agent(crew, explicit, names.get(last), self.active_workflow)

    async def _run(
        self, start: Agent, history: History, context: dict[str, Any], emitter: Emitter, turn: Turn | None
    ) -> Outcome[Any] | Response:  # fmt: skip
        context["current_agent"] = slug(start.name)
        call = {
            "context": context, "emitter": emitter, "limits": self.limits, "metadata": self._facts(context, history),
        }  # fmt: skip
        watch = Watch()
        try:
            with watch.watching() if self.trace is not None else nullcontext():
                if turn is not None:
                    return await answered(turn, start, history, call)
                return await start.run(history.prompt, history=history.messages, session=self.session, **call)
        finally:
            await self._traced(watch)

    async def _traced(self, watch: Watch) -> None:
        """Bring what happened to OpenTelemetry; what fails in that is counted, and not waited for."""
        if self.trace is None:
            return
        work = partial(export, watch.events, self.trace, value=watch.value, priced=watch.priced)
        try:
            done = await in_thread(work, TRACING)
        except (Overdue, RuntimeError):
            self.untraced += 1
            return
        if done.error is not None:
            self.untraced += 1
            log.warning("not traced: %s", type(done.error).__name__)

    def _facts(self, context: Mapping[str, Any], history: History) -> dict[str, Any]:
        """What the record says of the conversation: ids, and nothing of the person."""
        state = context["state"]
        conversation = state.get("conversation") or {}
        ids = {
            "account_id": state["account_id"], "assistant_id": state["assistant_id"],
            "conversation_id": conversation.get("id"), "conversation_display_id": conversation.get("display_id"),
            "left_out": history.left_out or None,
        }  # fmt: skip
        return {name: value for name, value in ids.items() if value is not None}

    def _processed(self, outcome: Outcome[Any], start: Agent) -> Response:
        """What the application gets."""
        return processed(outcome, slug(outcome.agent or start.name), self._alone)

    def _alone(self, metric: str) -> str:
        """What is told of a limit where there is nobody to take over."""
        return self._text((metric, "limit"), "failed")

    def _text(self, causes: tuple[str, ...], state: Told) -> str:
        person = self.crew[0].person
        texts = Texts() if person is None else person.texts
        return texts.text(self.locale, causes, state) or ""


async def _nothing() -> None:
    """There is nothing left to do before a model's connections are let go of."""
