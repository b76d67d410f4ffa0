"""A request beside the conversation: recorded, bounded and paced like any other, and nobody hears it stream."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from tachograph.agent.live import Live
from tachograph.agent.pace.leaving import hold
from tachograph.agent.pace.schedule import Permit
from tachograph.errors import ModelError
from tachograph.limits.estimate import output_within
from tachograph.providers import told
from tachograph.providers.asking import whole
from tachograph.providers.port import ModelPort, Reply, Request
from tachograph.record.intent import LLMCall
from tachograph.record.step import step


async def aside(live: Live, port: ModelPort, request: Request, *, purpose: str, seconds: float) -> Reply:
    """A reply within so many seconds, all attempts together.

    Raises ModelError, LimitExceeded, and TimeoutError when the scheduler does not let it go in time.
    """
    ends = live.clock.mono() + int(seconds * 1e9)
    attempt, first = 1, None
    while True:
        tried = _Attempt(live, port, request, purpose, attempt, first)
        try:
            return await tried.run(_left(live, ends))
        except ModelError as error:
            first = first or tried.number
            wait = live.spec.retrying.after(error, attempt, random=live.random, left=_left(live, ends))
            if wait is None:
                raise
            await live.pause(wait)
        attempt += 1


def _left(live: Live, ends: int) -> float:
    return live.within(max(0.0, (ends - live.clock.mono()) / 1e9)) or 0.0


class _Attempt:
    """One HTTP request."""

    def __init__(
        self, live: Live, port: ModelPort, request: Request, purpose: str, attempt: int, first: int | None
    ) -> None:  # fmt: skip
        self.live, self.port, self.request = live, port, request
        self.purpose, self.attempt, self.first = purpose, attempt, first
        self.number: int | None = None
        self._lane = f"{port.provider}:{port.model}"

    async def run(self, seconds: float) -> Reply:
        """Wait for leave, and send it."""
        await hold()
        live, run_id = self.live, self.live.record.run_id or ""
        until = live.clock.mono() + int(seconds * 1e9)
        async with live.spec.scheduler.permit(self._lane, run_id, self.request.max_tokens or 0, seconds) as permit:
            return await self._send(permit, max(0.001, (until - live.clock.mono()) / 1e9))

    async def _send(self, permit: Permit, seconds: float) -> Reply:
        bound = self.live.record.call_seconds()
        request = structs.replace(
            self.request,
            max_tokens=output_within(self.request.max_tokens, step(self._call(self.request)).room()),
            timeout=seconds if bound is None else max(0.001, min(seconds, bound)),
        )
        with step(self._call(request)) as call:
            self.number = call.number
            self.live.heed(call.notices)
            try:
                reply = await whole(self.port, request)
            except ModelError as error:
                self._settle(permit, told.failed(call, error), error.exchanges)
                raise
            except BaseException:  # called off, or a fault of an adapter: an attempt all the same
                self._settle(permit, None, ())
                raise
            told.replied(call, reply)
            call.reply = reply.message
            self._settle(permit, reply, reply.exchanges)
        return reply

    def _settle(self, permit: Permit, reply: Reply | None, exchanges: Iterable[object]) -> None:
        self.live.settle(permit, self._lane, reply, exchanges, self.request.params.tier, aside=self.port)

    def _call(self, request: Request) -> LLMCall:
        return LLMCall(
            self.port.model, request.messages, self.port.provider, params=told.params_of(self.port, request),
            streaming=request.stream, attempt=self.attempt, retry_of=self.first,
            iteration=self.live.state.iteration or None, tier=request.params.tier, agent_type=self.live.spec.name,
            max_output=request.max_tokens, purpose=self.purpose,
        )  # fmt: skip
