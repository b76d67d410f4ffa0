"""One iteration's request: attempts through the door, the scheduler and the model, until one of them brings a reply.

Each attempt is a step of its own: admitted, recorded before it leaves, ended once. The permit of the scheduler is held
while the request is on its way, never while we wait to try again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import aclosing
from typing import Any

from msgspec import structs

from tachograph.agent.answer.output import schema_of
from tachograph.agent.live import Live
from tachograph.agent.pace.leaving import hold
from tachograph.agent.pace.schedule import Permit
from tachograph.agent.progress import RetryExhausted, Retrying, StreamReset
from tachograph.agent.reminders import wrap
from tachograph.agent.state import State
from tachograph.agent.tools.tool import Tool
from tachograph.errors import LimitExceeded, ModelError
from tachograph.events.chat import Message, ToolUse, user
from tachograph.limits.estimate import MOST_OUTPUT, output_within
from tachograph.providers import told
from tachograph.providers.asking import pieces
from tachograph.providers.config import patience
from tachograph.providers.port import Delta, Reply, Request, TextDelta, ToolDelta, ToolSpec
from tachograph.record.intent import LLMCall
from tachograph.record.step import CallStep, step

MOST_CALLS = 5000
"""Tool calls of one reply, beyond which it is not taken."""
MOST_CHARS = 16_000_000
"""Characters of one streamed reply, beyond which it is broken off."""


async def ask(live: Live, state: State, *, tools: bool) -> Reply:
    """A reply to the conversation as it stands. Raises LimitExceeded, ModelError."""
    request = _request(live, state, tools=tools)
    reminders = tuple(user(wrap(text)) for text in live.waiting)
    attempt, first = 1, None
    while True:
        tried = _Attempt(live, request, reminders, state.iteration, attempt, first)
        try:
            return await tried.run()
        except ModelError as error:
            first = first or tried.number
            await _again(live, error, attempt, started=tried.started)
        attempt += 1


def _request(live: Live, state: State, *, tools: bool) -> Request:
    spec, config = live.spec, patience(live.port)
    offered = _offered(live) if tools else ()
    return Request(
        messages=state.messages,
        tools=offered,
        tool_choice=_choice(live, state, offered),
        output_schema=schema_of(spec.output),
        max_tokens=spec.max_tokens or MOST_OUTPUT,
        params=spec.params,
        stream=spec.streaming,
        timeout=config.request_timeout,
        first_content=config.first_content,
        silence=config.silence,
    )


def _choice(live: Live, state: State, offered: tuple[ToolSpec, ...]) -> str:
    if not offered:
        return "none" if live.toolbox() else "auto"
    said = live.spec.tool_choice
    if said not in ("auto", "none", "required") and all(said != tool.name for tool in offered):
        return "auto"
    # A tool that must be used is used once: asked for again and again, it would be the only thing a model ever says.
    return said if said in ("auto", "none") or state.iteration - state.since <= 1 else "auto"


def _offered(live: Live) -> tuple[ToolSpec, ...]:
    return tuple(tool.spec for tool in live.toolbox().values())


async def _again(live: Live, error: ModelError, attempt: int, *, started: bool) -> None:
    """Wait before the next attempt, or raise the error when there is none."""
    retry = live.spec.retrying
    wait = retry.after(error, attempt, random=live.random, left=live.left(), started=started)
    facts = {
        "model": live.port.model, "attempt": attempt, "max_attempts": retry.attempts, "category": error.category,
        "status": error.status, "error": type(error).__name__, "message": str(error), "retry_after": error.retry_after,
    }  # fmt: skip
    if wait is None:
        if attempt > 1:
            live.note("llm_retry_exhausted", facts)
            live.emit(RetryExhausted(attempts=attempt, error=error))
        raise error
    live.note("llm_retry_attempt", {**facts, "delay": wait})
    live.emit(Retrying(attempt=attempt, delay=wait, error=error))
    if started:
        live.note("stream_reset", {"attempt": attempt})
        live.emit(StreamReset(attempt=attempt))
    await live.pause(wait)


class _Attempt:
    """One HTTP request."""

    def __init__(
        self, live: Live, request: Request, reminders: tuple[Message, ...], iteration: int, attempt: int,
        first: int | None,
    ) -> None:  # fmt: skip
        self.live, self.request, self.reminders = live, request, reminders
        self.iteration, self.attempt, self.first = iteration, attempt, first
        self.number: int | None = None
        self.started = False
        """Whether anything of the reply was passed on."""
        self._received = 0
        """Characters of the reply so far."""
        self._bound: float | None = None
        """Seconds that a limit on calls leaves it."""
        self._lane = f"{live.port.provider}:{live.port.model}"

    async def run(self) -> Reply:
        """Wait for leave, and send it. Raises LimitExceeded, ModelError."""
        await hold()
        live, admitted = self.live, False
        expected = (live.last_usage.total or 0) + (self.request.max_tokens or 0)
        try:
            async with live.spec.scheduler.permit(self._lane, live.share, expected, live.left()) as permit:
                admitted = True
                return await self._send(permit)
        except TimeoutError:
            if not admitted:
                live.expire()
            raise

    async def _send(self, permit: Permit) -> Reply:
        live = self.live
        pending = step(self._call(self.request))
        request = structs.replace(
            self.request,
            messages=(*self.request.messages, *self.reminders),
            max_tokens=output_within(self.request.max_tokens, pending.room()),
            timeout=self._seconds(),
        )
        with step(self._call(request)) as call:
            self.number = live.asked_by = call.number
            if self.attempt == 1:  # what a refused request would have said goes on waiting
                del live.waiting[: len(self.reminders)]
            live.heed(call.notices)
            try:
                reply = await self._drain(request, call)
            except ModelError as error:
                self._settle(permit, told.failed(call, error), error.exchanges)
                if isinstance(error.partial, Reply):
                    call.reply = _named(error.partial, self.iteration, live.offered()).message
                self._limited(error)
                raise
            except BaseException:  # called off, or a fault of an adapter: an attempt all the same
                self._settle(permit, None, ())
                raise
            told.replied(call, reply)
            call.reply = reply.message
            if call.finish_reason != reply.finish:
                call.metadata = {**(call.metadata or {}), "finish": reply.finish}
            self._settle(permit, reply, reply.exchanges)
        return reply

    def _seconds(self) -> float:
        """How long it may take: as the model is configured, as a limit on calls says, as the run has left."""
        self._bound = self.live.record.call_seconds()
        seconds = self.request.timeout if self._bound is None else min(self.request.timeout, self._bound)
        return self.live.within(seconds) or 0.001

    def _limited(self, error: ModelError) -> None:
        """A request that took all that a limit on calls leaves it ends the run by that limit. Raises LimitExceeded."""
        bound = self._bound
        if error.category != "timeout" or bound is None or bound > self.request.timeout or self.live.left() == 0.0:
            return
        mode = self.live.limits.modes.get("call_seconds", "stop")
        raise LimitExceeded("deadline", bound, 0, bound, scope="call", mode=mode) from error

    async def _drain(self, request: Request, call: CallStep) -> Reply:
        async with aclosing(pieces(self.live.port, request)) as stream:
            async for piece in stream:
                if isinstance(piece, Reply):
                    self._bounded(piece)
                    return _named(piece, self.iteration, self.live.offered())
                call.add(piece.text if isinstance(piece, TextDelta) else None)
                self._measured(piece)
                self.started = True
                self.live.emit(piece)
        raise AssertionError("the last piece is a reply")

    def _measured(self, piece: Delta) -> None:
        """A stream without end is kept up to a bound, whatever time it has."""
        self._received += len(piece.arguments if isinstance(piece, ToolDelta) else piece.text)
        if self._received > MOST_CHARS:
            port = self.live.port
            raise ModelError(
                "bug", f"more than {MOST_CHARS} characters in one reply", provider=port.provider, model=port.model,
                in_stream=True,
            )  # fmt: skip

    def _bounded(self, reply: Reply) -> None:
        """A flood of calls is no reply: to record and refuse each would take longer than any deadline allows."""
        asked = len(reply.message.tool_calls)
        if asked > MOST_CALLS:
            port = self.live.port
            problem = f"one reply asks for {asked} tool calls, and {MOST_CALLS} at most are taken"
            partial = structs.replace(reply, message=structs.replace(reply.message, tool_calls=()))
            raise ModelError(
                "bug", problem, provider=port.provider, model=port.model, partial=partial,
                exchanges=reply.exchanges,
            )  # fmt: skip

    def _settle(self, permit: Permit, reply: Reply | None, exchanges: Iterable[object]) -> None:
        self.live.settle(permit, self._lane, reply, exchanges, self.request.params.tier)

    def _call(self, request: Request) -> LLMCall:
        live = self.live
        if live.told_tools[0] != request.tools:
            live.told_tools = request.tools, _as_recorded(request.tools)
        return LLMCall(
            live.port.model, self.request.messages, live.port.provider, tools=live.told_tools[1],
            params=told.params_of(live.port, request), streaming=request.stream, attempt=self.attempt,
            retry_of=self.first, iteration=self.iteration, tier=request.params.tier, agent_type=live.spec.name,
            max_output=request.max_tokens, reminders=self.reminders,
        )  # fmt: skip


def _as_recorded(tools: tuple[ToolSpec, ...]) -> list[dict[str, Any]] | None:
    """Tools in the form of OpenAI chat completions, like the messages."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        }
        for tool in tools
    ] or None


def _named(reply: Reply, iteration: int, tools: Mapping[str, Tool]) -> Reply:
    """The reply with an id of its own for every call, and with what each tool's record leaves out.

    Some models give no ids, or the same one twice.
    """
    calls, taken = list[ToolUse](), set[str]()
    for place, call in enumerate(reply.message.tool_calls):
        name, again = call.id or f"call_{iteration}_{place}", 0
        while name in taken:
            name, again = f"call_{iteration}_{place}" + "_" * again, again + 1
        taken.add(name)
        tool = tools.get(call.name)
        calls.append(structs.replace(call, id=name, hidden=tool.redact if tool else ()))
    if tuple(calls) == reply.message.tool_calls:
        return reply
    message = structs.replace(reply.message, tool_calls=tuple(calls))
    return structs.replace(reply, message=message)
