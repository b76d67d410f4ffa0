from __future__ import annotations

import pytest

from tachograph import compose
from tachograph.agent.resume.fork import fork
from tachograph.agent.resume.resume import resume
from tachograph.errors import InvalidParameter, NotFound, SettingsError
from tachograph.providers.scripted import Call
from tests.agent.resume.recorded import recording
from tests.agent.running import agent

pytestmark = pytest.mark.anyio


async def test_an_execution_is_found_with_its_run_and_what_that_began() -> None:
    """By the execution's id or the run's own; the run that nothing of the execution began is the one meant."""
    inner = agent(["inner"], name="inner")

    async def child() -> str:
        return (await inner.run("sub", execution_id=done[0])).answer or ""

    done = ["exec_0123456789ab_1700000000"]
    outcome = await agent([Call("child"), "out"], tools=[child]).run("go", execution_id=done[0])
    found = recording(done[0])
    assert (found.run, found.execution_id, found.status) == (outcome.run_id, done[0], "completed")
    assert (found.seq, found.started.name, found.offered()) == (outcome.last_seq, "calc", ("child",))
    assert [one.started.name for one in found.children()] == ["inner"]
    assert recording(found.run).events == found.events


async def test_what_is_no_id_is_refused_in_words() -> None:
    """As where the arguments of resume and fork are mixed up."""
    with pytest.raises(SettingsError, match=r"an id, as in resume\(id, agents\) and fork\(agent, id\)$"):
        await fork("exec_1", agent(["x"]))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"^execution_id="):
        await resume(agent(["x"]), "exec_1")  # type: ignore[arg-type]


async def test_a_recording_can_be_cut() -> None:
    """Up to any event it has; the fold of the part is where the run stood then."""
    outcome = await agent([Call("add", {"a": 1, "b": 2}), "3"]).run("go")
    whole = recording(outcome.execution_id or "")
    assert whole.until(None) is whole
    assert whole.until(whole.seq) is whole
    assert whole.until(0).events == whole.events[:1]
    assert whole.until(0).folded().state.messages == ()
    assert whole.folded().state.messages[-1].text == "3"
    for seq in (-1, whole.seq + 1):
        with pytest.raises(InvalidParameter, match=f"0 to {whole.seq}"):
            whole.until(seq)


async def test_a_store_may_be_named() -> None:
    """Of another store too; what is not there is said."""
    outcome = await agent(["hi"]).run("go")
    store = recording(outcome.execution_id or "").store
    assert recording(outcome.run_id or "", store).seq == outcome.last_seq
    with pytest.raises(NotFound, match="nothing-like-it"):
        recording("nothing-like-it", store)
    assert compose.current().recorder.health.lost == {}
