from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tachograph.errors import StoreUnavailable
from tachograph.events.call import CallRepriced
from tachograph.events.limit import LimitHit
from tachograph.events.run import AUDIT
from tachograph.events.usage import Cost
from tachograph.queries.stats import stats
from tachograph.store.ports import Batch, Store
from tachograph.store.query import Query, Where
from tachograph.store.scoped import Scoped
from tachograph.upkeep import watch as watching
from tachograph.upkeep.alert import Alert, Firing
from tachograph.upkeep.watch import Keep, Watch
from tests.strategies import Tape
from tests.upkeep.kept import BEGAN, DOLLAR, HOUR, SECOND, USED, desk, put

MINUTE = 60 * SECOND
SPEND = Alert(name="spend", metric="cost", threshold=5.0, window=HOUR)


def watch(store: Store, keep: Keep, *alerts: Alert, **more: Any) -> Watch:
    """A watch over these alerts, that has had its first look."""
    found = Watch(store, alerts or (SPEND,), keep, entropy=os.urandom, **more)
    found.step(BEGAN)
    return found


def spent(store: Store, dollars: float, at: int, **facts: Any) -> Tape:
    """A run that cost so much."""
    tape = desk(f"{at}", at, cost=int(dollars * DOLLAR), **facts)
    put(store, tape)
    return tape


def values(firings: Sequence[Firing]) -> list[tuple[str, float, bool]]:
    """What was told, in short."""
    return [(firing.scope, round(firing.value, 6), firing.over) for firing in firings]


def test_it_fires_once_and_again_when_it_was_below(store: Store, keep: Keep) -> None:
    """Above the threshold it fires; as long as it stays there, or hovers just below, it does not fire again."""
    eyes = watch(store, keep)
    spent(store, 5, BEGAN)
    assert values(eyes.step(BEGAN + MINUTE)) == []
    spent(store, 1, BEGAN + MINUTE)
    assert values(eyes.step(BEGAN + 2 * MINUTE)) == [("everything", 6.0, False)]
    spent(store, 4, BEGAN + 30 * MINUTE)
    assert values(eyes.step(BEGAN + 31 * MINUTE)) == []
    assert values(eyes.step(BEGAN + 65 * MINUTE)) == [("everything", 4.0, True)]
    spent(store, 2, BEGAN + 66 * MINUTE)
    assert values(eyes.step(BEGAN + 67 * MINUTE)) == [("everything", 6.0, False)]
    assert values(eyes.step(BEGAN + 5 * HOUR)) == [("everything", 0.0, True)]
    assert eyes.counts.fired == 2


def test_a_value_that_hovers_does_not_fire_again(store: Store, keep: Keep) -> None:
    """Between nine tenths of the threshold and the threshold nothing happens, in either direction."""
    eyes = watch(store, keep)
    spent(store, 0.4, BEGAN)
    spent(store, 4.8, BEGAN + 10 * MINUTE)
    assert values(eyes.step(BEGAN + 11 * MINUTE)) == [("everything", 5.2, False)]
    assert values(eyes.step(BEGAN + 65 * MINUTE)) == []  # 4.80: below, not far enough
    spent(store, 0.5, BEGAN + 66 * MINUTE)
    assert values(eyes.step(BEGAN + 67 * MINUTE)) == []  # 5.30: the same excess
    strict = Alert(name="strict", metric="cost", threshold=5.0, window=HOUR, rearm=1.0)
    assert Watch(store, (strict,), keep, entropy=os.urandom).step(BEGAN + 67 * MINUTE) != ()


def test_a_firing_is_an_event_and_a_line_and_a_call(store: Store, keep: Keep, caplog: pytest.LogCaptureFixture) -> None:
    """Each is told in the log, to both callbacks, and in the store, where no sum counts it."""
    heard: list[Firing] = []
    alert = Alert(
        name="spend", metric="cost", threshold=1.5, window=HOUR, by="tag:team-a", callback=heard.append, tenant="acme"
    )
    eyes = watch(store, keep, alert, on_alert=heard.append)
    tape = spent(store, 2, BEGAN, tags=("team-a",), tenant="acme")
    with caplog.at_level(logging.INFO, "tachograph.alerts"):
        [firing] = eyes.step(BEGAN + MINUTE)
        eyes.step(BEGAN + 3 * HOUR)
    assert eyes.settle(5)
    assert firing == Firing(
        alert="spend", metric="cost", scope="tag:team-a", value=2.0, threshold=1.5, window_ns=HOUR, count=1,
        at=BEGAN + MINUTE, tenant="acme",
    )  # fmt: skip
    assert heard == [firing, firing]
    line = "alert spend: cost of tag:team-a is $2.00 in the last 1h, above $1.50 (n=1)"
    over = "alert spend: cost of tag:team-a is back at $0 in the last 1h, threshold $1.50 (n=0)"
    assert [(each.levelname, each.message) for each in caplog.records] == [("WARNING", line), ("INFO", over)]
    columns = ("metric", "scope", "mode", "used", "threshold", "reason", "run_name", "tenant", "source", "tags", "at")
    rows = store.find(Query("limit_hits", columns=columns, order=("at",))).rows
    common = {
        "metric": "cost", "scope": "tag:team-a", "threshold": 1.5, "tenant": "acme", "source": "audit",
        "tags": '["alert:spend"]',
    }  # fmt: skip
    assert rows == [
        {**common, "mode": "warn", "used": 2.0, "reason": line, "run_name": "alert", "at": BEGAN + MINUTE},
        {**common, "mode": "observe", "used": 0.0, "reason": over, "run_name": "alert_over", "at": BEGAN + 3 * HOUR},
    ]
    assert stats(store, BEGAN + 4 * HOUR).total.runs.count == 1
    assert store.next_seq(tape.run) == 9


def mixed(store: Store, at: int, good: int, bad: int, **facts: Any) -> None:
    """A run with so many calls that went well, and so many that failed."""
    tape = Tape(f"{at}", at=at)
    tape.begin(**facts)
    for number in range(good + bad):
        tape.reply(tape.call(), "completed" if number < good else "failed", usage=USED, cost=Cost("priced", total=1))
    tape.finish()
    put(store, tape)


def test_rates_need_a_minimum(store: Store, keep: Keep) -> None:
    """A half of few says nothing; while there is too little to go by, what has fired neither ends nor begins anew."""
    eyes = watch(store, keep, Alert(name="wrong", metric="error_rate", threshold=0.2, window=HOUR, min_count=10))
    mixed(store, BEGAN, 4, 5)
    assert values(eyes.step(BEGAN + MINUTE)) == []
    mixed(store, BEGAN + 10 * MINUTE, 6, 0)
    assert values(eyes.step(BEGAN + 11 * MINUTE)) == [("everything", 0.333333, False)]
    assert values(eyes.step(BEGAN + 62 * MINUTE)) == []  # six calls are left, none failed: not enough to say so
    mixed(store, BEGAN + 63 * MINUTE, 5, 0)
    assert values(eyes.step(BEGAN + 64 * MINUTE)) == [("everything", 0.0, True)]
    mixed(store, BEGAN + 70 * MINUTE, 0, 9)
    assert values(eyes.step(BEGAN + 71 * MINUTE)) == [("everything", 0.642857, False)]
    assert values(eyes.step(BEGAN + 9 * HOUR)) == [("everything", 0.0, True)]


def slow(store: Store, at: int, milliseconds: Sequence[int], **facts: Any) -> None:
    """Calls that took so long, in a run that ends when the last one did."""
    tape = Tape(f"{at}", at=at)
    tape.begin(**facts)
    for each in milliseconds:
        call = tape.call()
        tape.wait(each * 1_000_000 - tape.tick)
        tape.reply(call, usage=USED)
    tape.finish()
    put(store, tape)


@pytest.mark.parametrize(("metric", "value"), [("latency_p50", 0.1), ("latency_p95", 0.1), ("latency_p99", 9.0)])
def test_latency_is_that_of_the_window(store: Store, keep: Keep, metric: Any, value: float) -> None:
    """Ninety-seven quick calls and three slow ones: the quantile that is asked for, within a tenth."""
    eyes = watch(store, keep, Alert(name="slow", metric=metric, threshold=0.01, window=HOUR))
    slow(store, BEGAN, [100] * 97 + [9_000] * 3)
    [firing] = eyes.step(BEGAN + HOUR // 2)
    assert abs(firing.value / value - 1) < 0.1
    assert firing.count == 100


def test_runs_and_tools_can_be_watched_too(store: Store, keep: Keep) -> None:
    """Errors of runs, latency of runs, errors of tools: each counts its own."""
    runs = Alert(name="runs", metric="error_rate", of="runs", threshold=0.5, window=HOUR, min_count=2)
    long = Alert(name="long", metric="latency_p50", of="runs", threshold=0.005, window=HOUR, min_count=2)
    tools = Alert(name="tools", metric="error_rate", of="tools", threshold=0.9, window=HOUR, min_count=2)
    eyes = watch(store, keep, runs, long, tools)
    put(store, *(desk(f"{number}", BEGAN + number, end="abandoned" if number else "completed") for number in range(4)))
    told = {firing.alert: firing.count for firing in eyes.step(BEGAN + MINUTE)}
    assert told == {"runs": 4, "long": 4}


def test_interventions_are_counted(store: Store, keep: Keep) -> None:
    """Limits that stopped, blocked or nudged; not those that only warned or observed."""
    eyes = watch(store, keep, Alert(name="stopped", metric="interventions", threshold=1, window=HOUR, by="agent"))
    for number, modes in enumerate((("stop", "warn"), ("block", "observe"), ("nudge",))):
        tape = Tape(f"{number}", at=BEGAN + number)
        tape.begin(agent_type="editor" if number else "other")
        for mode in modes:
            tape.add(LimitHit(metric="cost", mode=mode))  # type: ignore[arg-type] # the words of Mode
        put(store, tape)
    assert values(eyes.step(BEGAN + MINUTE)) == [("agent:editor", 2.0, False)]


def test_scopes_are_apart(store: Store, keep: Keep) -> None:
    """Each project, each tenant, each model has its own window, and fires on its own."""
    by_project = Alert(name="project", metric="cost", threshold=2, window=HOUR, by="tag:project:*")
    by_tenant = Alert(name="tenant", metric="cost", threshold=3, window=HOUR, by="tenant")
    by_model = Alert(name="model", metric="cost", threshold=5, window=HOUR, by="model:gpt-*")
    eyes = watch(store, keep, by_project, by_tenant, by_model)
    spent(store, 1.5, BEGAN, tags=("project:shop", "project:blog"), tenant="acme")
    spent(store, 1.5, BEGAN + 1, tags=("project:blog",), tenant="acme")
    spent(store, 2.5, BEGAN + 2, tenant="other")
    told = eyes.step(BEGAN + MINUTE)
    assert values(told) == [("tag:project:blog", 3.0, False), ("model:gpt-4o", 5.5, False)]
    spent(store, 0.25, BEGAN + 3, tenant="acme")
    [firing] = eyes.step(BEGAN + 2 * MINUTE)
    assert (firing.scope, firing.tenant) == ("tenant:acme", "acme")


def test_what_is_about_everybody_is_shown_to_no_tenant(store: Store, keep: Keep) -> None:
    """The audit runs of an alert over all tenants belong to `*`: `default` is a tenant as any other."""
    eyes = watch(store, keep)
    spent(store, 6, BEGAN)
    spent(store, 6, BEGAN + 1, tenant="acme")
    [firing] = eyes.step(BEGAN + MINUTE)
    assert (firing.scope, firing.tenant) == ("everything", "*")
    for tenant in ("default", "acme"):
        page = Scoped(store, tenant).find(Query("runs", (Where("source", "eq", AUDIT),), ("name",)))
        assert page.rows == []
        assert Scoped(store, tenant).find(Query("limit_hits", columns=("scope",))).rows == []
    assert store.find(Query("runs", (Where("source", "eq", AUDIT),), ("name", "tenant"))).rows == [
        {"name": "alert", "tenant": "*"}
    ]
    store.refresh(BEGAN + 3 * HOUR)
    assert (store.check(), stats(store, BEGAN + 4 * HOUR).total.runs.count) == ([], 2)
    assert values(Watch(store, (SPEND,), keep, entropy=os.urandom).step(BEGAN + 2 * MINUTE)) == []


def test_a_restart_does_not_fire_again(store: Store, keep: Keep) -> None:
    """Who comes next finds in the store what has fired, loads the window, and goes on where the last one was."""
    alerts = (SPEND, Alert(name="other", metric="cost", threshold=0.5, window=2 * HOUR, by="tag:a"))
    eyes = watch(store, keep, *alerts)
    spent(store, 6, BEGAN)
    assert values(eyes.step(BEGAN + MINUTE)) == [("everything", 6.0, False)]
    spent(store, 1, BEGAN + 5 * MINUTE, tags=("a",))  # while nobody watched
    eyes = Watch(store, alerts, keep, entropy=os.urandom)
    assert values(eyes.step(BEGAN + 6 * MINUTE)) == [("tag:a", 1.0, False)]
    eyes = Watch(store, alerts, keep, entropy=os.urandom)
    assert values(eyes.step(BEGAN + 7 * MINUTE)) == []
    assert values(eyes.step(BEGAN + 90 * MINUTE)) == [("everything", 0.0, True)]
    eyes = Watch(store, alerts, keep, entropy=os.urandom)
    spent(store, 7, BEGAN + 91 * MINUTE)
    assert values(eyes.step(BEGAN + 92 * MINUTE)) == [("everything", 7.0, False)]


def test_an_excess_that_ended_while_nobody_watched_is_over(store: Store, keep: Keep) -> None:
    """The next watch says so, and is armed."""
    eyes = watch(store, keep)
    spent(store, 6, BEGAN)
    assert len(eyes.step(BEGAN + MINUTE)) == 1
    assert values(Watch(store, (SPEND,), keep, entropy=os.urandom).step(BEGAN + 3 * HOUR)) == [
        ("everything", 0.0, True)
    ]


def test_what_changes_later_counts_as_it_is(store: Store, keep: Keep) -> None:
    """A call that is priced again counts with its new price; a run that was erased was spent all the same."""
    eyes = watch(store, keep)
    tape = spent(store, 4, BEGAN)
    assert values(eyes.step(BEGAN + MINUTE)) == []
    tape.add(CallRepriced(call=2, cost=Cost("priced", total=6 * DOLLAR)), 2)
    put(store, tape)
    assert values(eyes.step(BEGAN + 2 * MINUTE)) == [("everything", 6.0, False)]
    store.erase([tape.run], BEGAN)
    assert values(eyes.step(BEGAN + 3 * MINUTE)) == []
    spent(store, 1, BEGAN + 3 * MINUTE)
    assert values(eyes.step(BEGAN + 58 * MINUTE)) == []
    assert values(eyes.step(BEGAN + 63 * MINUTE)) == [("everything", 1.0, True)]


def test_what_comes_too_late_does_not_count(store: Store, keep: Keep) -> None:
    """An import of last month's sessions raises no alarm; what is late and still in the window does."""
    eyes = watch(store, keep)
    spent(store, 100, BEGAN - 24 * HOUR)
    assert values(eyes.step(BEGAN + MINUTE)) == []
    assert eyes.counts.late == 1
    spent(store, 6, BEGAN - 30 * MINUTE)
    assert values(eyes.step(BEGAN + 2 * MINUTE)) == [("everything", 6.0, False)]


class Counting:
    """A store that counts what it is asked, and how much it gives."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._counted(name, found) if name in ("find", "read", "appended", "fetch", "head") else found

    def _counted(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*args: Any) -> Any:
            answer = found(*args)
            self.asked["queries"] += 1
            if name == "find":
                self.asked["rows"] += len(answer.rows)
            elif name == "read":
                answer = list(answer)
                self.asked["events"] += len(answer)
                return iter(answer)
            return answer

        return ask


@pytest.mark.parametrize("metric", ["cost", "error_rate", "latency_p95", "interventions"])
def test_a_look_costs_what_is_new(store: Store, keep: Keep, metric: Any) -> None:
    """The same few queries and rows whether the window holds ten runs or four hundred."""
    costs = []
    for size in (10, 400):
        put(store, *(desk(f"{size} {number}", BEGAN + number, calls=3) for number in range(size)))
        counting: Any = Counting(store)
        eyes = Watch(
            counting, (Alert(name=metric, metric=metric, threshold=1e9, window=HOUR, by="tag:*"),), keep,
            entropy=os.urandom,
        )  # fmt: skip
        eyes.step(BEGAN + MINUTE)
        found = []
        for look in range(3):
            counting.asked.clear()
            if look:
                put(store, desk(f"new {size} {look}", BEGAN + look, tags=("a",)))
            eyes.step(BEGAN + (look + 2) * MINUTE)
            found.append(dict(counting.asked))
        costs.append(found)
    assert costs[0] == costs[1]
    quiet, one, other = costs[0]
    assert (quiet["queries"], one) == (2, other)
    assert one["queries"] <= 6
    assert one["events"] == 9


def test_many_scopes_are_bounded(store: Store, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the most that are kept, the one that was quiet longest is forgotten, but none that is above."""
    monkeypatch.setattr(watching, "SCOPES", 3)
    eyes = watch(store, keep, Alert(name="spend", metric="cost", threshold=5, window=HOUR, by="tag:*"))
    spent(store, 9, BEGAN, tags=("dear",))
    assert len(eyes.step(BEGAN + MINUTE)) == 1
    for number in range(6):
        spent(store, 1, BEGAN + 1 + number, tags=(f"t{number}",))
    eyes.step(BEGAN + 2 * MINUTE)
    assert (list(eyes._watched[0].windows), eyes.counts.forgotten) == (["tag:dear", "tag:t4", "tag:t5"], 4)


def test_the_store_may_be_away(store: Store, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that fails misses nothing and counts nothing twice; what has fired is written when the store is back."""
    written: list[Any] = []

    def away(events: Any) -> None:
        if not written:
            raise StoreUnavailable("sqlite:x", "locked")
        keep(events)

    eyes = Watch(store, (SPEND,), away, entropy=os.urandom)
    eyes.step(BEGAN)
    spent(store, 4, BEGAN)
    spent(store, 2, BEGAN + 1)
    read, failing = store.read, iter([False, True])

    def broken(run: str, after: int = -1, limit: int | None = None) -> Iterator[Any]:
        if next(failing, False):
            raise StoreUnavailable("sqlite:x", "gone")
        return read(run, after, limit)

    monkeypatch.setattr(store, "read", broken)
    with pytest.raises(StoreUnavailable):
        eyes.step(BEGAN + MINUTE)
    assert values(eyes.step(BEGAN + 2 * MINUTE)) == [("everything", 6.0, False)]
    assert store.find(Query("limit_hits")).rows == []
    written.append(True)
    assert values(eyes.step(BEGAN + 3 * MINUTE)) == []
    assert [row["used"] for row in store.find(Query("limit_hits")).rows] == [6.0]


def test_what_waits_for_the_store_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest firings are given up when too many wait, and counted."""
    monkeypatch.setattr(watching, "_UNWRITTEN", 2)

    def away(events: Any) -> None:
        raise StoreUnavailable("sqlite:x", "locked")

    eyes = watch(store, away, Alert(name="spend", metric="cost", threshold=0, window=HOUR, by="tag:*"))
    spent(store, 1, BEGAN, tags=("a", "b", "c", "d"))
    assert len(eyes.step(BEGAN + MINUTE)) == 4
    assert eyes.counts.lost == 2


def test_when_the_feed_went_on_without_it_the_window_is_loaded_again(
    store: Store, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is counted twice by it, and what had fired has fired."""
    eyes = watch(store, keep)
    spent(store, 6, BEGAN)
    assert len(eyes.step(BEGAN + MINUTE)) == 1
    spent(store, 1, BEGAN + 1)
    monkeypatch.setattr(eyes._readings, "behind", lambda: True)
    assert eyes.step(BEGAN + 2 * MINUTE) == ()
    assert eyes.counts.loads == 2
    assert eyes._watched[0].windows["everything"].total.cost == 7 * DOLLAR


def test_without_alerts_nothing_is_read(keep: Keep) -> None:
    """A watch over nothing does not touch the store."""
    nothing: Any = object()
    assert Watch(nothing, (), keep, entropy=os.urandom).step(BEGAN) == ()


def test_audit_events_are_in_batches_of_their_own(store: Store) -> None:
    """Each firing is one run, put in by whoever was named to."""
    batches: list[int] = []

    def note(events: Any) -> None:
        batches.append(len(events))
        store.append(Batch(events))

    eyes = watch(store, note, Alert(name="spend", metric="cost", threshold=0, window=HOUR, by="tag:*"))
    spent(store, 1, BEGAN, tags=("a", "b"))
    eyes.step(BEGAN + MINUTE)
    assert batches == [3, 3]
