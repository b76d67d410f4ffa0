"""Everything at once: what must hold of a team holds where its parts meet, and its log says where each run stood."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as some
from msgspec import Struct, structs

from tachograph import compose
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import outcome_of
from tachograph.agent.resume.recording import Recording, reading, recording
from tachograph.agent.resume.resume import taken_up
from tachograph.agent.transcript import check
from tachograph.errors import NotResumable
from tachograph.fold.approvals import Decided
from tachograph.queries.checkup import examine
from tachograph.record import scope
from tachograph.record.after.decision import decide
from tachograph.record.clock import SYSTEM
from tachograph.store.query import Query
from tachograph.testing import capture
from tests.agent.must import laws
from tests.agent.must.crossing import BEFORE, EASY, Made, Team, Watch, flown, teams
from tests.agent.teams import family

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
EXAMPLES = int(os.environ.get("TACHOGRAPH_MUST_EXAMPLES", "100"))
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
"""All but explaining, which takes long."""


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), phases=PHASES, deadline=None)
@given(team=teams())
def test_whatever_meets_the_laws_hold_and_the_record_knows_where_each_run_stood(team: Team) -> None:
    """Of the lead's run and of each below it: after every event, and at the end."""
    note(team.told())
    made, watch = Made(team), Watch()
    with capture(clock=SYSTEM) as events:
        live = asyncio.run(flown(made, watch, "go", team.cancel_at, history=BEFORE if team.history else ()))
    laws.counts_hold(events, laws.Tree(events, made.limits))
    laws.sent_validly(made.model.requests)
    laws.starts_end_once(events)
    laws.tools_end_once(events)
    assert len(made.effects) == len({effect.rsplit(" ", 2)[0] for effect in made.effects})
    store = laws.stored(events)
    for outcome in family(outcome_of(live)):
        if outcome.status != "paused":
            laws.outcome_is_honest(outcome, events)
        laws.totals_are_sums(outcome, store)
    for run in watch.lives:
        watch.agrees(run, events)


class Life(Struct, frozen=True):
    """One time that a run goes on."""

    words: tuple[str, ...]
    """What somebody says of what waits, one after the other: allow, deny, edit, or nothing."""
    prompt: str | None = None
    wide: bool = True
    """Whether it has all the limits that it may need."""
    cancel_at: int | None = None


LIVES = some.lists(
    some.builds(
        Life,
        some.lists(some.sampled_from(["allow", "allow", "deny", "edit", ""]), min_size=3, max_size=3).map(tuple),
        some.sampled_from([None, None, "And now?"]),
        some.sampled_from([True, True, False]),
        some.one_of(some.none(), some.none(), some.integers(1, 60)),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=max(1, EXAMPLES // 4), suppress_health_check=list(HealthCheck), phases=PHASES, deadline=None)
@given(team=teams(), lives=LIVES)
def test_whatever_it_was_that_ended_a_run_it_goes_on_from_its_log(team: Team, lives: list[Life]) -> None:
    """Again and again: no effect is there twice, every request is valid, and the log says where each run stood."""
    note(f"{team.told()} {lives}")
    made, watch = Made(team), Watch()
    with recorded_here():
        live = asyncio.run(flown(made, watch, "go", team.cancel_at, history=BEFORE if team.history else ()))
        outcome = outcome_of(live)
        for life in lives:
            if not outcome.resumable or outcome.run_id is None:
                break
            decided(outcome, life)
            try:
                outcome = gone_on(made, watch, outcome, life)
            except NotResumable:  # it was refused as a whole
                assert not was_under_way(outcome)
                break
        laws.sent_validly(made.model.requests)
        assert len(made.effects) == len({effect.rsplit(" ", 2)[0] for effect in made.effects}), made.effects
        adds_up(watch, outcome)


@contextmanager
def recorded_here() -> Iterator[None]:
    """Into a store of its own, which is there when this is over."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        system = compose.configure(home=Path(home), drain_interval=0.02)
        try:
            yield
        finally:
            system.close()
            scope._current.set(None)


def decided(outcome: Outcome[Any], life: Life) -> None:
    """Somebody says something of what waits."""
    compose.flush()
    reach = compose.recording().reach()
    for waiting, word in zip(outcome.waiting, life.words, strict=False):
        if not word:
            continue
        said = Decided(
            slot=waiting.slot, call_id=waiting.call_id, tool=waiting.tool, arguments_hash=waiting.arguments_hash,
            decision=word, by="ann", at=compose.recording().recorder.clock.now(),  # type: ignore[arg-type]
            arguments={"what": "green"} if word == "edit" else None,
        )  # fmt: skip
        decide(reach.store, reach.gate, waiting.run or outcome.run_id or "", said)
    reach.store.close()


def gone_on(made: Made, watch: Watch, outcome: Outcome[Any], life: Life) -> Outcome[Any]:
    """The run goes on; its outcome then."""
    prompt = None if outcome.status == "paused" else life.prompt
    _, said, call = taken_up(
        outcome.execution_id or "", made.lead, prompt=prompt, limits=EASY if life.wide else made.lead.limits
    )
    return outcome_of(asyncio.run(flown(made, watch, said, life.cancel_at, **call)))


def was_under_way(outcome: Outcome[Any]) -> bool:
    """Whether its conversation was on record."""
    with reading(None) as store:
        return recording(outcome.run_id or "", store).folded().begun


def adds_up(watch: Watch, outcome: Outcome[Any]) -> None:
    """What is stored of all runs, and what the outcome says."""
    with reading(None) as store:
        rows = store.find(Query("runs", (), ("id", "status", "source"), limit=None)).rows
        assert {row["status"] for row in rows} <= {"paused", "completed", "failed", "cancelled", "abandoned"}
        for row in rows:
            whole: Recording = recording(row["id"], store)
            assert [event.seq for event in whole.events] == list(range(len(whole.events)))
            watch.agrees(row["id"], whole.events, store.fetch)
            laws.starts_end_once_in_each_life(whole.events)
        if outcome.status != "paused":
            check(outcome.messages)
        laws.totals_are_sums(outcome, store)  # type: ignore[arg-type]
        found = examine(compose.current().settings, store)  # type: ignore[arg-type]
        assert found.problems == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed that was forked")
@settings(max_examples=max(1, EXAMPLES // 8), suppress_health_check=list(HealthCheck), phases=PHASES, deadline=None)
@given(team=teams(), last=some.integers(0, 90), lives=LIVES)
def test_whatever_it_was_doing_when_it_was_killed_it_goes_on(team: Team, last: int, lives: list[Life]) -> None:
    """Behind any event: an effect that had begun is not made again, and every request is valid."""
    note(f"{team.told()} {last} {lives}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        if (child := os.fork()) == 0:
            died(Path(home), team, last)
        os.waitpid(child, 0)
        system = compose.configure(home=Path(home), drain_interval=0.02)
        try:
            went_on_after(Path(home), team, lives)
        finally:
            system.close()
            scope._current.set(None)


def died(home: Path, team: Team, last: int) -> None:
    """In a process of its own: run, and be killed behind the event."""
    try:
        system = compose.configure(home=home, drain_interval=0.02)
        seen = 0

        def dies(event: object) -> bool:
            nonlocal seen
            seen += 1
            if seen > last:
                os.kill(os.getpid(), signal.SIGKILL)
            return False

        system.recorder.feed.subscribe(dies)
        history = BEFORE if team.history else ()
        asyncio.run(flown(Made(team, did(home)), Watch(), "go", team.cancel_at, history=history))
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def did(home: Path) -> Callable[[str], None]:
    """Effects are lines of a file, which outlives the process."""

    def write(what: str) -> None:
        with (home / "effects").open("a") as file:
            file.write(f"{what}\n")

    return write


def went_on_after(home: Path, team: Team, lives: list[Life]) -> None:
    """The lead's run goes on, if there is anything to go on with."""
    with reading(None) as store:
        rows = store.find(Query("runs", (), ("id", "name", "status", "parent_run"), limit=None)).rows
    assert "started" not in {row["status"] for row in rows}
    lead = next((row for row in rows if row["parent_run"] is None and row["name"] == "lead"), None)
    if lead is None or lead["status"] == "completed":
        return
    made, watch = Made(team, did(home)), Watch()
    outcome: Outcome[Any] = Outcome(status="failed", stop_reason="deadline", run_id=lead["id"], execution_id=lead["id"])
    for life in lives:
        if not outcome.resumable or outcome.run_id is None:
            break
        decided(outcome, life)
        try:
            outcome = gone_on(made, watch, outcome, structs.replace(life, prompt=None))
        except NotResumable:  # it died before its first words
            assert not was_under_way(outcome)
            return
    laws.sent_validly(made.model.requests)
    done = (home / "effects").read_text().splitlines() if (home / "effects").exists() else []
    assert len(done) == len({effect.rsplit(" ", 2)[0] for effect in done}), done
    adds_up(watch, outcome)
