"""Whole runs over real clients and real HTTP: what leaves is what the record says, and the beginning never changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tachograph.agent.agent import Agent
from tachograph.agent.reminders import Reminder
from tachograph.agent.team.handoff import Handoff
from tachograph.events.call import CallEnded, CallStarted
from tachograph.providers.port import Exchange
from tachograph.testing import Captured
from tests.agent.running import QUICK, valid
from tests.providers.asking import port
from tests.providers.replay_server import Answer, ReplayServer, events, serving, whole
from tests.providers.wires import WIRES, Wire

pytestmark = pytest.mark.anyio

JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream")]
HISTORY = {"chat": "messages", "responses": "input", "anthropic": "messages", "gemini": "contents"}
"""Wire → the field of a request's body that holds the conversation."""


@pytest.fixture(scope="module")
def server() -> Iterator[ReplayServer]:
    """One provider for all tests here."""
    with serving() as found:
        yield found


async def lookup(q: str = "") -> str:
    """Look something up."""
    return f"found {q}"


def script(wire: Wire) -> list[Answer]:
    """Refused once, then two tools one after the other, then the answer."""
    busy = Answer(whole(wire.error("overloaded", "busy")), status=503, headers=[*JSON, ("x-request-id", "req_1")])
    calls = [
        Answer(events(wire.begin + wire.call(json.dumps({"q": q})) + wire.end_of_calls() + wire.over), headers=SSE)
        for q in "ab"
    ]
    answer = Answer(events(wire.begin + wire.text("It is found.") + wire.end() + wire.over), headers=SSE)
    return [busy, *calls, answer]


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
async def test_a_run_over_a_wire_is_whole_and_its_prefix_is_stable(
    wire: Wire, server: ReplayServer, recorded: Captured
) -> None:
    """Four attempts, three replies, usage added up; each request begins with the conversation of the one before."""
    seen = server.play(f"{wire.name}-run", *script(wire))
    model = port(wire.name, server.url(f"{wire.name}-run"))
    reminder = Reminder("Be brief.", first=True)
    agent = Agent(
        name="http", model=model, instructions="Look it up.", tools=[lookup], retry=QUICK, reminders=(reminder,)
    )
    found = valid(await agent.run("Where?"), recorded)
    await agent.close()
    assert (found.status, found.answer, found.iterations) == ("completed", "It is found.", 3)
    assert (found.usage.input_total, found.usage.output, found.spent.llm_calls) == (33, 15, 4)
    statuses = [event.body.http_status for event in recorded.of(CallEnded)]
    assert statuses == [503, 200, 200, 200]
    assert [event.body.attempt for event in recorded.of(CallStarted)] == [1, 2, 1, 1]
    bodies = [one.body[HISTORY[wire.name]] for one in seen]
    assert "Be brief." in json.dumps(bodies[1])
    assert all("Be brief." not in json.dumps(body) for body in bodies[2:])
    assert json.dumps(bodies[3]).startswith(json.dumps(bodies[2])[:-1])
    assert all(one.body.get("tools") == seen[0].body.get("tools") for one in seen)


async def test_the_wire_is_in_the_record_without_its_secrets(server: ReplayServer, recorded: Captured) -> None:
    """Status, request id, bytes and time of every attempt; no key anywhere."""
    server.play("chat-secret", *script(WIRES["chat"]))
    agent = Agent(name="http", model=port("chat", server.url("chat-secret")), tools=[lookup], retry=QUICK)
    await agent.run("Where?")
    await agent.close()
    first: Any = json.loads(recorded.of(CallEnded)[0].body.metadata.text or "")["http"][0]
    assert (first["status"], first["request_id"], first["method"]) == (503, "req_1", "POST")
    assert first["sent"] > 0
    assert set(first) <= set(Exchange.__struct_fields__)
    assert all("k" * 20 not in str(event.body) for event in recorded)


@pytest.mark.parametrize(
    ("first", "second"),
    [("chat", "anthropic"), ("anthropic", "gemini"), ("gemini", "responses"), ("responses", "chat")],
)
async def test_a_conversation_is_handed_from_one_wire_to_another(
    first: str, second: str, server: ReplayServer, recorded: Captured
) -> None:
    """Each provider gets its own agent's instructions and tools, and the second one what was said to the first."""
    here, there = WIRES[first], WIRES[second]
    over = here.begin + here.call(json.dumps({"reason": "a parcel"})) + here.end_of_calls() + here.over
    asked = server.play(f"{first}-from", Answer(events(over), headers=SSE))
    seen = server.play(f"{second}-to", *script(there)[1:])
    parcels = Agent(
        name="parcels", model=port(second, server.url(f"{second}-to")), instructions="Find parcels.", tools=[lookup]
    )
    desk = Agent(
        name="desk", model=port(first, server.url(f"{first}-from")), instructions="Be the desk.",
        handoffs=[Handoff(parcels, name="lookup")],
    )  # fmt: skip
    found = valid(await desk.run("Where?"), recorded)
    await desk.close()
    assert (found.status, found.answer, found.agent, found.iterations) == ("completed", "It is found.", "parcels", 4)
    assert [event.body.agent_type for event in recorded.of(CallStarted)] == ["desk", *["parcels"] * 3]
    bodies = [json.dumps(one.body) for one in (*asked, *seen)]
    assert ["Be the desk." in body for body in bodies] == [True, False, False, False]
    assert ["Find parcels." in body for body in bodies] == [False, True, True, True]
    assert ["Hand this conversation over" in body for body in bodies] == [True, False, False, False]
    assert ["Handed over to parcels." in body for body in bodies] == [False, True, True, True]
    assert ["Where?" in body for body in bodies] == [True] * 4


@pytest.fixture
def recorded(events: Captured) -> Captured:
    """What the test records; `events` is also a word of the server."""
    return events
