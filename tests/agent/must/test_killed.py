"""A process that is killed at any event: the run goes on from its log, and nothing that had begun is made again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tachograph import compose
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.recorded import RecordedState
from tachograph.agent.resume.effects import DIED
from tachograph.agent.resume.recording import Recording, reading, recording
from tachograph.agent.resume.resume import resume
from tachograph.agent.transcript import check
from tachograph.events.run import RunEnded, RunResumed
from tachograph.events.tool import ToolEnded
from tachograph.fold.approvals import Decided
from tachograph.record import scope
from tachograph.record.after.decision import decide
from tachograph.store.query import Query, Where
from tests.agent.must import laws
from tests.agent.resume import dying

WHOLE = 104
"""Events of the program's runs when nobody kills it; a few more or less, as its calls overlap."""
EVERY = int(os.environ.get("TACHOGRAPH_KILLED_EVERY", "7"))
"""Each so-and-so-many-th event is tried; 1 for all of them."""
PAID = ("one", "three", "two", "w")


def test_a_killed_run_goes_on_from_any_event(tmp_path: Path) -> None:
    """It ends well, no effect is there twice, each run has an end, and its log folds to a valid conversation."""
    for last in range(
        max(2, EVERY // 2), WHOLE - 1, EVERY
    ):  # before, there is no conversation; behind the last event there is nothing to go on with
        killed_and_resumed(tmp_path / str(last), str(last))
    assert killed_and_resumed(tmp_path / "pay", "pay") == 1


def killed_and_resumed(home: Path, last: str) -> int:
    """Kill it behind that event, and go on until it is done; how many effects a person was asked about."""
    home.mkdir()
    words = [sys.executable, "-m", "tests.agent.resume.dying", str(home), last]
    died = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr
    system = compose.configure(home=home, drain_interval=0.02)
    try:
        outcome, asked = asyncio.run(gone_on(allow=len(last) % 2 == 0))
        assert (outcome.status, outcome.answer) == ("completed", "all done"), (last, outcome.detail)
        check(outcome.messages)
        paid = Counter(line for line in (home / "effects").read_text().splitlines())
        assert set(paid) <= set(PAID)
        assert set(paid.values()) <= {1}, (last, paid)
        assert cut_off(last) == asked  # each of those, and nothing else, was asked about
    finally:
        system.close()
        scope._current.set(None)
    return asked


async def gone_on(*, allow: bool) -> tuple[Outcome[Any], int]:
    """Resume until it is done, deciding whatever is asked."""
    with reading(None) as store:
        rows = store.find(Query("runs", (Where("name", "eq", dying.NAME),), ("execution_id", "id"))).rows
    (row,) = rows
    asked = 0
    for _ in range(4):
        one = dying.agents(compose.current().settings.home)
        outcome = await resume(row["execution_id"], one)
        laws.sent_validly(one.port.requests)  # type: ignore[attr-defined]
        if outcome.status != "paused":
            return outcome, asked
        asked += len(outcome.waiting)
        compose.flush()
        reach = compose.recording().reach()
        for waiting in outcome.waiting:
            said = Decided(
                slot=waiting.slot, call_id=waiting.call_id, tool=waiting.tool, arguments_hash=waiting.arguments_hash,
                decision="allow" if allow else "deny", by="ann", at=1,
            )  # fmt: skip
            decide(reach.store, reach.gate, row["id"], said)
        reach.store.close()
    raise AssertionError("it never ends")


def cut_off(last: str) -> int:
    """Effects that were cut off. Every run has ended, its ends and resumptions pair, each prefix has a state."""
    found = 0
    with reading(None) as store:
        runs = store.find(Query("runs", (), ("id", "status"), limit=None)).rows
        assert {row["status"] for row in runs} <= {"completed", "abandoned"}, (last, runs)
        for row in runs:
            whole: Recording = recording(row["id"], store)
            folded = RecordedState(store.fetch)
            for event in whole.events:
                folded.apply(event)
            check(folded.state.messages)
            said = [message.text for message in folded.state.messages if message.role == "user"]
            assert said[0] == ("do it" if whole.started.name == "worker" else "go"), (last, said)
            ends = sum(isinstance(event.body, RunEnded) for event in whole.events)
            assert ends == 1 + sum(isinstance(event.body, RunResumed) for event in whole.events)
            assert [event.seq for event in whole.events] == list(range(len(whole.events)))
            begun = {event.seq for event in whole.events if getattr(event.body, "name", "") == "pay"}
            ends_of = [event for event in whole.events if isinstance(event.body, ToolEnded) and event.step in begun]
            found += sum(event.body.error is not None and event.body.error.type in DIED for event in ends_of)
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_program_that_nobody_kills_has_so_many_events(tmp_path: Path) -> None:
    """The range of events above is that of the program."""
    words = [sys.executable, "-m", "tests.agent.resume.dying", str(tmp_path), "100000"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "final_answer"), done.stderr
    assert sorted((tmp_path / "effects").read_text().split()) == sorted(PAID)
