"""A request that fits: the conversation is made smaller before it when it is due, and after it when it did not fit."""

from __future__ import annotations

from tachograph.agent.compact.measure import Load
from tachograph.agent.compact.policy import Compaction
from tachograph.agent.compacting.perform import compact, load_of
from tachograph.agent.live import Live
from tachograph.agent.progress import StreamReset
from tachograph.agent.turn.request import ask
from tachograph.errors import ModelError
from tachograph.providers.port import Reply

GROWN = 1.1
"""How much a conversation that could not be made small enough must have grown before that is tried again."""
LESS = 0.6
"""What of the tokens may be left, where a request did not fit and nobody knows what would."""


async def replied(live: Live, *, tools: bool) -> Reply:
    """A reply to the conversation, which may be smaller afterwards. Raises LimitExceeded, ModelError as `ask`."""
    policy = live.spec.compaction
    if policy is None:
        return await ask(live, live.state, tools=tools)
    load = await _due(live, policy, load_of(live, tools=tools))
    for attempt in range(1, policy.attempts + 2):
        waiting, asked = [*live.waiting], live.last_usage
        try:
            reply = await ask(live, live.state, tools=tools)
        except ModelError as error:
            if error.category != "context_overflow" or attempt > policy.attempts:
                raise
            if not await _smaller(live, policy, load, attempt):
                raise
            if error.in_stream:
                live.note("stream_reset", {"attempt": attempt})
                live.emit(StreamReset(attempt=attempt))
            live.waiting[:0] = waiting  # said to nobody: they go with the next request
            load = load_of(live, tools=tools)
        else:
            if live.last_usage is not asked:
                live.gauge = live.gauge.heard(live.port.model, load, live.last_usage)
            return reply
    raise AssertionError("the last attempt replies or raises")


async def compacted(live: Live, prompt: object = None, *, policy: Compaction) -> Live:
    """A run that only makes its conversation smaller: to half of what it is, or less where its mark is lower."""
    with live.record as record:
        record.discarded = True  # nobody gets an answer, and nobody is to pay for one
        load = load_of(live)
        marks = policy.marks(live.port.context_window, live.spec.max_tokens)
        half = live.gauge.scale(live.port.model, load).tokens(load.messages) // 2
        await compact(live, policy, load, half if marks is None else min(half, marks.to), "asked")
    return live


async def _due(live: Live, policy: Compaction, load: Load) -> Load:
    """The load, smaller if its mark was passed."""
    marks = policy.marks(live.port.context_window, live.spec.max_tokens)
    gauge, model = live.gauge, live.port.model
    if marks is None or gauge.surely_within(model, load, marks.at):
        return load
    tokens = gauge.scale(model, load).tokens(load.messages)
    if tokens <= marks.at or tokens < gauge.futile * GROWN:
        return load
    await compact(live, policy, load, marks.to, "target")
    return load_of(live, tools=bool(load.tools))


async def _smaller(live: Live, policy: Compaction, load: Load, attempt: int) -> bool:
    """Whether a conversation that did not fit is smaller now, by what was measured."""
    live.gauge = live.gauge.refused(live.port.model, load, live.port.context_window)
    tokens = live.gauge.scale(live.port.model, load).tokens(load.messages)
    marks = policy.marks(live.port.context_window, live.spec.max_tokens)
    target = int(tokens * LESS) if marks is None else min(marks.to, int(tokens * LESS))
    return (await compact(live, policy, load, target, "overflow", attempt)).changed
