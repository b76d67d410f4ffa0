"""Compactions for tests: a conversation, a model that summarises, and what must hold afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tachograph.agent.agent import Agent
from tachograph.agent.call import Call as Asked
from tachograph.agent.call import begin
from tachograph.agent.compact.exchanges import SUMMARY
from tachograph.agent.compact.figures import Metrics
from tachograph.agent.compact.policy import Compaction
from tachograph.agent.compacting.perform import compact, load_of
from tachograph.agent.live import Live
from tachograph.agent.state import State
from tachograph.agent.transcript import check
from tachograph.errors import ModelError
from tachograph.events.chat import Message
from tachograph.providers.port import Request
from tachograph.providers.scripted import Answer, ScriptedModel
from tachograph.record.clock import SYSTEM
from tachograph.testing import Captured, capture
from tests.agent.running import QUICK

Summary = Answer | Callable[[], Answer]
FULL = ModelError("context_overflow", "too long", status=400, safe=True)


def asks_for_a_summary(request: Request) -> bool:
    """Whether it is the request of a compaction."""
    return "Write the summary" in request.messages[0].text.replace("\n", " ")


def answering(*answers: Answer, summary: Summary = "All that was.") -> Callable[[Request], Answer]:
    """A script: summaries where they are asked for, else one answer after the other."""
    left = iter(answers)
    return lambda request: (summary() if callable(summary) else summary) if asks_for_a_summary(request) else next(left)


def model_of(*answers: Answer, summary: Summary = "All that was.", window: int | None = None) -> ScriptedModel:
    """A model with such a script."""
    return ScriptedModel(answering(*answers, summary=summary), context_window=window)


def made_smaller(
    messages: Sequence[Message],
    policy: Compaction,
    target: int,
    *,
    summary: Summary = "All that was.",
    times: int = 1,
    limits: str = "99 turns",
) -> tuple[State, Live, list[Metrics], Captured]:
    """The state before, the run after so many compactions to the same target, what they came to, and the events."""

    async def whole() -> tuple[State, Live, list[Metrics]]:
        agent = Agent(
            name="calc",
            model=model_of(summary=summary),
            instructions="Be brief.",
            compaction=policy,
            limits=limits,
            retry=QUICK,
        )
        live = begin(agent, agent.port, None, Asked(history=messages))
        first = live.state
        with live.record:
            return first, live, [await compact(live, policy, load_of(live), target, "asked") for _ in range(times)]

    with capture(clock=SYSTEM) as events:
        first, live, found = asyncio.run(whole())
    return first, live, found, events


def holds(before: Sequence[Message], after: Sequence[Message], policy: Compaction) -> None:
    """What must hold of every conversation that was made smaller: it is valid, and nothing is lost that must stay."""
    check(after)
    assert [message.role for message in after].count("system") == 1
    assert after[0] is before[0]
    pinned = [message for message in before if policy.pins(message)]
    assert [message for message in after if any(message is one for one in pinned)] == pinned
    people = [one for one in before if one.role == "user" and one.name in (None, "ana", "pinned")]
    stands = any(one.name == SUMMARY for one in before) or any(one.name == SUMMARY for one in after)
    assert not people or stands or any(one is people[0] for one in after)
    assert not people or not policy.keep_first or stands or after.index(people[0]) == before.index(people[0])
    assert not people or any(one is people[-1] for one in after)


def summaries(events: Captured) -> list[Any]:
    """The requests of compactions, as they were recorded."""
    from tachograph.events.call import CallStarted

    return [event.body for event in events.of(CallStarted) if event.body.purpose == "compaction"]
