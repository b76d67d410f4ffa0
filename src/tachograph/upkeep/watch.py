"""The watch: alerts over a store, evaluated from what came in since the last look.

Each alert has a rolling window for every scope it is apart by. A look costs what is new and the number of scopes, never
what the windows hold. An alert fires when its value is above the threshold, and is armed again when the value has been
at or below nine tenths of it (`rearm`), or when nothing is left in the window. Both are written to the store as audit
runs, so that whoever watches next knows what is already told.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tachograph.errors import StoreError
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.run import AUDIT
from tachograph.record.after.audit import audit
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where
from tachograph.upkeep.alert import EVERYBODY, QUANTILES, Alert, Firing, OnAlert
from tachograph.upkeep.amounts import SECOND
from tachograph.upkeep.callbacks import Callback, callback_of
from tachograph.upkeep.readings import Readings
from tachograph.upkeep.sample import Sample, scopes
from tachograph.upkeep.window import Sums, Window

log = logging.getLogger("tachograph.alerts")

SCOPES = 1_000
"""Most scopes of one alert: beyond, the one that was quiet longest is forgotten."""
_UNWRITTEN = 1_000
"""Most firings that wait for a store that does not take them."""
_NANO = 1e9
_RECORDS = 1_000
"""How many of an alert's last firings are looked at to see which scopes are above."""

Keep: TypeAlias = Callable[[Sequence[Event]], object]
"""Puts audit runs into the store (`record.audit.keep`)."""


@dataclass
class Counts:
    """What a watch has done."""

    fired: int = 0
    late: int = 0
    """Samples that came too late for a window."""
    forgotten: int = 0
    """Scopes that were forgotten, since there were too many."""
    lost: int = 0
    """Firings whose audit run the store did not take for so long that it was given up."""
    loads: int = 0
    """How often windows were read from the store as a whole: once, and again when the feed had gone on without us."""


class _Watched:
    """One alert: its windows and which of its scopes are above."""

    def __init__(self, alert: Alert, on_alert: OnAlert | None) -> None:
        self.alert = alert
        self.windows: OrderedDict[str, Window] = OrderedDict()
        self.above: set[str] = set()
        calls = (callback_of(alert), on_alert)
        self.callbacks = tuple(Callback(alert.name, call) for call in calls if call is not None)

    @property
    def tag(self) -> str:
        """What its audit runs are tagged with."""
        return f"alert:{self.alert.name}"


class Watch:
    """Watches one store. Use from one thread; time is an argument."""

    def __init__(
        self,
        store: Store,
        alerts: Sequence[Alert],
        keep: Keep,
        *,
        entropy: Callable[[int], bytes],
        on_alert: OnAlert | None = None,
    ) -> None:
        """`on_alert` is called with every firing, beside the alert's own callback. Raises SettingsError."""
        self._store, self._keep, self._entropy = store, keep, entropy
        self._watched = tuple(_Watched(alert, on_alert) for alert in alerts)
        self._readings = Readings(store, frozenset(alert.counted for alert in alerts))
        self._unwritten: deque[tuple[Event, ...]] = deque()
        self._loaded = False
        self.counts = Counts()

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What is watched."""
        return tuple(each.alert for each in self._watched)

    @property
    def callback_failures(self) -> int:
        """Calls of callbacks that went wrong."""
        return sum(callback.failures for each in self._watched for callback in each.callbacks)

    def step(self, now_ns: int) -> tuple[Firing, ...]:
        """Look once: what has fired, and (`over`) what is below again. Raises StoreError; then nothing was missed."""
        if not self._watched:
            return ()
        if not self._loaded or self._readings.behind():
            self._load(now_ns)
        for sample in self._readings.fresh():
            self._count(sample, now_ns)
        told = tuple(self._evaluate(now_ns))
        self._write()
        return told

    def settle(self, seconds: float) -> bool:
        """Wait for the callbacks, at most so long; whether all are told."""
        return all(callback.settle(seconds) for each in self._watched for callback in each.callbacks)

    # ---- what happened --------------------------------------------------------------------------------------------

    def _load(self, now_ns: int) -> None:
        first = not self._loaded
        self._loaded = False  # what is half loaded is loaded again
        for each in self._watched:
            each.windows.clear()
            if first:
                each.above = self._above(each)
        since = min(Window(each.alert.window).since(now_ns) for each in self._watched)
        for sample in self._readings.load(since):
            self._count(sample, now_ns)
        self._loaded = True
        self.counts.loads += 1

    def _above(self, each: _Watched) -> set[str]:
        """Scopes that had fired and were not below again when somebody last watched."""
        where = (Where("source", "eq", AUDIT), Where("tags", "contains", each.tag))
        query = Query("limit_hits", where, ("scope", "mode"), order=("-at",), limit=_RECORDS)
        last: dict[str, str] = {}
        for row in self._store.find(query).rows:
            last.setdefault(row["scope"], row["mode"])
        return {scope for scope, mode in last.items() if mode == "warn"}

    def _count(self, sample: Sample, now_ns: int) -> None:
        for each in self._watched:
            if not _matters(each.alert, sample):
                continue
            for scope in scopes(each.alert, sample):
                window = each.windows.get(scope)
                if window is None:
                    window = each.windows[scope] = Window(each.alert.window)
                    self._forget(each)
                each.windows.move_to_end(scope)
                timed = sample.duration_ns if each.alert.metric in QUANTILES else None
                if not window.add(sample.at, now_ns, sample.count, sample.failed, sample.cost, timed):
                    self.counts.late += 1

    def _forget(self, each: _Watched) -> None:
        """Bound the scopes. One that is above is kept as long as there is another."""
        if len(each.windows) > SCOPES:
            quiet = next((scope for scope in each.windows if scope not in each.above), next(iter(each.windows)))
            del each.windows[quiet]
            self.counts.forgotten += 1

    # ---- what that means ------------------------------------------------------------------------------------------

    def _evaluate(self, now_ns: int) -> Iterator[Firing]:
        for each in self._watched:
            for scope in dict.fromkeys((*each.windows, *each.above)):
                window = each.windows.get(scope)
                if window is not None:
                    window.advance(now_ns)
                    if window.empty:
                        del each.windows[scope]
                found = self._judge(each, scope, window.total if window is not None else Sums(), now_ns)
                if found is not None:
                    yield found

    def _judge(self, each: _Watched, scope: str, sums: Sums, now_ns: int) -> Firing | None:
        alert = each.alert
        value = measured(alert, sums)
        if scope in each.above:
            enough = sums.count >= alert.least or sums.count == 0
            if not enough or (value or 0.0) > alert.threshold * alert.rearm:
                return None
            each.above.discard(scope)
        elif value is None or value <= alert.threshold or sums.count < alert.least:
            return None
        else:
            each.above.add(scope)
        firing = Firing(
            alert=alert.name, metric=alert.metric, scope=scope, value=value or 0.0, threshold=alert.threshold,
            window_ns=alert.window, count=sums.count, at=now_ns, tenant=_tenant(alert, scope),
            over=scope not in each.above,
        )  # fmt: skip
        self._tell(each, firing)
        return firing

    def _tell(self, each: _Watched, firing: Firing) -> None:
        hit = LimitHit(
            metric=firing.metric, scope=firing.scope, mode="observe" if firing.over else "warn", used=firing.value,
            threshold=firing.threshold, reason=firing.line,
        )  # fmt: skip
        self._unwritten.append(
            audit(
                "alert_over" if firing.over else "alert", hit, at=firing.at, entropy=self._entropy(6),
                tenant=firing.tenant, tags=(each.tag,),
            )
        )  # fmt: skip
        if firing.over:
            log.info(firing.line)
            return
        self.counts.fired += 1
        log.warning(firing.line)
        for callback in each.callbacks:
            callback.give(firing)

    def _write(self) -> None:
        while len(self._unwritten) > _UNWRITTEN:
            self._unwritten.popleft()
            self.counts.lost += 1
        while self._unwritten:
            try:
                self._keep(self._unwritten[0])
            except StoreError as problem:
                log.warning("%s audit runs of alerts wait, the store takes none: %s", len(self._unwritten), problem)
                return
            self._unwritten.popleft()


def measured(alert: Alert, sums: Sums) -> float | None:
    """The value of an alert's metric: USD, a share, seconds, a number; None when there is nothing to go by."""
    if alert.metric == "cost":
        return sums.cost / _NANO
    if alert.metric == "error_rate":
        return sums.error_rate
    if alert.metric == "interventions":
        return float(sums.count)
    found = sums.quantile(QUANTILES[alert.metric])
    return None if found is None else found / SECOND


def _matters(alert: Alert, sample: Sample) -> bool:
    """Whether a sample says something about a metric: corrections are about cost, what took no time is not slow."""
    if alert.metric in QUANTILES:
        return sample.count > 0 and sample.duration_ns is not None
    return sample.count > 0 or alert.metric == "cost"


def _tenant(alert: Alert, scope: str) -> str:
    """Whose data a firing is about; EVERYBODY when it is about all tenants' together."""
    return alert.tenant or (scope.removeprefix("tenant:") if scope.startswith("tenant:") else EVERYBODY)
