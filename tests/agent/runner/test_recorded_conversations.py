"""The recorded customer conversations of tau-bench, had again: the same calls, the same answers."""

from __future__ import annotations

import gzip
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tachograph import Agent
from tachograph.agent.people.person import HandOver
from tachograph.agent.runner.response import Response
from tachograph.agent.runner.runner import LIMITS, Runner
from tachograph.agent.tools.tool import Tool, ToolContext
from tachograph.events.limit import LimitHit
from tachograph.limits.text import parse
from tachograph.providers.port import Delta, Reply, Request
from tachograph.providers.replay import ReplayModel
from tachograph.testing import Captured
from tests.wire.recordings import runs

pytestmark = pytest.mark.anyio

TRANSFER = "transfer_to_human_agents"
OBSERVING = parse("no repeats: warn, no repeats: block, no repeats: skip, loops: observe", LIMITS)
"""The limits of a runner, its loop limits on observe: what repeats is recorded, and nothing else happens."""

EXCEPTIONS = {"tau-airline-gpt4o-t02-r1": "turn 3: the same 15 calls, then max_iterations"}
"""Conversations that are not had to their end: this one's agent took 26 turns for one message, and a runner gives it to
a person after 15."""


class Untooled(ReplayModel):
    """A strict replay, but for the tools that were offered: the benchmark did not keep them."""

    def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
        """The next recorded answer, if what is sent is what was sent."""
        return super().ask(structs.replace(request, tools=()))


class Recording:
    """One conversation: what was said, in order."""

    def __init__(self, folder: Path, line: int, row: dict[str, Any]) -> None:
        self.name = row["id"]
        system, *self.said = row["record"]["traj"]
        self.instructions: str = system["content"]
        (self.run,) = runs(folder / "gpt-4o-airline.jsonl.gz", line)
        self.results = deque(message for message in self.said if message["role"] == "tool")

    @property
    def turns(self) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
        """For each message of the customer that was answered: the history that ends in it, and what came of it."""
        places = [place for place, message in enumerate(self.said) if message["role"] == "user"]
        for place, then in zip(places, [*places[1:], len(self.said)], strict=True):
            came = self.said[place + 1 : then]
            if came:
                yield self.said[: place + 1], came

    def tools(self) -> list[Tool]:
        """The tools, each of which returns what it returned."""
        names = {message["name"] for message in self.results}
        names |= {call["function"]["name"] for message in self.said for call in message.get("tool_calls") or ()}
        anything = {"type": "object", "properties": {}, "additionalProperties": True}
        tools = [
            Tool.of({"name": name, "parameters": anything, "function": self._result}) for name in names - {TRANSFER}
        ]
        return [*tools, Tool.of(self._transfer, name=TRANSFER)]

    def _result(self, **_: Any) -> str:
        return str(self.results.popleft()["content"])

    def _transfer(self, summary: str, context: ToolContext) -> str:
        """The tool with which this agent asked for a person."""
        context.to_person(summary)
        return self._result()


def _recordings(shared_data: Path) -> list[Recording]:
    folder = shared_data / "trajectories" / "tau_bench"
    lines = gzip.decompress((folder / "gpt-4o-airline.jsonl.gz").read_bytes()).splitlines()
    return [Recording(folder, line, json.loads(text)) for line, text in enumerate(lines)]


async def _difference(recording: Recording) -> str:
    """Where having a conversation again leaves the recording; empty when it does not."""
    model, taken = Untooled(recording.run.events), list[HandOver]()
    agent = Agent(name="airline", model=model, instructions=recording.instructions, tools=recording.tools())
    runner = Runner(agent, recording.name, limits=OBSERVING, hand_over=taken.append)
    for number, (history, came) in enumerate(recording.turns):
        reply = await runner.generate_response(history)
        problem = _unlike(reply, came)
        if problem:
            return f"turn {number}: {problem}"
    model.done()
    return ""


def _unlike(reply: Response, came: list[dict[str, Any]]) -> str:
    """What is not as it was: the tool calls with their arguments, their results, the answer."""
    outcome = reply.outcome
    assert outcome is not None
    said = [message.plain() for message in outcome.messages]
    last = max(place for place, message in enumerate(said) if message["role"] == "user")
    new, wanted = said[last + 1 :], [_plain(message) for message in came]
    calls = sum(message["role"] == "tool" for message in new)
    if new[: 2 * calls] != wanted[: 2 * calls]:
        return f"other messages: {outcome.detail}"
    if reply.category:
        return f"the same {calls} calls, then {reply.category}"
    transferred = came[-1]["role"] == "tool"
    answer = "Transferring you to a person." if transferred else came[-1]["content"]
    as_it_was = (new, reply.response, reply.handed_over) == (wanted, answer, transferred)
    return "" if as_it_was else "another answer"


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if value is not None or name == "content"}


async def test_recorded_conversations_are_had_again(shared_data: Path, events: Captured) -> None:
    """A hundred conversations: the same tool calls, results and answers, but for the exceptions that are listed."""
    recordings = _recordings(shared_data)
    differences = {recording.name: await _difference(recording) for recording in recordings}
    assert len(recordings) == 100
    assert {name: difference for name, difference in differences.items() if difference} == EXCEPTIONS
    hits = [hit.body for hit in events.of(LimitHit)]
    assert {hit.metric for hit in hits if hit.mode != "observe"} == {"max_iterations"}
    assert len(hits) > 1
