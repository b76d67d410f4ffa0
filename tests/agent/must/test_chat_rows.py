"""Source document 0, "agent chat core": rows of its acceptance column that no other test states as a whole.

| row | tests |
|---|---|
| composition | test_over_http.py, and every test on a scripted model: nothing else changes |
| order of an ask | here; halted prompt: test_chat.py::test_a_blocked_prompt_leaves_the_conversation_alone |
| complete | test_chat.py::test_complete_goes_on_without_prompt_and_hooks |
| two-level limits | test_comparisons.py (limit of one), and here: nothing is held while waiting |
| event emitter | test_progress.py |
| first-message reminders | here |
| periodic reminders | test_reminders.py::test_a_periodic_reminder_counts_messages_since_its_tool_was_used |
| ephemeral content | test_request.py::test_reminders_go_with_one_request_and_leave_the_prefix_alone |
| add_message | test_chat.py::test_reminders_in_a_message_go_with_the_next_request_alone |
| message API | test_chat.py::test_messages_can_be_looked_at_and_replaced_but_not_broken |
| model configuration | providers/test_options.py::test_any_configuration_is_sent |
| stateful Responses | not there: the whole conversation is sent each time |
| model registry | here; providers/test_catalogue.py |
| instrumentation of requests | test_over_http.py::test_the_wire_is_in_the_record_without_its_secrets |
| token tracking | here; test_context.py |
| cost | test_comparisons.py::test_what_a_run_cost_is_what_its_calls_cost |
| serialization | test_comparisons.py::test_a_conversation_comes_back_from_its_snapshot |
| streaming | here: text since the last reset is the reply |
| citations | here |
| tool execution | test_act.py::test_bad_calls_come_back_as_words_and_count |
| parallel tools | test_act.py::test_results_stand_in_call_order_whatever_ends_first |
| finish markers | test_comparisons.py::test_finish_agent_works_under_parallel_tools |
| default tools | here: an agent has the tools that it was given |
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from msgspec import structs

from tachograph.agent.chat import Chat
from tachograph.agent.hooks import Hooks
from tachograph.agent.pace.schedule import Scheduler
from tachograph.agent.progress import ModelWarned, Retrying, StreamReset
from tachograph.agent.reminders import Reminder
from tachograph.errors import ModelError
from tachograph.events.call import CallEnded
from tachograph.events.usage import Usage
from tachograph.providers.port import Delta, Reply, Request, TextDelta
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.testing import Captured, capture
from tests.agent.running import agent, names

pytestmark = pytest.mark.anyio


async def test_an_ask_goes_through_its_parts_in_order(events: Captured) -> None:
    """The turn is taken, the context cleared, hooks see the clean prompt, then one request with prompt and reminders.

    A second ask at the same time does none of that before the first is over.
    """
    said: list[Any] = []
    hooks = Hooks()
    for event in ("run_start", "first_message", "user_prompt", "agent_stop", "run_stop"):
        hooks.on(event, lambda moment, event=event: said.append((event, moment.prompt or moment.answer)))

    def answer(request: Request) -> str:
        said.append(("request", [message.text for message in request.messages]))
        return "yes"

    model = ScriptedModel(answer, delay=0.01)
    talk = Chat(
        agent(model, hooks=hooks, reminders=(Reminder("Mind."),)), messages=[{"role": "user", "content": "old"}]
    )
    await asyncio.gather(talk.ask("one <system-reminder>now</system-reminder>", clear_context=True), talk.ask("two"))
    reminded = "<system-reminder>\nMind.\n</system-reminder>"
    first, second = (entry[1] for entry in said if entry[0] == "request")
    assert [entry[0] for entry in said] == [
        "run_start", "first_message", "user_prompt", "request", "agent_stop", "run_stop",
        "run_start", "user_prompt", "request", "agent_stop", "run_stop",
    ]  # fmt: skip
    assert [entry[1] for entry in said if entry[0] == "user_prompt"] == ["one", "two"]
    assert (first[0], second[:3]) == ("one", ["one", "yes", "two"])
    assert "now" in " ".join(first[1:])
    assert reminded in second[-1] or "Mind." in second[-1]
    assert [message.text for message in talk.messages] == ["one", "yes", "two", "yes"]


async def test_no_permit_is_held_while_an_agent_waits(events: Captured) -> None:
    """Neither while tools run, nor while hooks are asked, nor between the attempts of a request."""
    scheduler = Scheduler(concurrency=1)
    seen: list[tuple[str, int]] = []

    async def look() -> str:
        seen.append(("tool", scheduler.active))
        return "looked"

    def asked(request: Request) -> Any:
        seen.append(("request", scheduler.active))
        if len(seen) == 1:
            return ModelError("overloaded", "busy", status=529, safe=True)
        return Call("look") if request.messages[-1].role == "user" else "done"

    hooks = Hooks()
    for event in ("pre_tool_use", "post_tool_use", "agent_step", "agent_stop"):
        hooks.on(event, lambda moment: seen.append((moment.event, scheduler.active)))
    handle = agent(ScriptedModel(asked), tools=[look], hooks=hooks, scheduler=scheduler).start("go")
    handle.emitter.subscribe(Retrying, lambda value: seen.append(("back-off", scheduler.active)))
    assert (await handle).completed
    assert seen == [
        ("request", 1), ("back-off", 0), ("request", 1), ("agent_step", 0), ("pre_tool_use", 0), ("tool", 0),
        ("post_tool_use", 0), ("request", 1), ("agent_stop", 0),
    ]  # fmt: skip


async def test_reminders_of_the_first_message_are_sent_and_not_kept(events: Captured) -> None:
    """The request has them; conversation and snapshot do not, and the second ask has none."""
    model = ScriptedModel(["one", "two"])
    talk = Chat(
        agent(model, reminders=(Reminder("Only these tools.", first=True), Reminder("Plan first.", first=True)))
    )
    await talk.ask("hi")
    await talk.ask("and?")
    texts = ["\n".join(message.text for message in request.messages) for request in model.requests]
    assert ["Only these tools." in text and "Plan first." in text for text in texts] == [True, False]
    assert "system-reminder" not in json.dumps(talk.conversation_snapshot())


async def test_a_model_that_no_catalogue_knows_is_one_warning(events: Captured) -> None:
    """Told and recorded once a run, with what could have been meant; the run goes on."""

    class Misspelt(ScriptedModel):
        @property
        def warning(self) -> Any:
            return {"model": "gpt-5-mni", "suggestions": ["gpt-5-mini"]}

        @warning.setter
        def warning(self, value: Any) -> None:
            """Somebody sets it; it stays."""

    told: list[Any] = []
    handle = agent(Misspelt([Call("same"), "done"])).start("go")
    handle.emitter.subscribe(ModelWarned, told.append)
    assert (await handle).completed
    assert [value.warning["suggestions"] for value in told] == [["gpt-5-mini"]]
    assert names(events) == ["model_lookup_warning"]


async def test_figures_of_three_cached_calls_are_never_negative(events: Captured) -> None:
    """1,000 tokens of input each, 900 of them cached: the input is that of the last request, the cache that of all."""
    usage = Usage(100, 900, 0, 10, basis="provider")
    talk = Chat(agent([Say(calls=(Call("same"),), usage=usage), Say("a", usage=usage), Say("b", usage=usage)]))
    await talk.ask("one")
    await talk.ask("two")
    figures = talk.usage
    assert (figures.cumulative_input_tokens, figures.cumulative_cached_tokens) == (1000, 2700)
    assert (figures.effective_input_tokens, figures.cumulative_output_tokens) == (100, 30)


BREAKS = some.sampled_from(
    [
        lambda text: Say(text, then=ModelError("overloaded", "busy", in_stream=True), chunks=3),
        lambda text: ModelError("rate_limit", "slow down", status=429, safe=True),
    ]
)


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    breaks=some.lists(some.tuples(BREAKS, some.text(min_size=1, max_size=20)), max_size=2),
    text=some.text(alphabet="abc é🙂\n", min_size=1).filter(str.strip),
    chunks=some.integers(1, 9),
)
def test_text_since_the_last_reset_is_the_reply(breaks: Any, text: str, chunks: int) -> None:
    """However often a stream broke before, and wherever."""
    script = [*(make(said) for make, said in breaks), Say(text, chunks=chunks)]

    async def shown() -> tuple[str, Any]:
        since: list[str] = []
        async with agent(script).stream("go") as stream:
            async for value in stream:
                if isinstance(value, StreamReset):
                    since.clear()
                if isinstance(value, TextDelta):
                    since.append(value.text)
            return "".join(since), await stream.outcome()

    with capture():
        streamed, outcome = asyncio.run(shown())
    assert streamed == outcome.answer == text


class Citing(ScriptedModel):
    """Names a source of its own for each reply."""

    async def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
        """As scripted, with a citation."""
        async for piece in super().ask(request):
            await asyncio.sleep(0.001)
            cited = isinstance(piece, Reply)
            yield structs.replace(piece, citations=(f"https://{request.messages[0].text}",)) if cited else piece


async def test_runs_at_once_never_swap_citations(events: Captured) -> None:
    """Each reply's sources stand with the call that brought it."""
    one = agent(Citing(lambda request: Say("see there", chunks=3)))
    outcomes = await asyncio.gather(*(one.run(f"source{number}") for number in range(30)))
    told = {event.run: event.body.metadata for event in events.of(CallEnded)}
    for number, outcome in enumerate(outcomes):
        found = told[outcome.run_id or ""]
        assert json.loads(found.text or "" if found else "") == {"citations": [f"https://source{number}"]}


async def test_an_agent_has_the_tools_that_it_was_given(events: Captured) -> None:
    """No tool comes by default, whatever the agent is."""
    for tools in ([], ["add"]):
        model = ScriptedModel(["done"])
        given_ = [tool for tool in agent([]).tools if tool.__name__ in tools]
        await agent(model, tools=given_).run("go")
        assert [tool.name for tool in model.requests[0].tools] == tools
