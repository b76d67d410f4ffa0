from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tachograph.agent.guardrails.faq import faq
from tachograph.agent.runner.otel import Trace
from tachograph.agent.runner.runner import Runner
from tachograph.events.run import StepStarted
from tachograph.providers.scripted import Call
from tachograph.testing import Captured
from tests.agent.runner.test_otel import Exported
from tests.agent.runner.test_runner import desk

pytestmark = pytest.mark.anyio

ASKED = [{"role": "user", "content": "Qual o valor do pernoite?"}]
PRICE = "O pernoite na suíte Stilo custa R$ 150."
FOUND = "FAQ guardrail applied due to price response without faq_lookup call."
NOT_FOUND = "Consultei o FAQ e não encontrei essa informação cadastrada ainda."


def entries(answers: dict[str, str], asked: list[str]) -> Any:
    """A search that finds these, and remembers what it was asked."""

    def search(query: str) -> list[dict[str, str]]:
        asked.append(query)
        return [{"answer": answers[query]}] if query in answers else []

    return search


def faq_lookup(query: str) -> str:
    """Look into the FAQ."""
    return "R$ 150"


@pytest.mark.parametrize(
    "said", [PRICE, f'Claro! {{"response": "{PRICE}", "reasoning": "não sei", "reaction_emoji": "🏨"}}'],
)  # fmt: skip
async def test_a_price_that_nobody_looked_up_gives_way_to_the_faq(said: str, events: Captured) -> None:
    """The first entry that the candidates find is the response; what the model wrote beside it stays."""
    asked: list[str] = []
    search = entries({"valor da suíte Stilo": "R$ 180, com café."}, asked)
    reply = await Runner(desk([said], tools=[faq_lookup]), faq=search, locale="pt_BR").generate_response(ASKED)
    assert (reply.response, reply.reasoning, reply.guardrail) == ("R$ 180, com café.", FOUND, FOUND)
    assert asked == [ASKED[0]["content"], PRICE, "valor da suíte Stilo"]
    assert (reply.billable, reply.reaction_emoji) == (True, "🏨" if "emoji" in said else "")


async def test_nothing_found_says_so(events: Captured) -> None:
    """A search that finds nothing, and one that raises, lead to the approved text."""

    def broken(query: str) -> Any:
        raise RuntimeError("no")

    for search in (entries({}, []), broken):
        reply = await Runner(desk(["Não sei."]), faq=search, locale="pt_BR").generate_response(ASKED)
        assert reply.response.startswith(NOT_FOUND)
        assert reply.reasoning == "FAQ guardrail applied; no FAQ entry found for query."


@pytest.mark.parametrize(
    ("script", "rail"),
    [
        ([PRICE], faq(entries({}, []), enabled=False)),
        (["conversation_handoff"], faq(entries({}, []))),
        (["Bom dia!"], faq(entries({}, []))),
        (['{"response": "Bom dia!", "reasoning": "o valor é R$ 5"}'], faq(entries({}, []))),
        ([Call("faq_lookup", {"query": "pernoite"}), PRICE], faq(entries({}, []))),
    ],
)
async def test_every_gate_leaves_the_answer_alone(script: Any, rail: Any, events: Captured) -> None:
    """Feature off, the word for a hand-off, no reason in the response, and a lookup in this turn."""
    reply = await Runner(desk(script, tools=[faq_lookup]), faq=rail).generate_response(ASKED)
    assert (reply.guardrail, reply.kind) == ("", "answer")


async def test_a_lookup_for_an_earlier_message_does_not_count(events: Captured) -> None:
    """What was looked up before the last message is no answer to it."""
    history = [
        {"role": "user", "content": "Aberto?"},
        {"role": "assistant", "tool_calls": [{"id": "1", "name": "faq_lookup", "arguments": {"query": "a"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "Sim."},
        {"role": "assistant", "content": "Sim."},
        *ASKED,
    ]
    reply = await Runner(desk([PRICE]), faq=entries({}, []), locale="pt_BR").generate_response(history)
    assert reply.response.startswith(NOT_FOUND)


async def test_scenarios_are_not_asked(events: Captured) -> None:
    """An answer of a scenario passes, for it has its prices from its instructions."""
    crew = [desk([], "Ana"), desk([PRICE], "Daniela")]
    reply = await Runner(crew, faq=entries({}, []), start_agent="Daniela").generate_response(ASKED)
    assert (reply.response, reply.agent_name) == (PRICE, "daniela")


async def test_a_typed_answer_keeps_its_type(events: Captured) -> None:
    """Of a type with fields the response alone is replaced."""

    class Said(msgspec.Struct):
        response: str
        mood: str

    script = [msgspec.json.encode(Said(PRICE, "kind")).decode()]
    runner = Runner(desk(script, output=Said), faq=entries({ASKED[0]["content"]: "R$ 180"}, []))
    reply = await runner.generate_response(ASKED)
    assert reply.fields == {"response": "R$ 180", "mood": "kind", "reasoning": FOUND}


async def test_it_is_recorded_and_traced(events: Captured) -> None:
    """Before, after and reason stand in the record; the trace has the event, and no content."""
    exported = Exported()
    runner = Runner(desk([PRICE]), faq=entries({}, []), trace=Trace(tracer=exported.tracer))
    await runner.generate_response(ASKED)
    (step,) = [event.body for event in events.of(StepStarted) if event.body.kind == "guardrail"]
    assert step.input.value() == PRICE
    (mark,) = [event for event in exported.spans["llm.captain_v2"].events if event.name.endswith("guardrail")]
    assert dict(mark.attributes or {}) == {"guardrail.name": "faq"}


async def test_what_is_remembered_is_told_to_the_orchestrator(events: Captured) -> None:
    """The last message is what is recalled for; the agent itself stays as it is; failing changes nothing."""
    asked: list[str] = []

    def recall(query: str) -> list[str]:
        asked.append(query)
        return ["Bia likes suites"]

    def broken(query: str) -> list[str]:
        raise RuntimeError("no")

    for memory, told in ((recall, True), (broken, False)):
        ana = desk(["Oi"], instructions="Be Ana.")
        reply = await Runner(ana, memory=memory).generate_response(ASKED)
        (request,) = ana.model.requests
        assert (reply.response, ana.memory) == ("Oi", None)
        assert ("Bia likes suites" in request.messages[0].text, request.messages[0].text[:7]) == (told, "Be Ana.")
    assert asked == [ASKED[0]["content"]]
