from __future__ import annotations

import threading
from typing import Any

import pytest

from tachograph.agent.agent import Agent
from tachograph.agent.hooks import Hooks
from tachograph.agent.resume import fork as forks
from tachograph.agent.resume import recording as recordings
from tachograph.agent.resume.fork import REFUSED, fork
from tachograph.agent.resume.recording import Recording
from tachograph.agent.tools.tool import Tool
from tachograph.events.call import CallStarted
from tachograph.events.run import RunStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.store.ports import Reading
from tests.agent.resume.recorded import recording
from tests.agent.running import agent

pytestmark = pytest.mark.anyio
done: list[str] = []


async def look(key: str) -> str:
    """Look something up."""
    done.append(f"look {key}")
    return f"{key} is here, {len(done)}"


async def pay(amount: int) -> str:
    """Pay."""
    done.append(f"pay {amount}")
    return f"paid {amount}"


TOOLS = [Tool.of(look, classification="read"), Tool.of(pay, classification="write")]
SCRIPT = [Call("look", {"key": "a"}), Call("pay", {"amount": 5}), "paid"]


async def original() -> Recording:
    """A run that looked something up and paid."""
    done.clear()
    outcome = await agent(SCRIPT, tools=TOOLS, instructions="Be exact.").run("go")
    return recording(outcome.execution_id or "")


def ended(whole: Recording, count: int) -> int:
    """Seq of the end of the run's so-and-so-many-th tool call."""
    return [event.seq for event in whole.events if isinstance(event.body, ToolEnded)][count - 1]


async def test_a_fork_goes_on_from_the_middle_with_another_model_and_repeats_nothing() -> None:
    """The conversation up to there is sent as it was; what tools returned then is returned again."""
    whole = await original()
    model = ScriptedModel([Call("pay", {"amount": 5}), "paid once"])
    found = await fork(agent(model, tools=TOOLS), whole.execution_id, ended(whole, 1))
    assert done == ["look a", "pay 5"]
    assert (found.answer, found.messages[-2].text) == ("paid once", "paid 5")
    assert [message.text for message in model.requests[0].messages] == ["Be exact.", "go", "", "a is here, 1"]
    assert found.run_id != whole.run
    started = recording(found.execution_id or "").events[0].body
    assert isinstance(started, RunStarted)
    assert started.parent_run is None
    assert f'"seq":{ended(whole, 1)}' in (started.metadata.text or "" if started.metadata else "")


async def test_effects_are_never_repeated_silently() -> None:
    """A call with effects that was not recorded is refused, and the model reads why; one that only reads is made."""
    whole = await original()
    script = [Call("pay", {"amount": 6}), Call("look", {"key": "b"}), "done"]
    found = await fork(agent(script, tools=TOOLS), whole.execution_id, ended(whole, 1))
    assert done == ["look a", "pay 5", "look b"]
    assert [message.text for message in found.messages if message.role == "tool"] == [
        "a is here, 1", REFUSED, "b is here, 3",
    ]  # fmt: skip


async def test_a_recorded_result_is_given_once() -> None:
    """The same call again is another call: nothing was recorded for it."""
    whole = await original()
    script = [Call("pay", {"amount": 5}), Call("pay", {"amount": 5}), "done"]
    found = await fork(agent(script, tools=TOOLS), whole.execution_id, ended(whole, 1))
    results = [message.text for message in found.messages if message.role == "tool"]
    assert results[1] == "paid 5"
    assert results[2].startswith(REFUSED)


async def test_effects_run_when_the_program_says_so() -> None:
    """`effects="run"` makes every call."""
    whole = await original()
    await fork(
        agent([Call("pay", {"amount": 5}), "ok"], tools=TOOLS), whole.execution_id, ended(whole, 1), effects="run"
    )
    assert done == ["look a", "pay 5", "pay 5"]


async def test_other_words_and_a_new_prompt() -> None:
    """Instructions are replaced, and what is said next stands behind the conversation."""
    whole = await original()
    model = ScriptedModel(["hello again"])
    found = await fork(
        agent(model, tools=TOOLS), whole.execution_id, prompt="And now?", instructions="Be kind.", session="two"
    )
    texts = [message.text for message in model.requests[0].messages]
    assert (texts[0], texts[-1], len(texts)) == ("Be kind.", "And now?", 8)
    assert (found.answer, found.session) == ("hello again", "two")


async def test_a_fork_between_a_call_and_its_result_answers_from_the_record() -> None:
    """Open calls are made first: here with what came of them then; with a prompt they are closed as interrupted."""
    whole = await original()
    before = ended(whole, 2) - 1
    model = ScriptedModel(["ok"])
    await fork(agent(model, tools=TOOLS), whole.execution_id, before)
    assert [message.text for message in model.requests[0].messages][-2:] == ["", "paid 5"]
    asked = ScriptedModel(["ok"])
    await fork(agent(asked, tools=TOOLS), whole.execution_id, before, prompt="Stop.")
    texts = [message.text for message in asked.requests[0].messages]
    assert texts[-2].startswith("interrupted")
    assert texts[-1] == "Stop."
    assert done == ["look a", "pay 5"]


async def test_a_fork_in_the_middle_of_a_reply_knows_the_calls_that_had_ended() -> None:
    """They are made again with the others, and get what came of them."""
    done.clear()
    tools = [Tool.of(pay, classification="write", sequential=True)]
    both = Say(calls=(Call("pay", {"amount": 5}), Call("pay", {"amount": 6})))
    outcome = await agent([both, "paid"], tools=tools).run("go")
    whole = recording(outcome.execution_id or "")
    found = await fork(agent(["ok"], tools=tools), whole.execution_id, ended(whole, 1))
    assert [message.text for message in found.messages if message.role == "tool"] == ["paid 5", "paid 6"]
    assert done == ["pay 5", "pay 6"]


async def test_a_hand_off_is_made_and_not_merely_said() -> None:
    """What its tool returned then would leave the old agent at work."""

    def desk(*script: Any) -> Agent:
        return Agent(
            name="first", model=ScriptedModel(list(script)), handoffs=[agent(["second speaks"], name="second")]
        )

    outcome = await desk(Call("handoff_to_second")).run("go")
    whole = recording(outcome.execution_id or "")
    at = next(event.seq for event in whole.events if isinstance(event.body, ToolStarted)) - 1
    found = await fork(desk(), whole.execution_id, at)
    assert (found.agent, found.answer) == ("second", "second speaks")


async def test_a_delegate_that_could_have_effects_is_not_asked_anew() -> None:
    """The same message is answered from the record; another one is refused like any call with effects."""

    def lead(*script: Any) -> Agent:
        worker = agent([Call("pay", {"amount": 5}), "paid"], name="worker", tools=TOOLS)
        return agent(list(script), name="lead", delegates=[worker])

    done.clear()
    outcome = await lead(Call("ask_worker", {"message": "pay"}), "done").run("go")
    whole = recording(outcome.execution_id or "")
    at = next(event.seq for event in whole.events if isinstance(event.body, CallStarted)) - 1
    script = [Call("ask_worker", {"message": "pay"}), Call("ask_worker", {"message": "pay now"}), "done"]
    found = await fork(lead(*script), whole.execution_id, at)
    assert [message.text for message in found.messages if message.role == "tool"] == ["paid", REFUSED]
    assert done == ["pay 5"]


async def test_the_event_loop_goes_on_while_the_log_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading waits for the store, and is done in a thread."""
    whole = await original()
    threads = list[int]()

    def read(execution_id: str, store: Reading) -> Recording:
        threads.append(threading.get_ident())
        return recordings.recording(execution_id, store)

    monkeypatch.setattr(forks, "recording", read)
    await fork(agent(["ok"], tools=TOOLS), whole.execution_id, prompt="And now?")
    assert threads != [threading.get_ident()]


async def test_hooks_of_the_call_are_asked_too() -> None:
    """What a fork gives from the record passes the program's own hooks."""
    whole = await original()
    seen: list[str | None] = []
    hooks = Hooks()
    hooks.on("post_tool_use", lambda moment: seen.append(moment.result))
    await fork(agent([Call("pay", {"amount": 5}), "ok"], tools=TOOLS), whole.execution_id, ended(whole, 1), hooks=hooks)
    assert seen == ["paid 5"]
