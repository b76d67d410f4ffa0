from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tachograph import compose
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.recorded import fact_of
from tachograph.agent.resume.effects import KIND, has_effects, unknown
from tachograph.agent.resume.recording import reading, recording
from tachograph.agent.resume.resume import resume, toolbox
from tachograph.agent.resume.snapshot import Snapshot, snapshot
from tachograph.agent.state import Told
from tachograph.agent.team.delegate import Delegate
from tachograph.agent.tools.tool import Tool
from tachograph.agent.turn.authorise import BARRED
from tachograph.errors import NotResumable
from tachograph.events.tool import ToolStarted
from tachograph.providers.scripted import Call, ScriptedModel
from tachograph.queries.answers.approvals import ApprovalsAsked, placed, waiting_runs
from tachograph.store.query import Query, Where
from tests.agent.resume import dying
from tests.agent.resume.test_resume import allow
from tests.agent.running import add

pytestmark = pytest.mark.anyio


@pytest.fixture
def died(tmp_path: Path, database: Path) -> Iterator[tuple[str, Path]]:
    """The execution of a program that was killed when its first payment had just begun."""
    home = tmp_path / "killed"
    home.mkdir()
    words = [sys.executable, "-m", "tests.agent.resume.dying", str(home), "pay"]
    subprocess.run(words, check=False, timeout=60)
    system = compose.configure(home=home, drain_interval=0.02)
    with reading(None) as store:
        (row,) = store.find(Query("runs", (Where("name", "eq", dying.NAME),), ("execution_id",))).rows
    yield row["execution_id"], home
    system.close()


async def test_a_person_is_asked_about_an_effect_that_was_cut_off(died: tuple[str, Path]) -> None:
    """The run waits; what was decided is told to the model, once, and the call is not made by itself."""
    execution, home = died
    waits = await resume(execution, dying.agents(home))
    assert (waits.status, waits.stop_reason) == ("paused", "approval")
    assert [(one.tool, one.arguments) for one in waits.waiting] == [("pay", {"what": "one"})]
    again = await resume(execution, dying.agents(home))
    assert [one.slot for one in again.waiting] == [one.slot for one in waits.waiting]
    with reading(None) as store:
        (listed,) = waiting_runs(store, ApprovalsAsked(run_id=waits.run_id), 0).runs[0].approvals
        assert placed(store, listed.id)[1].slot == waits.waiting[0].slot
    allow(waits.run_id or "", waits.waiting[0], decision="deny", reason="the bank says it is paid")
    done = await resume(execution, dying.agents(home))
    assert (done.status, done.answer) == ("completed", "all done")
    told = [message.text for message in done.messages if message.name == KIND]
    assert len(told) == 1
    assert told[0].endswith('- pay {"what":"one"} must not be made again: the bank says it is paid.')
    assert sorted((home / "effects").read_text().split()) == ["three", "w"]


async def test_nothing_may_be_said_before_it_is_settled(died: tuple[str, Path]) -> None:
    """A prompt would go past the question: it is refused, and nothing has happened."""
    execution, home = died
    with pytest.raises(NotResumable, match="pay"):
        await resume(execution, dying.agents(home), prompt="Go on!")


async def test_what_only_reads_or_may_be_repeated_is_no_effect(died: tuple[str, Path]) -> None:
    """By the tool as the program has it now; one that it has no more may have done anything."""
    execution, home = died
    tools = toolbox(dying.agents(home))
    with reading(None) as store:
        whole = recording(execution, store)
        assert [one.tool for one in unknown(whole, tools)] == ["pay"]
        safe = {**tools, "pay": Tool.of(add, name="pay", idempotent=True)}
        assert list(unknown(whole, safe)) == []
        assert {one.tool for one in unknown(whole, {})} == {"pay"}
    started = ToolStarted(name="pay", classification="write")
    assert [has_effects(started, tool) for tool in (None, tools["pay"], tools["look"])] == [True, True, False]
    assert not has_effects(ToolStarted(name="ask_worker", classification="delegation"), None)
    said: Any = fact_of("told", {"kind": KIND, "text": "x"})
    assert said == Told(KIND, "x")
    assert fact_of("told", Told(KIND, "x", ("f",)).facts()) == Told(KIND, "x", ("f",))


async def test_what_was_denied_is_not_made_again_whatever_the_model_does(died: tuple[str, Path]) -> None:
    """Neither by the run, nor by a delegate of it, nor where a snapshot of it stands; and its log says so."""
    execution, home = died
    waits = await resume(execution, dying.agents(home))
    allow(waits.run_id or "", waits.waiting[0], decision="deny")
    desk = dying.agents(home)
    worker: Any = Delegate.of(desk.delegates[0]).worker
    again = [dying.pays("one"), dying.pays("four")]
    desk = desk.but(
        model=dying.by_place(None, None, again, Call("ask_worker", {"message": "do it"}), "enough"),
        delegates=[Delegate(worker.but(model=dying.by_place(dying.pays("one"), "no"), name="worker"), mode="fresh")],
    )
    done = await resume(execution, desk)
    assert (done.answer, results(done)[-3:]) == ("enough", [BARRED, "paid four", "no"])
    assert results(done.children[0]) == [BARRED]
    assert (home / "effects").read_text().split() == ["four"]
    with reading(None) as store:
        state = recording(execution, store).folded().state
        assert state.barred == (waits.waiting[0].arguments_hash,)
    restored = Snapshot.restore(snapshot(execution).dump())
    assert restored.state == state
    later = await desk.but(model=ScriptedModel([dying.pays("one"), "no"])).run("Again!", **restored.call())
    assert results(later)[-1] == BARRED


def results(outcome: Outcome[Any]) -> list[str]:
    """What the model was told of its calls, without what is said of repetitions."""
    return [one.text.partition("\n")[0] for one in outcome.messages if one.role == "tool"]
