"""Everything at once: what must hold of a team holds where its parts meet, and its log says where each run stood."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from tachograph.agent.call import outcome_of
from tachograph.record.clock import SYSTEM
from tachograph.testing import capture
from tests.agent.must import laws
from tests.agent.must.crossing import BEFORE, Made, Team, Watch, flown, teams
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
        live = asyncio.run(flown(made, watch, "go", history=BEFORE if team.history else ()))
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
