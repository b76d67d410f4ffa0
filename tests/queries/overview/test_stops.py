from __future__ import annotations

from typing import Any

from tachograph.events.limit import LimitHit
from tachograph.events.usage import Cost
from tachograph.queries.overview.stops import Stop, interventions, stops
from tachograph.queries.period import Period
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

NOW_AND_LATER = Period(BEGAN, BEGAN + 1_000_000_000)


def _run(store: Store, source: str, agent: str, *hits: str, at: int = BEGAN, **end: Any) -> None:
    tape = Tape(source, at=at)
    tape.begin(agent_type=agent, source="audit" if agent == "server" else "")
    for mode in hits:
        tape.add(LimitHit(metric="llm_calls", scope="run", mode=mode, used=3, threshold=3))  # type: ignore[arg-type]
    if end:
        tape.finish(**end)
    store.append(batch(tape.events))


def _filled(store: Store) -> None:
    _run(store, "1", "desk", status="completed", stop_reason="final_answer")
    _run(store, "2", "desk", "warn", "stop", status="failed", stop_reason="max_llm_calls")
    _run(store, "3", "clerk", "block", "stop", status="failed", stop_reason="max_llm_calls")
    _run(store, "4", "clerk")
    _run(store, "5", "desk", "stop", at=BEGAN - 10**12, status="completed", stop_reason="final_answer")
    _run(store, "6", "server", "stop", status="completed")


def test_why_runs_stopped(store: Store) -> None:
    """Runs of the period by status and reason, the most frequent first; the server's notes are no runs."""
    _filled(store)
    assert stops(store, NOW_AND_LATER, {}) == (
        Stop("failed", "max_llm_calls", 2), Stop("completed", "final_answer", 1), Stop("started", "", 1)
    )  # fmt: skip
    assert stops(store, NOW_AND_LATER, {"agent": "clerk"}) == (
        Stop("failed", "max_llm_calls", 1), Stop("started", "", 1)
    )  # fmt: skip


def test_what_runs_cost_by_how_they_stopped(store: Store) -> None:
    """Their model calls and their cost add up; a cost that nobody knows is None, and some unknown make it a bound."""
    costs = (Cost("priced", total=6_000), Cost("priced", total=1_000), Cost(reason="no_price"), Cost(reason="no_price"))
    for number, cost in enumerate(costs):
        tape = Tape(str(number))
        tape.begin()
        tape.reply(tape.call(), cost=cost)
        tape.finish(stop_reason=("final_answer", "tool_stop", "tool_stop", "human_handoff")[number])
        store.append(batch(tape.events))
    assert [(stop.reason, stop.calls, stop.cost, stop.unpriced) for stop in stops(store, NOW_AND_LATER, {})] == [
        ("tool_stop", 2, 1_000, 1), ("final_answer", 1, 6_000, 0), ("human_handoff", 1, None, 1)
    ]  # fmt: skip


def test_what_limits_changed(store: Store) -> None:
    """Limits count that changed what happened, in the runs of an agent or all; a warning changes nothing."""
    _filled(store)
    assert interventions(store, NOW_AND_LATER, {}) == 3
    assert interventions(store, NOW_AND_LATER, {"agent": "clerk"}) == 2
    assert interventions(store, NOW_AND_LATER, {"agent": "nobody"}) == 0
