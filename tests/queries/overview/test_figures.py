from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tachograph.events.limit import LimitHit
from tachograph.events.run import Failure
from tachograph.queries.overview.figures import agents, figures, models, slow
from tachograph.queries.overview.points import Point
from tachograph.queries.overview.steps import StepsAsked, steps
from tachograph.queries.overview.stops import interventions, stops
from tachograph.queries.overview.when import newest
from tachograph.queries.period import Period
from tachograph.queries.stats import ErrorGroup, Group, Stats, stats
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Store
from tachograph.store.rollup import HOUR
from tachograph.store.scoped import Scoped
from tests.queries.kept import batch
from tests.queries.logs.desk import moved
from tests.queries.overview.three import FIRST, NOW, filled
from tests.strategies import Tape, runs


def test_a_period_in_full(store: Store) -> None:
    """Three runs of two agents: totals, models, agents, errors and the slowest steps, from steps and from roll-ups."""
    filled(store)
    period = Period(FIRST, NOW)
    for source in ("rollups", "rollups"):
        found = figures(store, period, NOW, {})
        total = found.total
        assert (total.runs.count, total.calls.count, total.tools.by_status) == (3, 3, {"failed": 3})
        assert (total.cost.total, total.tokens.input_total, total.tokens.output) == (18_000, 369, 150)
        assert found.models is not None
        assert [(group.key, group.calls.count) for group in found.models.models] == [
            (("openai", "gpt-4o"), 2), (("openai", "gpt-5"), 1)
        ]  # fmt: skip
        assert [(group.key, group.cost.total) for group in found.models.providers] == [(("openai",), 18_000)]
        assert (found.errors, found.error_count) == ((ErrorGroup("tool", "Refused", 3),), 3)
        assert (found.intervals, found.source, found.as_of) == (("hour", "day"), source, NOW)
        by_agent = agents(store, period, NOW, {})
        assert [(group.key, group.runs.count, group.cost.total) for group in by_agent] == [
            (("desk",), 2, 12_000), (("clerk",), 1, 6_000)
        ]  # fmt: skip
        assert [step.duration_ms for step in slow(store, period, NOW, {})][:3] == [7_000.0, 6_000.0, 5_000.0]
        store.refresh(NOW)


def test_one_agent(store: Store) -> None:
    """Limited to an agent, everything is its own."""
    filled(store)
    period, where = Period(FIRST, NOW), {"agent": "clerk"}
    for _ in range(2):
        found = figures(store, period, NOW, where)
        assert (found.total.runs.count, found.total.cost.total, found.error_count) == (1, 6_000, 1)
        assert found.models is None
        assert [group.key for group in models(store, period, NOW, where).models] == [("openai", "gpt-5")]
        assert [group.key for group in agents(store, period, NOW, where)] == [("clerk",)]
        assert [step.agent_type for step in slow(store, period, NOW, where)] == ["clerk"] * 2
        store.refresh(NOW)


_minutes = st.integers(0, 60 * 99)
_logs = st.lists(st.tuples(runs(max_size=12), _minutes), max_size=4, unique_by=lambda log: log[0][0].run)


@given(_logs, _minutes, st.sampled_from((50, 600, 60 * 99)), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_everything_adds_up(logs: list[Any], since: int, length: int, refreshed: bool) -> None:
    """Figures, models, agents and points are those of the statistics, whatever was recorded and wherever it is read."""
    store = MemoryStore()
    for events, minutes in logs:
        store.append(batch(moved(events, minutes * HOUR // 60)))
    if refreshed:
        store.refresh(NOW)
    period = Period(*(FIRST + minutes * HOUR // 60 for minutes in (since, since + length)))
    found = figures(store, period, NOW, {})

    def by(*names: str) -> Stats:
        return stats(store, NOW, period, by=names)

    assert found.total == msgspec.structs.replace(by().total, steps=found.total.steps)
    assert found.models == models(store, period, NOW, {})
    assert found.models is not None
    assert found.models.models == by("provider", "model").groups
    assert found.models.providers == by("provider").groups
    assert tuple(map(_known, agents(store, period, NOW, {}))) == tuple(map(_known, by("agent").groups))
    assert _sums(found.points) == _sums_of(found.total)


def _known(group: Group) -> Group:
    """Without the times that are not told of agents."""
    calls, tools = (msgspec.structs.replace(each, latency=None) for each in (group.calls, group.tools))
    return msgspec.structs.replace(group, calls=calls, tools=tools, first_token=None)


def _sums(points: tuple[Point, ...]) -> tuple[int, ...]:
    return (
        sum(point.runs for point in points),
        sum(point.completed for point in points),
        sum(point.calls for point in points),
        sum(point.cost.total or 0 for point in points),
        sum(point.tokens.output or 0 for point in points),
        sum(point.tokens.missing for point in points),
    )


def _sums_of(total: Group) -> tuple[int, ...]:
    return (
        total.runs.count,
        total.runs.by_status.get("completed", 0),
        total.calls.count,
        total.cost.total or 0,
        total.tokens.output or 0,
        total.tokens.missing,
    )


def test_of_one_tenant(store: Store) -> None:
    """Who may see one tenant is told of nobody else, whichever rows tell it."""
    for tenant in ("ours", "theirs"):
        tape = Tape(tenant, at=FIRST, tick=1_000_000)
        tape.begin(tenant=tenant, agent_type=tenant)
        tape.reply(tape.call(model=tenant), "failed", error=Failure(tenant))
        tape.add(LimitHit(metric="llm_calls", scope="run", mode="stop", used=3, threshold=3))
        tape.finish(stop_reason=tenant)
        store.append(batch(tape.events))
    period, ours = Period(FIRST, NOW), Scoped(store, "ours")
    for _ in range(2):
        found = figures(ours, period, NOW, {})
        assert (found.total.runs.count, found.total.calls.count, sum(point.runs for point in found.points)) == (1, 1, 1)
        assert found.errors == (ErrorGroup("llm", "ours", 1),)
        assert [group.key for group in agents(ours, period, NOW, {})] == [("ours",)]
        assert [stop.reason for stop in stops(ours, period, {})] == ["ours"]
        assert (interventions(ours, period, {}), interventions(ours, period, {"agent": "theirs"})) == (1, 0)
        assert {step.agent_type for step in slow(ours, period, NOW, {})} == {"ours"}
        assert [step.name for step in steps(ours, StepsAsked(kind="llm"), NOW).steps] == ["ours"]
        assert steps(ours, StepsAsked(kind="llm", error="theirs"), NOW).total == 0
        assert newest(ours) == FIRST
        store.refresh(NOW)
