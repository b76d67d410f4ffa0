from __future__ import annotations

import os

from tachograph.queries.alerts import Standing, standing
from tachograph.store.ports import Batch, Store
from tachograph.upkeep.alert import Alert
from tachograph.upkeep.watch import Watch
from tests.upkeep.kept import BEGAN, DOLLAR, HOUR, desk, put

SPEND = Alert(name="spend", metric="cost", threshold=1.0, window=HOUR, by="agent")
OTHER = Alert(name="other", metric="cost", threshold=100.0, window=HOUR)
MINUTE = HOUR // 60


def test_an_alert_stands_as_its_audit_says(store: Store) -> None:
    """Before it fires there is nothing to tell; then what it said last, and which of its scopes are still above."""
    eyes = Watch(store, (SPEND, OTHER), lambda events: store.append(Batch(events)), entropy=os.urandom)
    eyes.step(BEGAN)
    assert standing(store, "spend") == Standing()
    for at, agent in ((BEGAN, "planner"), (BEGAN + 20 * MINUTE, "coder")):
        put(store, desk(agent, at, cost=2 * DOLLAR, agent_type=agent))
        eyes.step(at + MINUTE)
    both = standing(store, "spend")
    assert both.above == ("agent:coder", "agent:planner")
    assert both.fired_at is not None
    assert BEGAN + 20 * MINUTE <= both.fired_at <= BEGAN + 21 * MINUTE
    assert both.line.startswith("alert spend: cost of agent:coder is $2")
    eyes.step(BEGAN + HOUR + 5 * MINUTE)
    one = standing(store, "spend")
    assert (one.above, one.fired_at, one.line) == (("agent:coder",), both.fired_at, both.line)
    assert standing(store, "other") == Standing()
