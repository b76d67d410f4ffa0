"""No model, however adversarial, makes a run break what must hold."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, note, settings

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import Call as Asked
from tachograph.agent.call import begin, outcome_of
from tachograph.agent.live import Live
from tachograph.agent.recorded import RecordedState
from tachograph.agent.run import fly
from tachograph.agent.state import State
from tachograph.errors import LimitExceeded
from tachograph.record.clock import SYSTEM
from tachograph.testing import Captured, capture
from tests.agent.must import laws
from tests.agent.must.adversary import Adversary, Case, agents, cases, crowds

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # a failing case may be long
EXAMPLES = int(os.environ.get("TACHOGRAPH_MUST_EXAMPLES", "150"))
LONGEST = 10.0
"""Seconds after which a run of these has hung."""


class Flown:
    """A case that was run to its end."""

    def __init__(self, case: Case) -> None:
        self.model = Adversary(case.script, case.delay)
        self.came: list[Outcome[Any]] = []
        self.stood: dict[int, State] = {}
        """Seq of the outermost run's last event → where the loop stood then, until it decided to end."""
        self.agents = agents(case, self.model, self.came)
        with capture(clock=SYSTEM) as events:
            self.live = asyncio.run(self._fly(case))
        self.events: Captured = events

    async def _fly(self, case: Case) -> Live:
        outermost = self.agents[0]
        live = begin(outermost, outermost.port, "go", Asked())
        live.__class__ = _watched(self.stood)
        task = asyncio.ensure_future(fly(live, "go"))
        left = [case.cancel_at]

        def count(value: object) -> None:
            left[0] = None if left[0] is None else left[0] - 1
            if left[0] == 0:
                task.cancel()

        async def later() -> None:
            for turns in case.cancel_turns:
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()

        live.emitter.subscribe(object, count)
        calling_off = asyncio.ensure_future(later())
        _, waiting = await asyncio.wait({task}, timeout=LONGEST)
        calling_off.cancel()
        assert not waiting, "it hangs"
        with suppress(LimitExceeded, asyncio.CancelledError):
            task.result()
        return live


def _watched(stood: dict[int, State]) -> type[Live]:
    """A run that says where it stands whenever that changes."""

    class Watched(Live):
        def __setattr__(self, name: str, value: Any) -> None:
            object.__setattr__(self, name, value)
            if name == "state" and value.end is None:
                stood[self.record.last_seq] = value

    return Watched


def holds(case: Case) -> None:
    """All laws."""
    note(repr(case))
    flown = Flown(case)
    events, model = flown.events, flown.model
    tree = laws.Tree(events, {agent.name: agent.limits for agent in flown.agents})  # type: ignore[misc]
    laws.counts_hold(events, tree)
    laws.reservations_fit(events, tree, model.safe)
    laws.sent_validly(model.requests)
    laws.hold((outcome_of(flown.live), *flown.came), events)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), print_blob=True)
@given(case=cases())
def test_whatever_a_model_does_the_laws_hold(case: Case) -> None:
    """Counts, reservations, transcripts, ends, totals: in a tree of runs, called off at any moment."""
    holds(case)


@settings(max_examples=EXAMPLES // 2, suppress_health_check=list(HealthCheck), print_blob=True)
@given(case=crowds())
def test_the_laws_hold_for_agents_beside_each_other(case: Case) -> None:
    """What is set aside for one request is not there for the next, in whatever run of the tree it is."""
    holds(case)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), print_blob=True)
@given(case=cases())
def test_the_record_knows_where_the_run_stood(case: Case) -> None:
    """After every event the state folded from the log is the one the loop had, and at the end the one it ended in.

    That a run is about to end is a decision; it is where the run stands once it is recorded.
    """
    note(repr(case))
    flown = Flown(case)
    # Else its time was over before it was a run, or before it began.
    assume(flown.live.record.run_id is not None and flown.stood)
    mine = [event for event in flown.events if event.run == flown.live.record.run_id]
    recorded = RecordedState()
    folded = [recorded.apply(event) for event in mine]
    for seq, state in flown.stood.items():
        assert laws.differences(laws.as_recorded(folded[seq]), laws.as_recorded(state)) == {}, mine[seq]
    assert laws.differences(laws.as_recorded(folded[-1]), laws.as_recorded(flown.live.state)) == {}
    assert len(flown.stood) >= flown.live.state.iteration
