from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tachograph.events.call import CallStarted
from tachograph.events.envelope import Event
from tachograph.events.run import Failure, RunStarted
from tachograph.events.usage import Cost, Usage
from tachograph.fold import histogram, tree
from tachograph.queries.period import Period
from tachograph.queries.stats import ErrorGroup, Group, Latency, Money, Outcomes, Quantiles, Tokens, stats
from tachograph.store.open import open_store
from tachograph.store.ports import Store
from tachograph.store.rollup import HOUR
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape, runs

NOW = BEGAN - BEGAN % (24 * HOUR) + 40 * HOUR
"""Four in the afternoon of the day after tapes begin."""


def _tape(source: str, at: int, tick: int = 1_000_000_000, **facts: Any) -> Tape:
    tape = Tape(source, at=at, tick=tick)
    tape.begin(**facts)
    return tape


def _call(tape: Tape, model: str = "gpt-4o", status: str = "completed", **facts: Any) -> int:
    call = tape.call(model=model)
    tape.reply(call, status, **facts)
    return call


# --- one answer in full ---


def test_everything_that_is_counted(store: Store) -> None:
    """One run of two calls, a refused tool and a failed step gives exactly these figures."""
    tape = _tape("one", BEGAN, agent_type="desk", tags=("project:shop", "x"))
    usage = Usage(100, 20, 3, 50, 10, basis="provider")
    cost = Cost("priced", input=4_000, output=2_000, total=6_000)
    _call(tape, usage=usage, cost=cost, first_token_ns=300_000_000, reported_cost=6_100)
    _call(tape, "gpt-5", "failed", error=Failure("RateLimited"))
    tape.result(tape.tool("pay"), state="rejected")
    tape.done(tape.step("plan", kind="plan"), "failed", error=Failure("", category="bug"))
    tape.finish()
    store.append(batch(tape.events))
    second = Latency(1, *(1_000_000_000,) * 7)
    first_token = histogram.of([300_000_000]).quantile(0.5)
    assert first_token is not None
    calls = Outcomes(2, {"completed": 1, "failed": 1}, msgspec.structs.replace(second, count=2))
    expected = Group(
        runs=Outcomes(1, {"completed": 1}, Latency(1, *(9_000_000_000,) * 7)),
        calls=calls,
        tools=Outcomes(1, {"failed": 1}, second),
        steps={"llm": 2, "plan": 1, "run": 1, "tool": 1},
        tokens=Tokens(100, 20, 3, 50, 10, missing=1),
        cost=Money(6_000, 4_000, 2_000, unpriced=1, reported=6_100),
        first_token=Quantiles(1, *(round(first_token),) * 4),
    )
    found = stats(store, NOW, by=("agent", "project"))
    assert found.total == expected
    assert found.groups == (msgspec.structs.replace(expected, key=("desk", "shop")),)
    assert found.errors == (ErrorGroup("llm", "RateLimited", 1), ErrorGroup("plan", "bug", 1))
    assert (found.since, found.until, found.as_of, found.source) == (None, None, NOW, "rollups")
    assert (found.total.calls.success_rate, found.total.tools.success_rate, found.total.tokens.total) == (0.5, 0.0, 173)


def test_nothing_recorded(store: Store) -> None:
    """An empty store has used nothing and has no rates or latencies."""
    found = stats(store, NOW, by=("model",))
    assert (found.total, found.groups, found.errors) == (Group(), (), ())
    assert found.total.calls.success_rate is None


def test_unknown_is_not_zero(store: Store) -> None:
    """Where no call has a price or a usage, cost and tokens are unknown; open calls alone have used nothing yet."""
    tape = _tape("unknown", BEGAN)
    _call(tape, "mystery")
    tape.call(model="waiting")
    store.append(batch(tape.events))
    by_model = {group.key: group for group in stats(store, NOW, by=("model",)).groups}
    assert by_model["mystery",].cost == Money(None, None, None, unpriced=1)
    assert by_model["mystery",].tokens == Tokens(None, None, None, None, None, missing=1)
    assert by_model["waiting",] == Group(key=("waiting",), calls=Outcomes(1, {"open": 1}), steps={"llm": 1})


def test_groups_come_dearest_first_and_days_in_order(store: Store) -> None:
    """Groups are ordered by cost, then by calls; days by time, and each holds what started in it."""
    first, second = _tape("a", BEGAN), _tape("b", BEGAN + 24 * HOUR)
    _call(first, "cheap", cost=Cost("priced", total=1))
    for _ in range(2):
        _call(second, "unpriced")
    _call(second, "dear", cost=Cost("priced", total=9))
    store.append(batch(first.events, second.events))
    assert [group.key for group in stats(store, NOW, by=("model",)).groups] == [("dear",), ("cheap",), ("unpriced",)]
    day = BEGAN // (24 * HOUR)
    days = stats(store, NOW, by=("day",)).groups
    assert [(group.key, group.calls.count, group.cost.total) for group in days] == [((day,), 1, 1), ((day + 1,), 3, 9)]


@pytest.mark.parametrize("refreshed", [False, True])
def test_conditions(store: Store, refreshed: bool) -> None:
    """Statistics can be limited to one value of anything that is recorded of a step or its run."""
    for number in range(2):
        facts: dict[str, Any] = {
            "session": f"s{number}",
            "tenant": f"t{number}",
            "tags": (f"project:p{number}", f"x{number}"),
        }
        tape = _tape(f"run {number}", BEGAN, agent_type=f"a{number}", **facts)
        call = tape.call(model=f"m{number}", refs={"report_id": f"r{number}"})
        tape.reply(call, ("completed", "failed")[number])
        store.append(batch(tape.events))
    if refreshed:
        assert store.refresh(NOW) == 1

    def models(**where: str) -> list[str]:
        return [str(group.key[0]) for group in stats(store, NOW, by=("model",), where=where).groups]

    every = "session=s1 tenant=t1 project=p1 tag=x1 agent=a1 model=m1 status=failed report_id=r1"
    for condition in every.split():
        name, _, value = condition.partition("=")
        assert models(**{name: value}) == ["m1"], condition
    assert models(step="tool") == []
    assert models(provider="openai") == ["m0", "m1"]


def test_what_cannot_be_asked(store: Store) -> None:
    """An unknown dimension or condition is refused with the names there are."""
    with pytest.raises(ValueError, match="cannot group by 'colour'; one of model, provider, agent"):
        stats(store, NOW, by=("colour",))
    with pytest.raises(ValueError, match="cannot limit to 'colour'; one of tenant, project"):
        stats(store, NOW, where={"colour": "red"})


def test_answers_say_where_they_come_from(store: Store) -> None:
    """What no roll-up carries is read from every step of the period, and says so."""
    assert stats(store, NOW, by=("session",)).source == "rows"
    assert stats(store, NOW, where={"tag": "x"}).source == "rows"
    assert stats(store, NOW, by=("model",), where={"project": "x"}).source == "rollups"


# --- against every step ---


class _Step(msgspec.Struct, frozen=True):
    """One step, taken from the events alone."""

    keys: Mapping[str, Any]
    at: int
    duration: int | None
    first_token: int | None
    usage: Usage | None
    cost: Cost | None
    reported: int | None


_STATUS = {"rejected": "failed", "skipped": "cancelled"}
_OPEN = {"started": "open", "paused": "open"}


def _steps(logs: Iterable[Sequence[Event]]) -> Iterator[_Step]:
    for events in logs:
        grown = tree.grow(events)
        started = grown.started
        assert isinstance(started, RunStarted)
        for node in grown.nodes.values():
            opening, closing = node.opening, node.closing
            assert node.at is not None
            call = isinstance(opening, CallStarted)
            keys = {
                "step": node.kind,
                "status": _STATUS.get(node.status, node.status),
                "provider": opening.provider if isinstance(opening, CallStarted) else "",
                "model": opening.model if isinstance(opening, CallStarted) else "",
                "agent": getattr(opening, "agent_type", None) or started.agent_type or "",
                "session": started.session or "",
                "day": node.at // (24 * HOUR),
                "hour": node.at // HOUR,
                "error": (node.error.type or node.error.category) if node.error else "",
            }
            ended = closing is not None
            yield _Step(
                keys,
                node.at,
                node.duration_ns,
                getattr(closing, "first_token_ns", None),
                node.usage if call else None,
                (node.cost or Cost()) if call and ended else None,
                getattr(closing, "reported_cost", None),
            )


def _expected(steps: Sequence[_Step], key: tuple[Any, ...] = ()) -> Group:
    def outcomes(kind: str) -> Outcomes:
        chosen = [step for step in steps if step.keys["step"] == kind]
        times = sorted(step.duration for step in chosen if step.duration is not None)
        counts = Counter(_OPEN.get(step.keys["status"], step.keys["status"]) for step in chosen)
        latency = None
        if times:
            shape = histogram.of(times)
            inside = (min(times[-1], max(times[0], round(shape.quantile(q) or 0))) for q in (0.5, 0.9, 0.95, 0.99))
            latency = Latency(len(times), sum(times) // len(times), times[0], times[-1], *inside)
        return Outcomes(len(chosen), dict(counts), latency)

    calls = outcomes("llm")
    usages = [step.usage for step in steps if step.usage is not None]
    costs = [step.cost for step in steps if step.cost is not None]
    missing = sum(usage.basis == "missing" for usage in usages)
    unpriced = sum(cost.total is None or cost.state == "unpriced" for cost in costs)
    tokens: dict[str, Any] = {
        name: None if usages and missing == len(usages) else sum(getattr(usage, name) or 0 for usage in usages)
        for name in ("input_uncached", "cache_read", "cache_write", "output", "reasoning")
    }
    money: dict[str, Any] = {
        name: None if costs and unpriced == len(costs) else sum(getattr(cost, name) or 0 for cost in costs)
        for name in ("total", "input", "output")
    }
    return Group(
        key=key,
        runs=outcomes("run"),
        calls=calls,
        tools=outcomes("tool"),
        steps=Counter(step.keys["step"] for step in steps),
        tokens=Tokens(**tokens, missing=missing),
        cost=Money(**money, unpriced=unpriced, reported=sum(step.reported or 0 for step in steps)),
    )


def _check(store: Store, logs: Iterable[Sequence[Event]], period: Period, now: int, by: tuple[str, ...]) -> None:
    steps = [
        step
        for step in _steps(logs)
        if (period.since is None or step.at >= period.since) and (period.until is None or step.at < period.until)
    ]
    groups: dict[tuple[Any, ...], list[_Step]] = defaultdict(list)
    for step in steps:
        if step.keys["step"] == "llm" or not {"model", "provider"} & set(by):
            groups[tuple(step.keys[name] for name in by)].append(step)
    found = stats(store, now, period, by=by)
    assert found.total == _expected(steps)
    assert {group.key: group for group in found.groups} == (
        {key: _expected(group, key) for key, group in groups.items()} if by else {}
    )
    errors = Counter((step.keys["step"], step.keys["error"]) for step in steps if step.keys["error"])
    assert {(group.step, group.error): group.count for group in found.errors} == errors


def _moved(events: Sequence[Event], minutes: int) -> list[Event]:
    return [msgspec.structs.replace(event, at=event.at + minutes * 60_000_000_000) for event in events]


_minutes = st.integers(0, 60 * 24 * 4)
_logs = st.lists(st.tuples(runs(max_size=12), _minutes), min_size=1, max_size=4, unique_by=lambda log: log[0][0].run)
_DIMENSIONS = st.sampled_from(
    ((), ("model",), ("provider",), ("agent",), ("day",), ("hour", "model"), ("session",), ("step", "status"))
)
_bounds = st.none() | _minutes


def _agrees(url: Callable[[str], str], data: st.DataObject) -> None:
    """Append, refresh, replace in any order; after each the answer is that of counting every step."""
    logs = {events[0].run: _moved(events, minutes) for events, minutes in data.draw(_logs)}
    now = BEGAN + data.draw(_minutes) * 60_000_000_000
    kept: dict[str, list[Event]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(url(folder))
        try:
            for run, events in logs.items():
                cut = data.draw(st.integers(1, len(events)))
                for part in (events[:cut], events[cut:]):
                    store.append(batch(part))
                    kept[run] = [*kept.get(run, ()), *part]
                    if data.draw(st.booleans()):
                        store.refresh(now)
                    since, until = (
                        None if bound is None else BEGAN + bound * 60_000_000_000
                        for bound in (data.draw(_bounds), data.draw(_bounds))
                    )
                    _check(store, kept.values(), Period(since, until), now, data.draw(_DIMENSIONS))
            run = data.draw(st.sampled_from(sorted(logs)))
            kept[run] = _moved(logs[run][: data.draw(st.integers(1, len(logs[run])))], data.draw(_minutes))
            store.append(batch(kept[run], replace=[run]))
            for refreshed in (False, True):
                if refreshed:
                    store.refresh(now)
                _check(store, kept.values(), Period(), now, data.draw(_DIMENSIONS))
        finally:
            store.close()


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_roll_ups_and_open_hour_agree_with_every_step(data: st.DataObject) -> None:
    """Whatever was recorded, repriced or replaced, refreshed or not: statistics are those of counting every step."""
    _agrees(lambda folder: "memory:", data)


@given(st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_same_in_a_file(data: st.DataObject) -> None:
    """The same holds for a store in a file."""
    _agrees(lambda folder: f"sqlite:{folder}/stats.db", data)
