"""Resume, where it meets the other parts: guardrails, prompts, cut results, sessions, people, compaction."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tachograph import compose
from tachograph.agent.agent import Agent
from tachograph.agent.guardrails.guardrail import Block, Guardrail
from tachograph.agent.guardrails.rule import Rule
from tachograph.agent.people.ask import hand_to_person
from tachograph.agent.people.person import HandOver, Person
from tachograph.agent.resume.resume import resume
from tachograph.agent.session.session import Session
from tachograph.agent.tools.approval import Pause
from tachograph.agent.tools.tool import Tool
from tachograph.agent.transcript import check
from tachograph.errors import NotResumable
from tachograph.providers.scripted import Call, ScriptedModel
from tests.agent.resume.test_resume import allow, scripted
from tests.agent.running import add, agent, same

pytestmark = pytest.mark.anyio


async def test_a_prompt_that_was_blocked_is_looked_at_again() -> None:
    """Without the guardrail it is what the model is asked; with it, it is blocked again; and another may be said."""
    guard = Guardrail(name="i", on="input", rules=(Rule("go", ("go",)),), does=Block("no"))
    model = ScriptedModel(["hi"], strict=False)
    one = agent(model, guardrails=(guard,), instructions="Be kind.")
    first = await one.run("go")
    assert (first.stop_reason, model.requests) == ("guardrail_block", [])
    again = await resume(first.execution_id or "", one)
    assert (again.stop_reason, model.requests) == ("guardrail_block", [])
    done = await resume(first.execution_id or "", one.but(guardrails=()))
    assert (done.answer, [message.text for message in done.messages]) == ("hi", ["go", "hi"])


async def test_a_run_that_was_refused_as_a_whole_is_begun_anew() -> None:
    """Its log says nothing of a conversation, so no model is asked about an empty one."""
    model = ScriptedModel(["hi", "never"])
    one = agent(model, limits="1 runs/session")
    await one.run("go", session="s")
    refused = await one.run("go", session="s")
    assert refused.status == "failed"
    if refused.execution_id is not None:
        with pytest.raises(NotResumable, match="conversation"):
            await resume(refused.execution_id, one)
    assert len(model.requests) == 1


async def test_a_result_that_was_cut_can_be_read_on_after_a_resume() -> None:
    """Under the handle that the model was told."""

    async def giant() -> str:
        return "g" * 3_000 + "the end"

    model = scripted(Call("giant"), Call("expand", {"handle": "result_1", "start": 2_990}), "read")
    one = agent(model, tools=[Tool.of(giant, classification="read", most_chars=500)], limits="1 turns")
    first = await one.run("go")
    assert first.stop_reason == "max_iterations"
    done = await resume(first.execution_id or "", one, limits="9 turns")
    assert "the end" in done.messages[4].text


async def test_nothing_can_be_said_while_calls_wait() -> None:
    """Between a call and its result there is no place for it; the run waits as before."""
    model = scripted(Call("add", {"a": 1, "b": 2}), "as you like")
    one = agent(model, tools=[Tool.of(add, approve=True), same], approve=Pause())
    first = await one.run("go")
    with pytest.raises(NotResumable, match="calls of add have no result yet"):
        await resume(first.execution_id or "", one, prompt="Leave it.")
    allow(first.run_id or "", first.waiting[0], decision="deny")
    done = await resume(first.execution_id or "", one)
    check(model.requests[-1].messages)
    assert done.answer == "as you like"


async def test_a_session_goes_on_with_what_its_resumed_run_has_said() -> None:
    """The next turn begins with it."""
    model = scripted(Call("add", {"a": 1, "b": 2}), "three", "you asked for it")
    one = agent(model, tools=[Tool.of(add, approve=True), same], approve=Pause())
    session = Session("s")
    first = await session.ask(one, "go")
    assert first.status == "paused"
    allow(first.run_id or "", first.waiting[0])
    assert (await resume(first.execution_id or "", one)).answer == "three"
    last = await session.ask(one, "Why?")
    assert [message.text for message in last.messages] == ["go", "", "3", "three", "Why?", "you asked for it"]


async def test_a_person_who_was_asked_for_is_asked_again_under_the_same_name() -> None:
    """Nobody came before the run was called off: resumed, the application is asked with the same effect."""
    asked: list[HandOver] = []
    there = asyncio.Event()

    async def desk(one: HandOver) -> Any:
        asked.append(one)
        there.set()
        if len(asked) == 1:
            await asyncio.sleep(30)

    model = scripted(Call("hand_to_person", {"reason": "help"}), "I go on myself.")
    one = agent(model, tools=[hand_to_person()], hand_over=Person(desk, attempts=1, wait=0))
    handle = one.start("go")
    await there.wait()
    handle.cancel()
    first = await handle.outcome()
    assert first.status == "cancelled"
    again = await resume(first.execution_id or "", one)
    assert again.completed, again


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed that was forked")
def test_a_person_who_was_asked_for_when_the_process_died_is_asked_under_the_same_name(tmp_path: Path) -> None:
    """Nobody knows whether the application has heard of it: with one name for both attempts it does nothing twice."""
    heard = tmp_path / "heard"

    def dies(one: HandOver) -> None:
        heard.write_text(f"{one.run_id} {one.effect_id}")
        os.kill(os.getpid(), signal.SIGKILL)

    compose.current().close()
    if (child := os.fork()) == 0:
        try:
            compose.configure(home=tmp_path / "dying", drain_interval=0.02)
            asyncio.run(_asking_for(dies).run("go"))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    run, effect = heard.read_text().split()
    asked: list[HandOver] = []
    compose.configure(home=tmp_path / "dying", drain_interval=0.02)
    again = asyncio.run(resume(run, _asking_for(asked.append)))
    compose.current().close()
    assert (again.status, again.stop_reason, [one.effect_id for one in asked]) == (
        "completed",
        "human_handoff",
        [effect],
    )


def _asking_for(effect: Any) -> Agent:
    model = scripted(Call("hand_to_person", {"reason": "help"}), "I go on myself.")
    return agent(model, tools=[hand_to_person()], hand_over=Person(effect, attempts=1))
