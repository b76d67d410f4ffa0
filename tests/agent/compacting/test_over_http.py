"""Overflows as providers say them, over real clients and real HTTP: what leaves afterwards is smaller, and whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.agent.agent import Agent
from tachograph.agent.compact.policy import Compaction
from tachograph.events.call import CallEnded
from tachograph.testing import Captured
from tests.agent.compact.conversations import turn
from tests.agent.running import QUICK, valid
from tests.providers.asking import port
from tests.providers.exchanges import Exchange, exchanges
from tests.providers.replay_server import Answer, ReplayServer, Seen, serving, whole
from tests.providers.replay_server import events as pieces_of
from tests.providers.wires import WIRES, Wire

pytestmark = pytest.mark.anyio

JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream")]
HISTORY = {"chat": "messages", "responses": "input", "anthropic": "messages", "gemini": "contents"}
TALK = [message for n in range(8) for message in turn(f"question {n}", "word " * 400)]


@pytest.fixture(scope="module")
def server() -> Iterator[ReplayServer]:
    """One provider for all tests here."""
    with serving() as found:
        yield found


async def look() -> str:
    """Look something up."""
    return "found"


def answers(wire: Wire, full: Answer) -> list[Answer]:
    """A refusal, the summary, and the answer."""
    said = events_of(wire.begin + wire.text("There.") + wire.end() + wire.over)
    return [full, Answer(whole(wire.whole("All that was.")), headers=JSON), Answer(said, headers=SSE)]


def events_of(body: bytes) -> list[bytes]:
    """A stream as providers send it."""
    return pieces_of(body)


async def recovered(wire: Wire, server: ReplayServer, recorded: Captured, full: Answer, mount: str) -> list[Seen]:
    """The requests of a run whose first one did not fit."""
    seen = server.play(mount, *answers(wire, full))
    policy = Compaction(summary_tokens=200, steps=("summarise",))
    agent = Agent(
        name="http", model=port(wire.name, server.url(mount)), instructions="Look it up.", tools=[look], retry=QUICK,
        compaction=policy,
    )  # fmt: skip
    found = valid(await agent.run("Where?", history=TALK), recorded)
    await agent.close()
    assert (found.status, found.answer, found.iterations, found.spent.llm_calls) == ("completed", "There.", 1, 3)
    assert [event.body.http_status for event in recorded.of(CallEnded)] == [full.status, 200, 200]
    return seen


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
async def test_a_refused_conversation_goes_out_smaller(wire: Wire, server: ReplayServer, recorded: Captured) -> None:
    """On each wire: the summary is asked for without tools and streams, and stands where the exchanges stood."""
    full = Answer(whole(wire.full), status=400, headers=JSON)
    first, aside, last = await recovered(wire, server, recorded, full, f"{wire.name}-full")
    assert "tools" not in aside.body
    assert "[result of look] word word" in json.dumps(aside.body)
    sizes = [len(json.dumps(one.body)) for one in (first, last)]
    assert sizes[1] < sizes[0] * 0.7
    assert first.body.get("tools") == last.body.get("tools")
    text = json.dumps(last.body[HISTORY[wire.name]])
    assert [word in text for word in ("question 0", "question 1", "All that was.", "question 7", "Where?")] == [
        True, False, True, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["chat", "responses", "anthropic", "gemini"])
async def test_recorded_overflows_are_recovered_from(
    name: str, server: ReplayServer, recorded: Captured, shared_data: Path
) -> None:
    """What providers really say when the context is full."""
    found = _overflow(shared_data / "provider_http", name)
    full = Answer(whole(found.body), status=found.status, headers=JSON)
    seen = await recovered(WIRES[name], server, recorded, full, f"{name}-recorded")
    assert len(seen) == 3


def _overflow(folder: Path, wire: str) -> Exchange:
    found = (one for one in exchanges(folder) if one.wire == wire and one.status == 400)
    return next(one for one in found if "context_length_exceeded" in one.file)


@pytest.fixture
def recorded(events: Captured) -> Captured:
    """What the test records."""
    return events
